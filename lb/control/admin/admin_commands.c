/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: a line is cut at its semicolons, each command into words; the row of the table that has the
 * most of them answers. Failure paths: no such row: those that come near; a row beyond one's level is denied.
 * What is about the session itself is answered here. Called by admin_socket.c, control thread only.
 */
#include "control/admin/admin_commands.h"

#include "control/admin/admin_handlers.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#define TEXT_MAX 256
#define USAGE_WIDTH 48

struct command {
    const char *words; /* it begins with */
    const char *more;  /* and goes on like */
    enum admin_level level;
    void (*run)(const struct admin_call *c);
    const char *help;
};

static void help(const struct admin_call *c);

static void toggle_prompt(const struct admin_call *c)
{
    c->session->prompt = !c->session->prompt;
}

static void quit(const struct admin_call *c)
{
    c->session->quit = true;
}

static void become_user(const struct admin_call *c)
{
    c->session->level = ADMIN_USER;
}

static void become_operator(const struct admin_call *c)
{
    c->session->level = ADMIN_OPERATOR;
}

static void show_level(const struct admin_call *c)
{
    admin_reply_print(c->reply, "%s\n", admin_level_name(c->session->level));
}

static void show_sockets(const struct admin_call *c)
{
    const struct config_admin *a = &admin_roster(c)->config->admin;

    admin_reply_text(c->reply, "# socket lvl processes\n");
    if (a->socket[0])
        admin_reply_print(c->reply, "unix@%s admin all\n", a->socket);
    if (a->tcp[0])
        admin_reply_print(c->reply, "%s user all\n", a->tcp);
}

static void set_severity(const struct admin_call *c)
{
    static const char *const forms[] = {"none", "number", "string"};

    for (unsigned i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        if (strcmp(admin_word(c, 0), forms[i]) == 0) {
            c->session->severity = (enum admin_severity)i;
            return;
        }
    admin_say(c, LOG_ERR, "one of 'none', 'number', 'string' is a required argument");
}

/* Milliseconds of "10", "10s", "500ms", "2m"; 0 when it is no time, or too long. */
static uint32_t read_timeout(const char *text)
{
    static const struct {
        const char *unit;
        uint32_t ms;
    } units[] = {{"", 1000}, {"s", 1000}, {"ms", 1}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return 0;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(end, units[i].unit) == 0 && errno == 0 && n <= ADMIN_TIMEOUT_MAX_MS / units[i].ms)
            return (uint32_t)n * units[i].ms;
    return 0;
}

static void set_timeout(const struct admin_call *c)
{
    uint32_t ms = read_timeout(admin_word(c, 1));

    if (strcmp(admin_word(c, 0), "cli") != 0)
        admin_say(c, LOG_ERR, "'set timeout' only supports 'cli'.");
    else if (!admin_word(c, 1)[0])
        admin_say(c, LOG_ERR, "Expects an integer value.");
    else if (ms == 0)
        admin_say(c, LOG_ERR, "Invalid timeout value.");
    else
        c->session->timeout_ms = ms;
}

/* In the order in which help shows them; of two that fit, the longer stands first. */
static const struct command commands[] = {
    {"add server", "<bk>/<srv> <addr>:<port> [options]", ADMIN_ADMIN, admin_add_server,
        "a further backend, in maintenance; options: weight <n>, maxconn <n>, zone <name>, enabled"},
    {"clear counters", "[all]", ADMIN_OPERATOR, admin_clear_counters,
        "begin anew with the most sessions at a time; nothing else can be cleared"},
    {"clear table", "<table>", ADMIN_OPERATOR, admin_clear_table, "why none can be cleared"},
    {"del server", "<bk>/<srv>", ADMIN_ADMIN, admin_del_server, "remove a backend that add server has added"},
    {"disable agent", "<bk>/<srv>", ADMIN_ADMIN, admin_disable_agent, "stop asking the agent of a backend"},
    {"disable health", "<bk>/<srv>", ADMIN_ADMIN, admin_disable_health, "stop checking a backend"},
    {"disable server", "<bk>/<srv>", ADMIN_ADMIN, admin_disable_server,
        "as set server <bk>/<srv> state maint"},
    {"enable agent", "<bk>/<srv>", ADMIN_ADMIN, admin_enable_agent, "ask the agent of a backend again"},
    {"enable health", "<bk>/<srv>", ADMIN_ADMIN, admin_enable_health, "check a backend again"},
    {"enable server", "<bk>/<srv>", ADMIN_ADMIN, admin_enable_server, "as set server <bk>/<srv> state ready"},
    {"get weight", "<bk>/<srv>", ADMIN_USER, admin_get_weight, "a backend's weight, and the configured one"},
    {"help", "[<command>]", ADMIN_USER, help, "the commands, or those that have these words"},
    {"operator", "", ADMIN_OPERATOR, become_operator, "lower one's level to operator"},
    {"prompt", "", ADMIN_USER, toggle_prompt, "stay connected, with a prompt; or no longer"},
    {"quit", "", ADMIN_USER, quit, "disconnect"},
    {"relay test", "[<bk>[/<srv>]]", ADMIN_ADMIN, admin_relay_test,
        "ask now whether backends relay for strangers; of postern's own"},
    {"reload", "", ADMIN_ADMIN, admin_reload, "read the configuration again; of postern's own"},
    {"set maxconn frontend", "<frontend> <n>", ADMIN_ADMIN, admin_set_maxconn_frontend,
        "the most sessions of a listener at a time; 0 sets no limit of its own"},
    {"set maxconn server", "<bk>/<srv> <n>", ADMIN_ADMIN, admin_set_maxconn,
        "the most sessions of a backend at a time; 0 sets no limit"},
    {"set server", "<bk>/<srv> <what> <value>", ADMIN_ADMIN, admin_set_server,
        "a backend's state, weight, health or addr"},
    {"set severity-output", "none|number|string", ADMIN_USER, set_severity, "how grave each message is"},
    {"set timeout", "cli <time>", ADMIN_USER, set_timeout, "how long this connection may be idle"},
    {"set weight", "<bk>/<srv> <n>[%]", ADMIN_ADMIN, admin_set_weight,
        "a backend's weight, or a part of the configured one"},
    {"show backend", "", ADMIN_USER, admin_show_backend, "the names of the pools"},
    {"show cli level", "", ADMIN_USER, show_level, "one's level"},
    {"show cli sockets", "", ADMIN_OPERATOR, show_sockets, "where to connect to"},
    {"show errors", "", ADMIN_OPERATOR, admin_show_errors,
        "protocol errors: none, as no content is looked at"},
    {"show info", "[typed|json]", ADMIN_USER, admin_show_info, "the state of the whole"},
    {"show plan", "", ADMIN_OPERATOR, admin_show_plan, "what is set up on this host, in the words of ip(8)"},
    {"show relay", "", ADMIN_USER, admin_show_relay, "what the last relay tests have shown"},
    {"show servers conn", "[<bk>]", ADMIN_USER, admin_show_servers_conn, "the connections of the backends"},
    {"show servers state", "[<bk>]", ADMIN_USER, admin_show_servers_state, "the backends, for a state file"},
    {"show sess", "[<id>|all]", ADMIN_OPERATOR, admin_show_sess, "the sessions, or one"},
    {"show sessions", "[client=<prefix>] [backend=<bk>/<srv>] ...", ADMIN_OPERATOR, admin_show_sessions,
        "the sessions as JSON, one a line; also state=, older=, idle="},
    {"show sources", "[source=<prefix>] [class=<name>] [over]", ADMIN_OPERATOR, admin_show_sources,
        "the sources there is most of, as JSON, one a line"},
    {"show stat", "[<iid> <type> <sid>] [typed|json]", ADMIN_USER, admin_show_stat,
        "the counters of listeners, pools and backends"},
    {"show status", "", ADMIN_USER, admin_show_status, "all of it as one line of JSON, and what is wrong"},
    {"show table", "[sources [data.<type> <op> <n>]]", ADMIN_USER, admin_show_table,
        "the sources there is most of, as a stick table"},
    {"show version", "", ADMIN_USER, admin_show_version, "the version"},
    {"shutdown session", "<id>", ADMIN_ADMIN, admin_shutdown_session,
        "end a session, with a reset to both sides"},
    {"shutdown sessions server", "<bk>/<srv>", ADMIN_ADMIN, admin_shutdown_server,
        "end all sessions of a backend"},
    {"upgrade", "", ADMIN_ADMIN, admin_upgrade,
        "hand over to the program that is installed now; of postern's own"},
    {"user", "", ADMIN_USER, become_user, "lower one's level to user"},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* ---- reading ------------------------------------------------------------------------------------------ */

char *admin_cut(char *line, char **rest)
{
    char *at = line;

    while (*at && *at != ';')
        at += at[0] == '\\' && at[1] ? 2 : 1;
    *rest = *at ? at + 1 : NULL;
    *at = '\0';
    return line;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

unsigned admin_split(char *command, const char *words[ADMIN_WORDS_MAX + 1])
{
    unsigned n = 0;
    char *at = command;

    while (n < ADMIN_WORDS_MAX) {
        while (is_blank(*at))
            at++;
        if (!*at || *at == '#')
            break;
        char *to = at;
        words[n++] = at;
        while (*at && !is_blank(*at)) {
            at += at[0] == '\\' && at[1];
            *to++ = *at++;
        }
        bool last = !*at;
        at += !last;
        *to = '\0';
        if (last)
            break;
    }
    words[n] = NULL;
    return n;
}

/* How many words of a row these begin with; 0 when they are others. */
static unsigned match(const struct command *row, const char *const *words)
{
    const char *at = row->words;

    for (unsigned n = 0; words[n]; n++) {
        size_t len = strcspn(at, " ");
        if (strlen(words[n]) != len || memcmp(words[n], at, len) != 0)
            return 0;
        if (!at[len])
            return n + 1;
        at += len + 1;
    }
    return 0;
}

/* ---- answering ---------------------------------------------------------------------------------------- */

const char *admin_level_name(enum admin_level level)
{
    static const char *const names[] = {
        [ADMIN_USER] = "user", [ADMIN_OPERATOR] = "operator", [ADMIN_ADMIN] = "admin"};
    return names[level];
}

const char *admin_word(const struct admin_call *c, unsigned i)
{
    return i < c->n_words ? c->words[i] : "";
}

static void add_severity(const struct admin_call *c, int severity)
{
    static const char *const names[] = {
        [LOG_ERR] = "err", [LOG_WARNING] = "warning", [LOG_NOTICE] = "notice", [LOG_INFO] = "info"};

    if (c->session->severity == ADMIN_SEVERITY_NUMBER)
        admin_reply_print(c->reply, "[%d]: ", severity);
    if (c->session->severity == ADMIN_SEVERITY_STRING)
        admin_reply_print(c->reply, "[%s]: ", names[severity]);
}

void admin_say(const struct admin_call *c, int severity, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    for (char *at = text; *at; at++) /* it may tell what was typed */
        *at = *at >= ' ' && *at <= '~' ? *at : '?';
    add_severity(c, severity);
    admin_reply_print(c->reply, "%s\n", text);
}

static bool has_word(const struct command *row, const char *word)
{
    return word[0] && strstr(row->words, word) != NULL;
}

/* The rows that have one of these words, or all of them. */
static unsigned list(const struct admin_call *c, const char *const *words, bool all, bool write)
{
    unsigned found = 0;

    for (size_t i = 0; i < COMMANDS; i++) {
        bool wanted = all;
        for (unsigned k = 0; words[k] && !wanted; k++)
            wanted = has_word(&commands[i], words[k]);
        if (!wanted || commands[i].level > c->session->level)
            continue;
        found++;
        char usage[USAGE_WIDTH + 1];
        snprintf(usage, sizeof(usage), "%s %s", commands[i].words, commands[i].more);
        if (write)
            admin_reply_print(c->reply, "  %-*s: %s\n", USAGE_WIDTH, usage, commands[i].help);
    }
    return found;
}

static void help(const struct admin_call *c)
{
    bool any = c->n_words > 0 && list(c, c->words, false, false) > 0;

    add_severity(c, LOG_INFO);
    admin_reply_text(c->reply, "The following commands are valid at this level:\n");
    (void)list(c, c->words, !any, true);
}

static void unknown(const struct admin_call *c)
{
    static const char *const always[] = {"help", "prompt", "quit", NULL};
    const char *first[] = {admin_word(c, 0), NULL};
    bool near = c->n_words > 0 && list(c, first, false, false) > 0;

    add_severity(c, LOG_INFO);
    admin_reply_text(
        c->reply, near ? "Unknown command, but maybe one of the following ones is a better match:\n"
                       : "Unknown command. Please enter one of the following commands only:\n");
    (void)list(c, first, !near, true);
    if (near)
        (void)list(c, always, false, true);
}

/* The words again, one blank between them, without what the log cannot carry. */
static void write_text(char text[TEXT_MAX], const char *const *words)
{
    size_t n = 0;

    for (; *words && n < TEXT_MAX - 1; words++) {
        if (n > 0)
            text[n++] = ' ';
        for (const char *at = *words; *at && n < TEXT_MAX - 1; at++)
            text[n++] = (char)(*at >= ' ' && *at <= '~' && *at != '"' && *at != '\\' ? *at : '?');
    }
    text[n] = '\0';
}

static void end_answer(const struct admin_session *s, struct admin_reply *reply)
{
    admin_reply_text(reply, s->prompt ? "\n> " : "\n");
}

void admin_run(const struct admin_world *w, struct admin_session *s, char *command, struct admin_reply *reply)
{
    const char *words[ADMIN_WORDS_MAX + 1];
    char text[TEXT_MAX];
    struct admin_call c = {.world = w, .session = s, .words = words, .text = text, .reply = reply};
    const struct command *found = NULL;
    unsigned own = 0;

    c.n_words = admin_split(command, words);
    write_text(text, words);
    for (size_t i = 0; i < COMMANDS; i++) {
        unsigned n = match(&commands[i], words);
        if (n > own) {
            own = n;
            found = &commands[i];
        }
    }
    c.words += own;
    c.n_words -= own;
    if (!found)
        unknown(&c);
    else if (found->level > s->level)
        admin_say(&c, LOG_ERR, "Permission denied");
    else
        found->run(&c);
    if (!s->quit && !s->task)
        end_answer(s, reply);
}

void admin_task_begin(struct admin_session *s, struct admin_task *t)
{
    assert(!s->task && s->on_answer);
    t->waits = true;
    s->task = t;
}

void admin_task_added(struct admin_session *s)
{
    s->task->waits = false;
    s->on_answer(s);
}

void admin_task_over(struct admin_session *s, struct admin_reply *reply)
{
    s->task = NULL;
    end_answer(s, reply);
    s->on_answer(s);
}
