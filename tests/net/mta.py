#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Real mail servers as backends, each inside a network namespace, with everything it writes in one directory.

    with Postfix(namespace, directory) as mta:      # returns when its ports answer with a greeting
        mark = mta.log.mark()
        ...
        mta.log.wait_for(r"client=unknown\\[198\\.51\\.100\\.7\\]", since=mark)

Ports, the same for every server: DIRECT takes connections as they come, PROXY expects a PROXY header.
`namespace` is a lab.Namespace. How the servers get onto this machine is told in mta_parts.py.

Run as a program, `mta.py --install` downloads and unpacks them; it is quick when that was done before.
"""
import contextlib
import hashlib
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import textwrap
import time

import mta_parts
from daemon import LogFile
from lab import hostport
from mta_parts import Cage, installed_part

DIRECT, PROXY, SCREEN, SCREEN_PROXY = 25, 26, 27, 28
DOMAIN = "example.test"  # the servers take mail for it, from anybody, and drop it
GATEWAYS = ("10.2.0.0/24", "2001:db8:2::/64")  # where PROXY headers may come from: the inside networks
START_TIMEOUT = 60


class Log:
    """A server's log. Waiting ends at a matching line, at the deadline, or when the server has ended."""

    def __init__(self, path, alive):
        self._file, self._alive = LogFile(path), alive

    def close(self):
        self._file.close()

    def lines(self, since=0):
        return self._file.read()[since:]

    def mark(self):
        """The place from which a later find() or wait_for() looks."""
        return len(self._file.read())

    def find(self, pattern, since=0):
        """The first match of a pattern in a line since the mark, or None."""
        return next(filter(None, (re.search(pattern, line) for line in self.lines(since))), None)

    def wait_for(self, pattern, since=0, count=1):
        """Waits until `count` lines since the mark match; returns the last of these matches."""
        def enough(lines):
            matches = list(filter(None, (re.search(pattern, line) for line in lines[since:])))
            return matches[count - 1] if len(matches) >= count else None

        try:
            return self._file.wait(enough, f"{count} line(s) like {pattern!r} in {self._file.path}", alive=self._alive)
        except AssertionError as error:
            raise AssertionError("\n".join([f"{error}; since then it logged:", *self.lines(since)[-20:]])) from None


class Mta:
    """What all servers share: a certificate, a cage to run in, the start, the log, the end."""

    part = None
    command = ()
    log_name = "log"
    proxy_version = 1  # what a probe of a PROXY port sends

    def __init__(self, namespace, directory, name="mx"):
        self.namespace, self.name = namespace, f"{name}.{DOMAIN}"
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o755)
        self.conf = self.directory / "conf"
        self.conf.mkdir(exist_ok=True)
        self.cage = Cage(installed_part(self.part), self.directory, namespace.path)
        self.log = Log(self.directory / self.log_name, self.alive)
        self._process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *exc):
        self.stop()
        self.log.close()

    def alive(self):
        return self._process is not None and self._process.poll() is None

    def ports(self):
        return {DIRECT: False, PROXY: True}

    def configure(self):
        """Writes the configuration into self.conf (inside the cage: /mta/conf)."""
        raise NotImplementedError

    def start(self):
        self._make_certificate()
        self.configure()
        with open(self.directory / "output", "wb") as output:
            self._process = subprocess.Popen(self.cage.command(*self.command), stdin=subprocess.DEVNULL, stdout=output,
                                             stderr=output)
        try:
            deadline = time.monotonic() + START_TIMEOUT
            for port, proxied in self.ports().items():
                for host in self.hosts():
                    self._wait_for_greeting(host, port, proxied, deadline)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        """Kills the first process of the cage's pid namespace: the kernel ends all others with it."""
        if self._process is None:
            return
        if self._process.poll() is None:
            children = pathlib.Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
            for pid in children or [self._process.pid]:
                subprocess.run(["kill", "-KILL", pid], check=False, stderr=subprocess.DEVNULL)
        self._process.wait(timeout=30)
        self._process = None

    def hosts(self):
        return [self.namespace.v4, self.namespace.v6]

    def write(self, name, text, directory=None):
        path = (directory or self.conf) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        return path

    def fingerprint(self):
        """SHA-256 of the server's certificate."""
        pem = (self.directory / "tls" / "cert.pem").read_text()
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()

    def _make_certificate(self):
        tls = self.directory / "tls"
        tls.mkdir(exist_ok=True)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                        "-nodes", "-days", "2", "-subj", f"/CN={self.name}",
                        "-addext", f"subjectAltName=DNS:{self.name}",
                        "-keyout", tls / "key.pem", "-out", tls / "cert.pem"], check=True, capture_output=True)
        (tls / "key.pem").chmod(0o600)

    def _wait_for_greeting(self, host, port, proxied, deadline):
        problem = "nothing tried"
        while time.monotonic() < deadline:
            try:
                line = self._greeting(host, port, proxied)
                if line.startswith(b"220"):
                    return
                problem = f"it said {line!r}"
            except OSError as error:
                problem = str(error)
            with contextlib.suppress(subprocess.TimeoutExpired):
                problem = f"it ended with status {self._process.wait(0.05)}"
                break
        output = (self.directory / "output").read_text(errors="replace").splitlines()
        raise AssertionError("\n".join([f"{type(self).__name__} does not greet on [{host}]:{port}: {problem}",
                                        *output, *self.log.lines()]))

    def _greeting(self, host, port, proxied):
        with self.namespace.connect(host, port, timeout=10) as s:
            if proxied:
                s.sendall(proxy_header(self.proxy_version, s))
            with s.makefile("rb") as lines:
                line = lines.readline()
                if line[:4] != b"220-":  # there is more to come, and somebody watches for early talkers
                    s.sendall(b"QUIT\r\n")
                    lines.read()
                return line


def proxy_header(version, s):
    """The header that names the two ends of this very connection."""
    source, destination = s.getsockname(), s.getpeername()
    v6 = s.family == socket.AF_INET6
    if version == 1:
        return (f"PROXY TCP{'6' if v6 else '4'} {source[0]} {destination[0]} {source[1]} {destination[1]}\r\n").encode()
    addresses = b"".join(socket.inet_pton(s.family, end[0]) for end in (source, destination))
    ports = b"".join(end[1].to_bytes(2, "big") for end in (source, destination))
    body = addresses + ports
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x21, 0x21 if v6 else 0x11]) + len(body).to_bytes(2, "big") + body


class Postfix(Mta):
    """smtpd on DIRECT and PROXY; with screen=True also postscreen, on SCREEN and SCREEN_PROXY. `settings`: more of main.cf."""

    part = "postfix"
    command = ("sh", "-euc", """
        cp /mta/conf/main.cf /mta/conf/master.cf /usr/share/postfix/dynamicmaps.cf /etc/postfix/
        touch -d "1 minute ago" /etc/postfix/*.cf  # a file younger than 2 s is read again and again until it is older
        chown postfix: /var/lib/postfix
        cd /var/spool/postfix
        for name in active bounce corrupt defer deferred flush hold incoming private saved trace maildrop public; do
            install -d -m 700 -o postfix -g postfix $name
        done
        install -d -m 730 -o postfix -g postdrop maildrop
        install -d -m 710 -o postfix -g postdrop public
        install -d -m 755 pid
        # What `postfix start-fg` would start, without its seconds of checks.
        export MAIL_CONFIG=/etc/postfix MAIL_LOGTAG=postfix
        exec /usr/lib/postfix/sbin/master -s""")

    def __init__(self, namespace, directory, name="mx", mynetworks="127.0.0.0/8 [::1]/128", screen=False,
                 settings=""):
        super().__init__(namespace, directory, name)
        self.mynetworks, self.screen, self.settings = mynetworks, screen, settings

    def ports(self):
        return super().ports() | ({SCREEN: False, SCREEN_PROXY: True} if self.screen else {})

    def configure(self):
        self.write("main.cf", f"""
            compatibility_level = 3.6
            queue_directory = /var/spool/postfix
            data_directory = /var/lib/postfix
            command_directory = /usr/sbin
            daemon_directory = /usr/lib/postfix/sbin
            shlib_directory = /usr/lib/postfix
            maillog_file = /mta/log
            maillog_file_prefixes = /mta
            myhostname = {self.name}
            inet_interfaces = all
            inet_protocols = all
            mynetworks = {self.mynetworks}
            mydestination =
            local_transport = error:no local mail here
            alias_maps =
            relay_domains = {DOMAIN}
            relay_transport = discard:
            default_transport = discard:
            smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
            smtpd_peername_lookup = no
            smtpd_client_port_logging = yes
            smtpd_upstream_proxy_timeout = 5s
            smtpd_tls_security_level = may
            smtpd_tls_chain_files = /mta/tls/key.pem, /mta/tls/cert.pem
            postscreen_access_list =
            postscreen_greet_action = enforce
            postscreen_greet_wait = 2s
            """)
        with open(self.conf / "main.cf", "a", encoding="ascii") as main_cf:
            main_cf.write(self.settings)
        self.write("master.cf", MASTER_CF + (MASTER_CF_SCREEN if self.screen else ""))


MASTER_CF = f"""
{DIRECT}     inet  n  -  n  -  -  smtpd
{PROXY}     inet  n  -  n  -  -  smtpd
    -o smtpd_upstream_proxy_protocol=haproxy
smtpd  pass  -  -  n  -  -  smtpd
dnsblog    unix  -  -  n  -  0  dnsblog
tlsproxy   unix  -  -  n  -  0  tlsproxy
pickup     unix  n  -  n  60 1  pickup
cleanup    unix  n  -  n  -  0  cleanup
qmgr       unix  n  -  n  300 1 qmgr
tlsmgr     unix  -  -  n  1000? 1 tlsmgr
rewrite    unix  -  -  n  -  -  trivial-rewrite
bounce     unix  -  -  n  -  0  bounce
defer      unix  -  -  n  -  0  bounce
trace      unix  -  -  n  -  0  bounce
proxymap   unix  -  -  n  -  -  proxymap
proxywrite unix  -  -  n  -  1  proxymap
anvil      unix  -  -  n  -  1  anvil
error      unix  -  -  n  -  -  error
discard    unix  -  -  n  -  -  discard
postlog    unix-dgram n - n - 1 postlogd
"""

# Two postscreens cannot share one cache file.
MASTER_CF_SCREEN = f"""
{SCREEN}     inet  n  -  n  -  1  postscreen
{SCREEN_PROXY}     inet  n  -  n  -  1  postscreen
    -o postscreen_upstream_proxy_protocol=haproxy
    -o postscreen_cache_map=$default_database_type:$data_directory/postscreen_cache_proxy
"""


class Exim(Mta):
    """`relay_from`: the networks that it relays for."""

    part = "exim"
    log_name = "mainlog"
    command = ("sh", "-euc", """
        mkdir -p /var/spool/exim4
        chown Debian-exim: /var/spool/exim4 /mta/tls/key.pem /mta /mta/mainlog
        cp /mta/conf/exim4.conf /etc/exim4/
        exec exim4 -bdf""")

    def __init__(self, namespace, directory, name="mx", relay_from=()):
        super().__init__(namespace, directory, name)
        self.relay_from = relay_from

    def configure(self):
        self.write("exim4.conf", f"""
            primary_hostname = {self.name}
            daemon_smtp_ports = {DIRECT} : {PROXY}
            local_interfaces = <; 0.0.0.0 ; ::0
            hosts_proxy = ${{if eq{{$received_port}}{{{PROXY}}}{{<; {' ; '.join(GATEWAYS)}}}}}
            log_file_path = /mta/%slog
            log_selector = +proxy +incoming_port +incoming_interface
            host_lookup =
            rfc1413_hosts =
            tls_advertise_hosts = *
            tls_certificate = /mta/tls/cert.pem
            tls_privatekey = /mta/tls/key.pem
            acl_smtp_rcpt = check_rcpt
            acl_smtp_data = accept
            never_users =
            keep_environment =

            begin acl
            check_rcpt:
              accept domains = {DOMAIN}
              accept hosts = <; {' ; '.join(self.relay_from)}
              deny message = relay not permitted

            begin routers
            drop:
              driver = redirect
              data = :blackhole:
            """)


class OpenSmtpd(Mta):
    """
    Without TLS: Debian 12's fails every handshake, for it does not get along with OpenSSL 3. `relay_from`: the networks that it
    relays for.
    """

    part = "opensmtpd"
    proxy_version = 2
    command = ("sh", "-euc", """
        mkdir -p /var/spool/smtpd
        chmod 711 /var/spool/smtpd
        cp /mta/conf/smtpd.conf /etc/
        exec smtpd -d -f /etc/smtpd.conf >>/mta/log 2>&1""")

    def __init__(self, namespace, directory, name="mx", relay_from=()):
        super().__init__(namespace, directory, name)
        self.relay_from = relay_from

    def configure(self):
        listen = [f"listen on {host} port {port} hostname {self.name}{' proxy-v2' if proxied else ''}"
                  for host in self.hosts() for port, proxied in self.ports().items()]
        self.write("smtpd.conf", "\n".join([
            'table recipients { "@" = "nobody" }', *listen,
            'action "drop" mda "/bin/cat >/dev/null" virtual <recipients>',
            *[f'match from src "{network}" for any action "drop"' for network in self.relay_from],
            f'match from any for domain "{DOMAIN}" action "drop"', ""]))


class Haraka(Mta):
    """
    One port: it expects a PROXY header from the addresses in `proxies`, and only from these. `relay_from`: the networks that it
    relays for.
    """

    part = "haraka"
    command = ("sh", "-euc", """
        export YES_REALLY_DO_DISCARD=1
        exec node /opt/haraka/node_modules/Haraka/bin/haraka -c /mta/conf >>/mta/log 2>&1""")

    def __init__(self, namespace, directory, name="mx", proxies=("10.2.0.1/32", "2001:db8:2::1/128"), relay_from=()):
        super().__init__(namespace, directory, name)
        self.proxies, self.relay_from = proxies, relay_from

    def ports(self):
        return {DIRECT: False}

    def configure(self):
        listen = ",".join(hostport(host, DIRECT) for host in self.hosts())
        config = self.conf / "config"
        self.write("smtp.ini", f"listen={listen}\nnodes=0\n", config)
        self.write("me", f"{self.name}\n", config)
        self.write("loglevel", "info\n", config)
        self.write("host_list", f"{DOMAIN}\n", config)
        self.write("plugins", "tls\nrelay_from\nrcpt_to.in_host_list\nqueue/discard\n", config)
        self.write("relay_from", "".join(f"{network}\n" for network in self.relay_from), config)
        self.write("relay_from.js", """
            const net_utils = require('haraka-net-utils')
            exports.hook_connect = function (next, connection) {
                connection.relaying = net_utils.ip_in_list(this.config.get('relay_from', 'list'), connection.remote.ip)
                next()
            }
            """, self.conf / "plugins")
        # A setting that is left out of this file is not taken from Haraka's own.
        self.write("connection.ini", "[haproxy]\n" + "".join(f"hosts[]={host}\n" for host in self.proxies) + """
            [main]
            [headers]
            max_lines=1000
            max_received=100
            [max]
            bytes=26214400
            mime_parts=1000
            line_length=512
            data_line_length=992
            [message]
            helo=Haraka is at your service.
            close=closing connection.
            [uuid]
            banner_chars=6
            """, config)
        # Without this file Haraka spends half a minute on finding a prime number.
        subprocess.run(["openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe2048",
                        "-out", config / "dhparams.pem"], check=True, capture_output=True)
        self.write("tls.ini", "key=tls_key.pem\ncert=tls_cert.pem\n", config)
        for name in ("key", "cert"):
            self.write(f"tls_{name}.pem", (self.directory / "tls" / f"{name}.pem").read_text(), config)


class Dovecot(Mta):
    """The submission server. Any user may log in with PASSWORD; mail goes on to `relay`, a (host, port)."""

    part = "dovecot"
    PASSWORD = "secret"
    command = ("sh", "-euc", """
        mkdir -p /var/vmail && chown vmail: /var/vmail
        exec dovecot -F -c /mta/conf/dovecot.conf""")

    def __init__(self, namespace, directory, name="mx", relay=("127.0.0.1", 2525)):
        super().__init__(namespace, directory, name)
        self.relay = relay

    def configure(self):
        version = self.cage.run("dovecot", "--version").stdout
        new = tuple(map(int, version.split()[0].split(".")[:2])) >= (2, 4)
        self.write("dovecot.conf", (DOVECOT_24 if new else DOVECOT_23) + textwrap.dedent(f"""
            listen = {', '.join(self.hosts())}
            hostname = {self.name}
            log_path = /mta/log
            submission_relay_host = {self.relay[0]}
            submission_relay_port = {self.relay[1]}
            haproxy_trusted_networks = {' '.join(GATEWAYS)}
            service submission-login {{
              inet_listener submission {{
                port = {DIRECT}
              }}
              inet_listener submission_proxy {{
                port = {PROXY}
                haproxy = yes
              }}
            }}
            """))


DOVECOT_23 = """
protocols = submission
ssl = yes
ssl_cert = </mta/tls/cert.pem
ssl_key = </mta/tls/key.pem
disable_plaintext_auth = no
mail_location = maildir:~/Maildir
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=vmail gid=vmail home=/var/vmail
}
"""

DOVECOT_24 = """
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols = submission
ssl = yes
ssl_server_cert_file = /mta/tls/cert.pem
ssl_server_key_file = /mta/tls/key.pem
auth_allow_cleartext = yes
mail_driver = maildir
mail_path = ~/Maildir
passdb static {
  passdb_static_password = secret
}
userdb static {
  fields {
    uid = vmail
    gid = vmail
    home = /var/vmail
  }
}
"""


class Sink(Mta):
    """Takes any mail on one port of the loopback and drops it: what Dovecot hands its mail on to."""

    part = "postfix"
    PORT = 2525
    command = ("smtp-sink", "-u", "postfix", f"127.0.0.1:{PORT}", "100")

    def ports(self):
        return {self.PORT: False}

    def hosts(self):
        return ["127.0.0.1"]

    def configure(self):
        pass


def main():
    if sys.argv[1:] != ["--install"]:
        sys.exit(__doc__.strip())
    try:
        mta_parts.install(lambda line: print(line, flush=True))
    except RuntimeError as error:
        sys.exit(f"mta.py: {error}")


if __name__ == "__main__":
    main()
