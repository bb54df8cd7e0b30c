/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * dissolve: the kernel's own structures, declared as far as they are read. The offsets are relocated against
 * the running kernel when the program is loaded (CO-RE); fields that a kernel lacks are asked for with
 * bpf_core_field_exists. Linux 6.6 to 6.18.
 */
#ifndef POSTERN_BPF_DISSOLVE_KERNEL_H
#define POSTERN_BPF_DISSOLVE_KERNEL_H

#include <linux/types.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct sk_buff {
    __u16 mac_header, network_header;
    __u8 ip_summed : 2;
};

struct sock_common {
    volatile unsigned char skc_state;
};

struct sock {
    struct sock_common __sk_common;
};

struct inet_sock {
    struct sock sk;
};

struct inet_connection_sock {
    struct inet_sock icsk_inet;
};

struct tcp_options_received {
    __u32 ts_recent;
    __u16 tstamp_ok : 1, sack_ok : 3, snd_wscale : 4, rcv_wscale : 4;
};

struct tcp_md5sig_info;
struct tcp_ao_info;

struct tcp_sock {
    struct inet_connection_sock inet_conn;
    __u32 rcv_nxt, copied_seq, snd_nxt, snd_una, write_seq;
    __u64 bytes_received;
    __u32 tsoffset;
    __u8 ecn_flags;
    __u16 urg_data;
    __u8 tcp_usec_ts : 1; /* since 6.7 */
    struct tcp_options_received rx_opt;
    struct tcp_md5sig_info *md5sig_info; /* with CONFIG_TCP_MD5SIG */
    struct tcp_ao_info *ao_info;         /* with CONFIG_TCP_AO, since 6.7 */
};

#pragma clang attribute pop

/* sk_buff.ip_summed */
#define CHECKSUM_COMPLETE 2
#define CHECKSUM_PARTIAL 3

/* tcp_sock.ecn_flags: RFC 3168 was negotiated; accurate ECN was (since 6.18). */
#define TCP_ECN_RFC3168 1
#define TCP_ECN_ACCURATE 16

#endif
