/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel, and what postern may do and have there. Called by doctor.c. */
#include "control/kernel/interface.h"
#include "control/kernel/preflight.h"
#include "control/kernel/sysctl.h"
#include "snapshot.h"
#include "tools/doctor/check_host.h"
#include "tools/doctor/doctor.h"
#include "tools/doctor/process.h"
#include "tools/doctor/setup.h"
#include "tools/posternctl/memory.h"

#include <errno.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/utsname.h>
#include <unistd.h>

#define BTF "/sys/kernel/btf/vmlinux"
#define BPFFS "/sys/fs/bpf"
#define SHORT_OF_BYTES (64ULL << 20)
#define JOURNAL "/var/log/journal"

/* A refusal as postern writes it at its start, without its name before it. */
static void tell_refusal(
    struct doctor *d, int (*look)(FILE *errors), const char *tried, const char *why, const char *mend)
{
    static const char name[] = "postern: ";
    char *text;
    size_t n;
    FILE *errors = must(open_memstream(&text, &n));

    int error = look(errors);
    fclose(errors);
    if (error && n > sizeof(name)) {
        text[n - 1] = '\0';
        struct finding *f = doctor_find(d, VERDICT_FAILED, "%s", "");
        finding_say(f, TRIED, "%s", tried);
        finding_say(f, SEEN, "%s", text + sizeof(name) - 1);
        finding_say(f, WHY, "%s", why);
        finding_say(f, MEND, "%s", mend);
    }
    free(text);
}

void check_kernel(struct doctor *d)
{
    struct utsname name = {0};

    tell_refusal(d, preflight_kernel, "asked for its version",
        "postern does not start: its eBPF links need tcx",
        "# on Debian 12, with bookworm-backports in the sources:\napt-get install -t bookworm-backports "
        "linux-image-amd64");
    if (findings_verdict(&d->findings, d->now) == VERDICT_OK && uname(&name) == 0)
        doctor_note(d, VERDICT_OK, "Linux %s", name.release);
}

void check_io_uring(struct doctor *d)
{
    uid_t uid;
    gid_t gid;

    tell_refusal(d, preflight_io_uring, "set up a ring",
        "postern does not start: every session lives in a ring",
        "sysctl -w kernel.io_uring_disabled=0\n# if that is not why: a seccomp filter or a container's "
        "profile");
    if (sysctl_number("kernel/io_uring_disabled", 0) != 1 || !process_user(d, &uid, &gid) || uid == 0 ||
        sysctl_number("kernel/io_uring_group", -1) == (long)gid)
        return;
    struct finding *f = doctor_find(d, VERDICT_FAILED, "%s", "");
    finding_say(f, TRIED, "read kernel.io_uring_disabled and kernel.io_uring_group");
    finding_say(f, SEEN, "rings are reserved for root and group %ld; postern runs with group %u",
        sysctl_number("kernel/io_uring_group", -1), gid);
    finding_say(f, WHY, "postern does not start: every session lives in a ring");
    finding_say(f, MEND, "sysctl -w kernel.io_uring_group=%u", gid);
}

void check_bpf(struct doctor *d)
{
    struct statfs fs;

    if (sysctl_number("net/core/bpf_jit_enable", 1) == 0)
        setup_tell_sysctl(d, VERDICT_WARNING, "net.core.bpf_jit_enable", 0, 1,
            "every packet passes programs that are interpreted then, at many times the cost");
    if (!setup_dissolves(d->snapshot))
        return;
    if (access(BTF, R_OK)) {
        struct finding *f = doctor_find(d, VERDICT_FAILED, BTF);
        finding_say(f, TRIED, "opened it");
        finding_say(f, SEEN, "%s", strerror(errno));
        finding_say(f, WHY, "the dissolve program reads the kernel's sockets by it: postern does not start");
        finding_say(
            f, MEND, "# boot a kernel with CONFIG_DEBUG_INFO_BTF=y (Debian's have it), or set dissolve: off");
    }
    if (statfs(BPFFS, &fs) == 0 && fs.f_type == BPF_FS_MAGIC)
        return;
    struct finding *f = doctor_find(d, VERDICT_FAILED, BPFFS);
    finding_say(f, TRIED, "looked for a BPF file system there");
    finding_say(f, SEEN, "it is none");
    finding_say(f, WHY, "dissolved sessions live on what is pinned there: postern does not start");
    finding_say(f, MEND, "mount -t bpf bpf " BPFFS);
}

void check_capabilities(struct doctor *d)
{
    static const struct {
        unsigned number;
        const char *name;
        enum verdict verdict;
        bool to_dissolve;
        const char *why;
    } wanted[] = {
        {CAP_NET_ADMIN, "CAP_NET_ADMIN", VERDICT_FAILED, false,
            "no socket can take a client's address: every session with source: client is refused"},
        {CAP_NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE", VERDICT_WARNING, false,
            "clients with a source port below 1024 are shown to backends with another port"},
        {CAP_NET_RAW, "CAP_NET_RAW", VERDICT_WARNING, true,
            "dissolved sessions that were silent for too long end without a reset"},
    };
    struct process p;

    if (!d->pid || !process_read(d->pid, &p)) {
        doctor_note(d, VERDICT_SKIPPED, "%s",
            d->running ? "the process of the running postern is not to be seen from here"
                       : "postern does not run");
        return;
    }
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        if (p.capabilities & 1ULL << wanted[i].number ||
            (wanted[i].to_dissolve && !setup_dissolves(d->snapshot)))
            continue;
        struct finding *f = doctor_find(d, wanted[i].verdict, "process %d", (int)d->pid);
        finding_say(f, TRIED, "read its effective capabilities");
        finding_say(f, SEEN, "%s is missing", wanted[i].name);
        finding_say(f, WHY, "%s", wanted[i].why);
        finding_say(f, MEND,
            "# systemctl edit postern, then systemctl restart postern:\n# [Service]\n"
            "# AmbientCapabilities=%s\n# CapabilityBoundingSet=%s",
            wanted[i].name, wanted[i].name);
    }
}

static void tell_descriptors(
    struct doctor *d, const char *whose, uint64_t need, uint64_t have, const char *mend)
{
    struct finding *f = doctor_find(d, VERDICT_FAILED, "%s", "");

    finding_say(f, TRIED, "compared gateway.max_sessions with %s", whose);
    finding_say(f, SEEN, "%u sessions need %llu descriptors, there are at most %llu",
        d->snapshot->max_sessions, (unsigned long long)need, (unsigned long long)have);
    finding_say(f, WHY, "%s", d->running ? "beyond that clients are refused" : "postern does not start");
    finding_say(f, MEND, "%s", mend);
}

void check_descriptors(struct doctor *d)
{
    uint64_t need = preflight_descriptors(d->snapshot->max_sessions, d->snapshot->workers);
    uint64_t most = (uint64_t)sysctl_number("fs/nr_open", 1 << 20);
    struct process p;
    char mend[160];

    if (most < need) {
        snprintf(mend, sizeof(mend),
            "sysctl -w fs.nr_open=%llu\n# and LimitNOFILE=%llu in the unit; or lower gateway.max_sessions",
            (unsigned long long)need, (unsigned long long)need);
        tell_descriptors(d, "what one process can have on this host (fs.nr_open)", need, most, mend);
    } else if (d->pid && process_read(d->pid, &p) && p.descriptors < need) {
        snprintf(mend, sizeof(mend),
            "# in the unit, with systemctl edit postern: LimitNOFILE=%llu; then:\nsystemctl restart postern",
            (unsigned long long)need);
        tell_descriptors(d, "what its process may have", need, p.descriptors, mend);
    }
}

void check_loopback(struct doctor *d)
{
    if (d->snapshot && setup_has_vip(d->snapshot, AF_INET6) &&
        sysctl_number("net/ipv6/conf/lo/disable_ipv6", 0))
        setup_tell_sysctl(d, VERDICT_FAILED, "net.ipv6.conf.lo.disable_ipv6", 1, 0,
            "addresses that end at this host lead over lo: no client reaches a VIP of IPv6, and postern does "
            "not start");
    if (interface_is_up("lo"))
        return;
    struct finding *f = doctor_find(d, VERDICT_FAILED, "interface lo");
    finding_say(f, TRIED, "asked for its state");
    finding_say(f, SEEN, "it is down");
    finding_say(f, WHY, "addresses that end at this host lead over it: no client reaches a VIP");
    finding_say(f, MEND, "ip link set lo up");
}

void check_clock(struct doctor *d)
{
    struct timex t = {0};

    int state = adjtimex(&t);
    if (state < 0) {
        doctor_note(d, VERDICT_SKIPPED, "the clock does not tell: %s", strerror(errno));
        return;
    }
    if (state != TIME_ERROR && !(t.status & STA_UNSYNC)) {
        doctor_note(d, VERDICT_OK, "synchronised to within %ld ms", t.maxerror / 1000);
        return;
    }
    struct finding *f = doctor_find(d, VERDICT_WARNING, "the clock");
    finding_say(f, TRIED, "asked the kernel whether somebody keeps it right (adjtimex)");
    finding_say(f, SEEN, "nobody does");
    finding_say(f, WHY, "lines of postern's log cannot be laid beside those of the mail servers");
    finding_say(f, MEND, "timedatectl set-ntp true\n# or with a server of your own: apt-get install chrony");
}

/* Where its lines end up: the file that it writes to, or the journal. NULL: neither. */
static const char *find_log(const struct doctor *d, char path[64])
{
    char target[PATH_MAX] = "";

    snprintf(path, 64, "/proc/%d/fd/2", (int)d->pid);
    if (d->pid && readlink(path, target, sizeof(target) - 1) > 0 && target[0] == '/' &&
        strncmp(target, "/dev/", 5) != 0)
        return path;
    return access(JOURNAL, F_OK) == 0 ? JOURNAL : NULL;
}

void check_log(struct doctor *d)
{
    char path[64];
    const char *log = find_log(d, path);
    struct statvfs fs;

    if (!log || statvfs(log, &fs)) {
        doctor_note(d, VERDICT_SKIPPED, "it is not seen from here where the log is kept");
        return;
    }
    unsigned long long left = (unsigned long long)fs.f_bavail * fs.f_frsize;
    if (left >= SHORT_OF_BYTES) {
        doctor_note(d, VERDICT_OK, "%llu MiB left", left >> 20);
        return;
    }
    struct finding *f = doctor_find(d, left ? VERDICT_WARNING : VERDICT_FAILED, "the file system of the log");
    finding_say(f, TRIED, "asked how much is left");
    finding_say(f, SEEN, "%llu KiB", left >> 10);
    finding_say(
        f, WHY, "lines of sessions that cannot be written are lost: who has sent what is not known then");
    finding_say(f, MEND, log == path ? "df -h; # then make room" : "journalctl --vacuum-size=500M");
}
