/* SPDX-License-Identifier: Apache-2.0 */
/* The checks that send, each in the file that its comment names. */
#ifndef DOCTOR_CHECK_NETWORK_H
#define DOCTOR_CHECK_NETWORK_H

struct doctor;

void check_return_path(struct doctor *d); /* check_return.c */
void check_proxy(struct doctor *d);       /* check_proxy.c */
void check_strangers(struct doctor *d);   /* check_strangers.c */
void check_trust(struct doctor *d);       /* check_trust.c */
void check_relaying(struct doctor *d);    /* check_relaying.c */
void check_path_mtu(struct doctor *d);    /* check_path_mtu.c */
void check_vip_names(struct doctor *d);   /* check_dns.c */
void check_dnsbl(struct doctor *d);       /* check_dns.c */
void check_outside(struct doctor *d);     /* check_outside.c */

#endif
