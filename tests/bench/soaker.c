/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soaker: the bench's instrument for the gateway's core. It runs there at the lowest priority (SCHED_IDLE),
 * so that the core is never idle, and does nothing but read the clock: every jump of the clock is time in
 * which somebody else had the core, be it a process or an interrupt.
 *
 * Happy path: soaker CPU FILE; it adds the jumps up in FILE (24 bytes, shared memory: see struct page) until
 * it is killed. Failure: words on standard error, status 1. Started by cpu.py, which says what is made of the
 * figures.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES 100000

/* Read by another process without a lock: it reads again when `turn` was odd or has changed meanwhile. */
struct page {
    volatile uint64_t turn;
    volatile uint64_t taken_ns; /* by others, up to `last_ns` */
    volatile uint64_t last_ns;  /* CLOCK_MONOTONIC */
};

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* What one undisturbed reading of the clock takes: the median of many. */
static uint64_t undisturbed_ns(void)
{
    static uint32_t samples[SAMPLES];
    uint64_t last = now_ns();

    for (int i = 0; i < SAMPLES; i++) {
        uint64_t now = now_ns();

        samples[i] = (uint32_t)(now - last);
        last = now;
    }
    qsort(samples, SAMPLES, sizeof(samples[0]), compare);
    return samples[SAMPLES / 2];
}

static void __attribute__((noreturn)) soak(struct page *page)
{
    uint64_t usual = undisturbed_ns();
    uint64_t last = now_ns();

    for (;;) {
        uint64_t now = now_ns();

        /* No interrupt is shorter than a few readings; what is shorter is a miss in a cache. */
        if (now - last > 4 * usual + 100) {
            page->turn++;
            page->taken_ns += now - last - usual;
            page->last_ns = now;
            page->turn++;
        } else {
            page->last_ns = now;
        }
        last = now;
    }
}

int main(int argc, char **argv)
{
    struct sched_param none = {.sched_priority = 0};
    struct page *page;
    cpu_set_t cpus;
    int fd;

    if (argc != 3) {
        fprintf(stderr, "usage: soaker CPU FILE\n");
        return 1;
    }
    CPU_ZERO(&cpus);
    CPU_SET((unsigned)atoi(argv[1]), &cpus);
    fd = open(argv[2], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(*page)) < 0) {
        fprintf(stderr, "soaker: %s: %s\n", argv[2], strerror(errno));
        return 1;
    }
    page = mmap(NULL, sizeof(*page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED || sched_setaffinity(0, sizeof(cpus), &cpus) < 0 ||
        sched_setscheduler(0, SCHED_IDLE, &none) < 0) {
        fprintf(stderr, "soaker: cannot take CPU %s at the lowest priority: %s\n", argv[1], strerror(errno));
        return 1;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    soak(page);
}
