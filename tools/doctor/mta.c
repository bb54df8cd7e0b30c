/* SPDX-License-Identifier: Apache-2.0 */
/* A table. Called by the checks, for the commands that mend. */
#include "tools/doctor/mta.h"

#include <stddef.h>
#include <string.h>

static const struct mta known[] = {
    {"Postfix",
        {"master.cf, of this port's smtpd: remove -o smtpd_upstream_proxy_protocol=haproxy "
         "(postscreen: postscreen_upstream_proxy_protocol)",
            "master.cf, of this port's smtpd: -o smtpd_upstream_proxy_protocol=haproxy "
            "(postscreen: -o postscreen_upstream_proxy_protocol=haproxy)",
            "master.cf, of this port's smtpd: -o smtpd_upstream_proxy_protocol=haproxy "
            "(postscreen: -o postscreen_upstream_proxy_protocol=haproxy)"},
        NULL, "main.cf: mynetworks, and permit_mynetworks in smtpd_relay_restrictions"},
    {"Exim",
        {"exim4.conf: take this gateway out of hosts_proxy", "exim4.conf: hosts_proxy = <; GATEWAY",
            "exim4.conf: hosts_proxy = <; GATEWAY"},
        "exim4.conf: hosts_proxy = <; GATEWAY", "exim4.conf: hostlist relay_from_hosts"},
    {"OpenSMTPD",
        {"smtpd.conf: remove proxy-v2 from this port's listen on", NULL,
            "smtpd.conf: proxy-v2 at the end of this port's listen on"},
        NULL, "smtpd.conf: match from src"},
    {"Haraka",
        {"connection.ini, [haproxy]: take this gateway out of hosts[]",
            "connection.ini, [haproxy]: hosts[]=GATEWAY", NULL},
        "connection.ini, [haproxy]: hosts[]=GATEWAY", "the relay plugin: relay_acl_allow"},
    {"Dovecot",
        {"dovecot.conf, this port's inet_listener: haproxy = no",
            "dovecot.conf: haproxy_trusted_networks = GATEWAY, and haproxy = yes in this port's "
            "inet_listener",
            "dovecot.conf: haproxy_trusted_networks = GATEWAY, and haproxy = yes in this port's "
            "inet_listener"},
        "dovecot.conf: haproxy_trusted_networks = GATEWAY", "dovecot.conf: login_trusted_networks"},
};

static const struct mta unknown = {"the mail server",
    {"its configuration: no PROXY protocol on this port",
        "its configuration: PROXY protocol version 1 on this port",
        "its configuration: PROXY protocol version 2 on this port"},
    NULL, "its configuration: the networks that may relay"};

const struct mta *mta_of(const char *greeting)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strstr(greeting, known[i].name))
            return &known[i];
    return &unknown;
}
