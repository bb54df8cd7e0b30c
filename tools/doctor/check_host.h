/* SPDX-License-Identifier: Apache-2.0 */
/* The checks of this host, by the files that they are in. */
#ifndef DOCTOR_CHECK_HOST_H
#define DOCTOR_CHECK_HOST_H

struct doctor;

/* check_config.c */
void check_config(struct doctor *d);
void check_access(struct doctor *d);
void check_admin_socket(struct doctor *d);
void check_loaded(struct doctor *d);
void check_trouble(struct doctor *d);

/* check_system.c */
void check_kernel(struct doctor *d);
void check_io_uring(struct doctor *d);
void check_bpf(struct doctor *d);
void check_capabilities(struct doctor *d);
void check_descriptors(struct doctor *d);
void check_loopback(struct doctor *d);
void check_clock(struct doctor *d);
void check_log(struct doctor *d);

/* check_vips.c */
void check_listeners(struct doctor *d);
void check_plan(struct doctor *d);
void check_duplicates(struct doctor *d);

/* check_ways.c */
void check_routes(struct doctor *d);
void check_rules(struct doctor *d);
void check_programs(struct doctor *d);

/* check_sysctl.c */
void check_rp_filter(struct doctor *d);
void check_forwarding(struct doctor *d);
void check_router_advertisements(struct doctor *d);
void check_tcp(struct doctor *d);

/* check_firewall.c */
void check_firewall(struct doctor *d);
void check_conntrack(struct doctor *d);

/* check_files.c */
void check_state_file(struct doctor *d);
void check_sources(struct doctor *d);

/* check_names.c */
void check_zones(struct doctor *d);
void check_resolver(struct doctor *d);

#endif
