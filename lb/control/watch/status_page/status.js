/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks for /status.json every two seconds and shows it. Whatever comes from there may have been said by a mail
 * server or a configuration: it becomes text, never markup. A part of the page is made anew when its data has
 * changed. When the gateway does not answer the page says so, and shows what was known, dimmed.
 */
'use strict';
(() => {
const POLL_MS = 2000, TIMEOUT_MS = 5000, HISTORY_MS = 300000, DOTS = 60;
const SVG = 'http://www.w3.org/2000/svg';
const WORDS = {unchecked: 'not checked', maint: 'maintenance', drain: 'drains', leaving: 'leaves'};
const history = []; /* {at, rate} of the last five minutes */
const shown = {};   /* what each part was made of */
let answeredAt = 0;

const part = id => document.getElementById(id);
const number = n => n.toLocaleString('en', {maximumFractionDigits: n < 10 ? 1 : 0});
const percent = x => (x > 0 && x < 0.01 ? '<1' : Math.round(x * 100)) + ' %';
const many = (n, one, more) => number(n) + ' ' + (n === 1 ? one : more || one + 's');

function milliseconds(ms) {
  if (ms === null)
    return '–';
  return ms < 1000 ? ms + ' ms' : number(ms / 1000) + ' s';
}

function duration(s) {
  const units = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const [size, unit] = units.find(([least]) => s >= least) || units[3];
  return Math.floor(s / size) + ' ' + unit;
}

function bytes(n) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let i = 0;
  for (; n >= 1000 && i < units.length - 1; i++)
    n /= 1000;
  return number(n) + ' ' + units[i];
}

/* Those that have left their pool, and only end their sessions, are not counted. */
function members(d) {
  return d.pools.flatMap(p => p.backends).filter(b => b.state !== 'leaving');
}

/* ---- elements ---- */

function make(tag, className, ...children) {
  const e = document.createElement(tag);
  if (className)
    e.className = className;
  e.append(...children.filter(c => c !== null && c !== ''));
  return e;
}

function svg(tag, attributes, ...children) {
  const e = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes))
    e.setAttribute(name, value);
  e.append(...children);
  return e;
}

function icon(name) {
  return svg('svg', {'aria-hidden': 'true'}, svg('use', {href: '#' + name}));
}

function titled(name, title, className) {
  return svg('svg', {role: 'img', 'aria-label': title, class: className}, svg('title', {}, title), svg('use', {href: '#' + name}));
}

/* Parts of a whole, from 0 to 1 each. */
function bar(...parts) {
  const classes = ['', 'second', 'third'];
  const e = make('div', 'bar', ...parts.map((_, i) => make('i', classes[i])));
  parts.forEach((p, i) => { e.children[i].style.width = Math.min(100, Math.max(0, p * 100)) + '%'; });
  return e;
}

function key(className, text) {
  return make('span', '', make('i', className), text);
}

function state(name) {
  return make('span', 'state ' + name, icon(name), WORDS[name] || name);
}

/* One sign a backend; of very many only the first. */
function dots(backends) {
  const e = make('div', 'dots', ...backends.slice(0, DOTS).map(b => titled(b.state, b.name + ': ' + (WORDS[b.state] || b.state), b.state)));
  if (backends.length > DOTS)
    e.append(make('span', 'soft small', 'and ' + number(backends.length - DOTS) + ' more'));
  return e;
}

function figure(name, value, unit, ...more) {
  return make('div', 'card figure', make('p', 'name', name), make('p', 'value', value, unit ? make('small', '', ' ' + unit) : null), ...more);
}

/* ---- the parts ---- */

function trouble([list, pools, backends]) {
  if (list.length === 0)
    return [make('div', 'card well', icon('up'), make('div', '', make('h2', '', 'All is well'),
      make('p', 'soft', many(backends, 'backend') + ' in ' + many(pools, 'pool') + ', nothing to do.')))];
  return list.map(t => {
    const level = t.severity === 'error' ? 'error' : 'warning';
    return make('div', 'card trouble ' + level, titled(level, level, ''), make('div', '',
      make('h2', '', t.about + ': ' + t.what), make('p', '', t.why),
      t.do ? make('p', 'do', make('b', '', 'What to do: '), t.do) : null));
  });
}

/* How far back the curve goes: what was seen, one to five minutes of it. */
function span() {
  return Math.max(60000, history[history.length - 1].at - history[0].at);
}

/* A curve of the rate; what was not seen is not drawn. */
function spark() {
  const now = history[history.length - 1].at, all = span();
  const most = Math.max(1, ...history.map(h => h.rate));
  const points = history.map(h => [300 - (now - h.at) / all * 300, 56 - h.rate / most * 52]);
  const line = points.map(([x, y]) => x.toFixed(1) + ',' + y.toFixed(1)).join(' ');
  const e = svg('svg', {class: 'spark', viewBox: '0 0 300 58', preserveAspectRatio: 'none', role: 'img',
    'aria-label': 'up to ' + number(most) + ' new sessions a second in the last ' + duration(all / 1000)},
    svg('path', {class: 'base', d: 'M0 56.5H300'}));
  if (points.length > 1)
    e.append(svg('polygon', {class: 'area', points: points[0][0].toFixed(1) + ',56 ' + line + ' 300,56'}),
      svg('polyline', {class: 'curve', points: line}));
  return e;
}

function figures(d) {
  const s = d.sessions, all = members(d);
  const usable = d.pools.reduce((n, p) => n + p.usable, 0);
  const slowest = d.pools.filter(p => p.greeting_ms.p95 !== null).sort((a, b) => b.greeting_ms.p95 - a.greeting_ms.p95)[0];
  const rate = figure('New sessions', number(s.rate), 'a second', spark(),
    make('div', 'span soft small', make('span', '', duration(span() / 1000)), make('span', '', 'most so far ' + number(s.rate_max))));
  rate.classList.add('wide');
  return [make('div', 'grid', rate,
    figure('Sessions now', number(s.now), 'of ' + number(s.max), bar(s.dissolved / s.max, s.relayed / s.max, s.queued / s.max),
      make('p', 'key', key('', number(s.dissolved) + ' dissolved'), key('second', number(s.relayed) + ' relayed'),
        s.queued ? key('third', number(s.queued) + ' waiting') : null)),
    figure('Backends that take sessions', number(usable), 'of ' + number(all.length), dots(all)),
    figure('Time to the greeting', slowest ? milliseconds(slowest.greeting_ms.p50) : '–', slowest ? 'for half' : '',
      make('p', 'soft small', slowest ? '95 % within ' + milliseconds(slowest.greeting_ms.p95) + ', 99 % within ' +
        milliseconds(slowest.greeting_ms.p99) : 'no session yet'),
      slowest && d.pools.length > 1 ? make('p', 'soft small', 'pool ' + slowest.name + ', the slowest') : null))];
}

function overrides(list) {
  if (list.length === 0)
    return [];
  return [make('div', 'card', make('h3', '', 'Set by operators, over the configuration'), make('ul', 'small',
    ...list.map(o => make('li', '', o.pool + '/' + o.backend + ': ' + o.what + ' ' + o.value + ' ',
      make('span', 'soft', '(configured: ' + o.configured + ')')))))];
}

function zones([list, pools]) {
  if (list.length === 0)
    return [];
  const backends = pools.flatMap(p => p.backends);
  return [make('h2', 'heading', 'Zones'), make('div', 'grid', ...list.map(z => {
    const own = backends.filter(b => b.zone === z.name && b.state !== 'leaving');
    return make('div', 'card zone',
      make('div', 'between', make('h3', '', z.name), z.local ? make('span', 'tag', 'this gateway’s') : null),
      dots(own),
      make('p', 'small', z.usable + ' of ' + many(z.backends, 'backend') + ' usable, ' + many(z.sessions, 'session')),
      bar(z.share), make('p', 'soft small', percent(z.share) + ' of new sessions'));
  }))];
}

function headCell([text, className, title]) {
  const e = make('th', className, text);
  e.title = title || '';
  return e;
}

function table(head, rows) {
  return make('table', '', make('thead', '', make('tr', '', ...head.map(headCell))),
    make('tbody', '', ...rows));
}

function cell(label, className, ...children) {
  const e = make('td', className, ...children);
  e.dataset.label = label;
  return e;
}

function backend(b) {
  const row = make('tr', ['down', 'suspect'].includes(b.state) ? 'troubled' : '');
  const limit = b.busy_limit || b.max_sessions;
  const weight = Math.abs(b.effective_weight - b.weight) < 0.05 ? number(b.weight) : number(b.effective_weight) + ' of ' + number(b.weight);
  row.append(
    cell('State', 'is', state(b.state)),
    cell('Backend', 'name', b.name, make('p', 'soft small', b.addresses.join('  '), b.found ? ' (found)' : '')),
    cell('Sessions', 'number', number(b.sessions) + (limit ? ' / ' + number(limit) : ''), limit ? bar(b.sessions / limit) : null),
    cell('New / s', 'number', number(b.rate)),
    cell('Share', 'number', percent(b.share), bar(b.share)),
    cell('Weight', 'number', weight),
    cell('Greets in', 'number', milliseconds(b.greeting_ms.p95)),
    cell('Zone', 'place', b.zone),
    cell('Why', 'why', b.why));
  return row;
}

function pool(p) {
  const head = [['State', 'is'], ['Backend', 'name'], ['Sessions', 'number'], ['New / s', 'number'], ['Share', 'number'],
    ['Weight', 'number'], ['Greets in', 'number', '95 of 100 sessions'], ['Zone', 'place'], ['', 'why']];
  const waiting = p.waiting ? many(p.waiting, 'waits', 'wait') + ' of ' + number(p.waiting_max) + ', ' : '';
  return make('div', 'card pool',
    make('div', 'top', make('h3', '', p.name),
      make('div', 'tags', ...[p.balance, 'source: ' + p.source, p.proxy_protocol === 'off' ? '' : 'PROXY ' + p.proxy_protocol,
        p.leaving ? 'no longer configured' : ''].filter(t => t).map(t => make('span', 'tag', t))),
      make('p', 'sum', waiting + many(p.sessions, 'session') + ', ' + number(p.rate) + ' new a second, ' +
        bytes(p.totals.bytes_in) + ' in and ' + bytes(p.totals.bytes_out) + ' out so far')),
    table(head, p.backends.map(backend)));
}

function pools(list) {
  return [make('h2', 'heading', 'Pools'), ...list.map(pool)];
}

/* One address stands without its length. */
function address(a) {
  const v6 = a.prefix.includes(':'), prefix = a.prefix.replace(v6 ? /\/128$/ : /\/32$/, '');
  return (v6 ? '[' + prefix + ']' : prefix) + ':' + a.port;
}

function listeners(list) {
  const looks = {served: 'up', refused: 'down', leaving: 'leaving'};
  const row = l => make('tr', '',
    cell('Listener', 'name', l.name), cell('Pool', '', l.pool),
    cell('Addresses', 'wide', make('div', 'tags', ...l.addresses.map(a => make('span', 'state small ' + looks[a.state], icon(looks[a.state]),
      address(a) + (a.state === 'served' ? '' : ' ' + a.state))))),
    cell('Sessions', 'number', number(l.sessions)), cell('New / s', 'number', number(l.rate)));
  const head = [['Listener', 'name'], ['Pool', ''], ['Addresses', 'wide'], ['Sessions', 'number'], ['New / s', 'number']];
  return [make('h2', 'heading', 'Listeners'), make('div', 'card pool', table(head, list.map(row)))];
}

function foot(d) {
  const r = d.config.last_reload, when = t => new Date(t * 1000).toLocaleString();
  const link = (to, text) => { const a = make('a', '', text); a.href = to; return a; };
  return [make('span', '', 'postern ' + d.version + ', process ' + d.pid), make('span', '', many(d.workers.length, 'worker')),
    make('span', '', number(d.limits.descriptors.now) + ' of ' + number(d.limits.descriptors.max) + ' descriptors'),
    make('span', '', d.config.file + ', applied ' + when(d.config.loaded_at) + (r && !r.ok ? '; the reload of ' + when(r.at) + ' was refused' : '')),
    make('span', '', link('/status.json', 'status.json'), ' ', link('/metrics', 'metrics'), ' ', link('/readyz', 'readyz'))];
}

/* ---- the whole ---- */

function show(id, data, render) {
  const text = JSON.stringify(data);
  if (shown[id] === text)
    return;
  shown[id] = text;
  part(id).replaceChildren(...render(data));
}

function note(d) {
  const at = performance.now();
  history.push({at, rate: d.sessions.rate});
  while (history[0].at < at - HISTORY_MS)
    history.shift();
}

function showAll(d) {
  const errors = d.trouble.filter(t => t.severity === 'error').length;
  document.title = (d.trouble.length ? '(' + (errors ? '!' : '') + d.trouble.length + ') ' : '') + d.gateway + ' – postern';
  part('gateway').textContent = d.gateway;
  part('about').textContent = 'mail gateway' + (d.zone ? ' in ' + d.zone : '') + ', up ' + duration(d.uptime_s);
  part('phase').textContent = d.phase;
  part('phase').hidden = d.phase === 'serving';
  note(d);
  show('trouble', [d.trouble, d.pools.length, members(d).length], trouble);
  part('figures').replaceChildren(...figures(d));
  show('overrides', d.overrides, overrides);
  show('zones', [d.zones, d.pools], zones);
  show('pools', d.pools, pools);
  show('listeners', d.listeners, listeners);
  show('foot', d, foot);
}

function tellFresh(lost) {
  const ago = Math.round((performance.now() - answeredAt) / 1000);
  part('fresh').textContent = !lost ? 'live' : 'the gateway does not answer' +
    (answeredAt ? '; this is from ' + duration(ago) + ' ago' : '');
  part('fresh').classList.toggle('lost', lost);
  document.body.classList.toggle('stale', lost);
}

async function load() {
  const answer = await fetch('/status.json', {cache: 'no-store', signal: AbortSignal.timeout(TIMEOUT_MS)});
  if (!answer.ok)
    throw new Error(answer.status);
  return answer.json();
}

async function ask() {
  const d = await load().catch(() => null);
  setTimeout(next, POLL_MS);
  tellFresh(!d);
  if (!d)
    return;
  answeredAt = performance.now();
  showAll(d);
}

/* Nobody looks: nobody asks. */
function next() {
  if (document.hidden)
    document.addEventListener('visibilitychange', ask, {once: true});
  else
    ask();
}

ask();
})();
