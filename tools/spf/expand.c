/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The evaluation of RFC 7208 for all addresses at once.
 *
 * Happy path: a frame for the domain; its record is read term by term. Each term matches a set of addresses,
 * and the first one that matches an address decides: the set, without what is decided already, joins those
 * that pass or is only marked as decided, by the qualifier. include and redirect open a frame of their own;
 * the addresses that pass there are what matches here. The last frame's set is the result.
 *
 * Failure paths: whatever would make a receiver's check end in an error makes the whole expansion fail, as
 * does what no list can say (ptr, exists, macros, everybody). The first failure is kept, with the way to it.
 *
 * Called by main.c, by the tests and the fuzzer; one thread.
 */
#include "expand.h"

#include "base/text.h"
#include "record.h"

#include <arpa/nameser.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STRING_OF(x) #x
#define TEXT_OF(x) STRING_OF(x)
#define FAILS_TOO "; a receiver's check fails too (RFC 7208, 4.6.4)"
#define FRAMES_MAX (SPF_LOOKUPS_MAX + 1) /* every frame but the first one costs a look-up */

struct frame {
    char domain[SPF_NAME_MAX + 1];
    char *record; /* NULL: not known yet */
    const char *at;
    struct spf_term opened_by; /* in the frame below: include or redirect */
    bool ends_in_all;
    char redirect[SPF_NAME_MAX + 1]; /* "": none, or already followed */
    struct prefix_set passing, decided;
};

/* The term whose answers are awaited: a, or mx. */
struct hosts {
    struct spf_term term;
    char names[SPF_MX_MAX][SPF_NAME_MAX + 1];
    unsigned n, at;
    bool empty; /* the host asked for has no A record */
    struct prefix_set found;
};

struct spf_expansion {
    struct frame frames[FRAMES_MAX];
    unsigned n_frames;
    struct hosts hosts;
    struct spf_question question; /* its name is NULL at the end */
    unsigned n_lookups, n_voids, n_prefixes;
    uint32_t ttl;
    struct prefix_set result;
    char why[SPF_WHY_MAX];
};

/* ---- failing ------------------------------------------------------------------------------------------ */

static struct frame *top(struct spf_expansion *e)
{
    return &e->frames[e->n_frames - 1];
}

/* "TERM" in the SPF record of DOMAIN (the way there): why. */
static void fail(struct spf_expansion *e, const struct spf_term *term, const char *why)
{
    struct text t;

    text_begin(&t, e->why, sizeof(e->why));
    if (term && term->shown[0]) {
        text_add(&t, "\"");
        text_add(&t, term->shown);
        text_add(&t, "\" in ");
    }
    text_add(&t, "the SPF record of ");
    text_add(&t, top(e)->domain);
    for (unsigned i = 1; i < e->n_frames; i++) {
        text_add(&t, i == 1 ? " (" : "");
        text_add(&t, i == 1 ? e->frames[0].domain : "");
        text_add(&t, " -> ");
        text_add(&t, e->frames[i].opened_by.shown);
    }
    text_add(&t, e->n_frames > 1 ? "): " : ": ");
    text_add(&t, why);
    e->question.name = NULL;
}

static bool failed(const struct spf_expansion *e)
{
    return e->why[0];
}

/* ---- deciding ----------------------------------------------------------------------------------------- */

/* A term matches these, which are used up; what was decided before stays so. */
static void decide(struct frame *f, char qualifier, struct prefix_set *matched)
{
    if (qualifier == '+') {
        prefix_set_subtract(matched, &f->decided);
        prefix_set_unite(&f->passing, matched);
    }
    prefix_set_unite(&f->decided, matched);
    prefix_set_done(matched);
}

/* Adds a prefix that a term matches, within limits. */
static void match(
    struct spf_expansion *e, const struct spf_term *term, const struct addr_prefix *p, struct prefix_set *s)
{
    if (term->qualifier == '+' && prefix_too_short(p))
        fail(e, term,
            p->family == AF_INET6
                ? "prefixes shorter than /" TEXT_OF(PREFIX_SHORTEST_V6) " are no list of mail servers"
                : "prefixes shorter than /" TEXT_OF(PREFIX_SHORTEST_V4) " are no list of mail servers");
    else if (++e->n_prefixes > SPF_PREFIXES_MAX)
        fail(e, term, "the list gets longer than " TEXT_OF(SPF_PREFIXES_MAX) " prefixes");
    else
        prefix_set_add(s, p);
}

static void ask(struct spf_expansion *e, const char *name, int type)
{
    e->question = (struct spf_question){.name = name, .type = type};
}

/* A term that costs a look-up. */
static bool count_lookup(struct spf_expansion *e, const struct spf_term *term)
{
    if (++e->n_lookups > SPF_LOOKUPS_MAX)
        fail(e, term, "more than " TEXT_OF(SPF_LOOKUPS_MAX) " terms that need the DNS" FAILS_TOO);
    return !failed(e);
}

static void count_void(struct spf_expansion *e, const struct spf_term *term)
{
    if (++e->n_voids > SPF_VOIDS_MAX)
        fail(e, term, "more than " TEXT_OF(SPF_VOIDS_MAX) " names that do not exist" FAILS_TOO);
}

/* ---- frames ------------------------------------------------------------------------------------------- */

static void frame_done(struct frame *f)
{
    free(f->record);
    prefix_set_done(&f->passing);
    prefix_set_done(&f->decided);
}

static void open_frame(struct spf_expansion *e, const char *domain, const struct spf_term *opened_by)
{
    for (unsigned i = 0; i < e->n_frames; i++)
        if (strcmp(e->frames[i].domain, domain) == 0) {
            fail(e, opened_by, "a loop: it leads back to where it came from");
            return;
        }
    struct frame *f = &e->frames[e->n_frames++];
    *f = (struct frame){.opened_by = *opened_by};
    strcpy(f->domain, domain);
    ask(e, f->domain, ns_t_txt);
}

/* No client has an address of ::ffff:0:0/96: it counts as the IPv4 one that it stands for. */
static void drop_mapped(struct prefix_set *s)
{
    struct prefix_set mapped = {0};
    struct addr_prefix p = {.family = AF_INET6, .len = 96, .bytes = {[10] = 0xff, [11] = 0xff}};

    prefix_set_add(&mapped, &p);
    prefix_set_subtract(s, &mapped);
    prefix_set_done(&mapped);
}

static void check_result(struct spf_expansion *e)
{
    struct prefix_set *s = &e->result;

    drop_mapped(s);
    if (prefix_set_empty(s))
        fail(e, NULL, "it lets nobody pass");
    else if (prefix_set_too_large(s))
        fail(e, NULL,
            "it lets more addresses pass than " TEXT_OF(
                PREFIX_SHORTEST_MAX) " of the shortest prefixes have");
}

/* What passes in the top frame is what the term below matches. */
static void close_frame(struct spf_expansion *e)
{
    struct frame *f = top(e);
    struct prefix_set passing = f->passing;

    f->passing = (struct prefix_set){0};
    if (e->n_frames == 1) {
        e->result = passing;
        check_result(e);
        return;
    }
    decide(f - 1, f->opened_by.qualifier, &passing);
    frame_done(f);
    e->n_frames--;
}

/* ---- terms -------------------------------------------------------------------------------------------- */

static const char *name_of(struct spf_expansion *e, const struct spf_term *term)
{
    return term->name[0] ? term->name : top(e)->domain;
}

/* What no list can say. */
static const char *refusal(const struct spf_term *term)
{
    if (term->kind == SPF_EXISTS)
        return "exists is decided by each message, so that no list can stand for it";
    if (term->kind == SPF_PTR)
        return "ptr is decided by the client's name, so that no list can stand for it";
    if (term->macro && term->kind != SPF_EXP)
        return "a macro is decided by each message, so that no list can stand for it";
    if (term->kind == SPF_ALL && term->qualifier == '+')
        return "it lets everybody pass";
    return NULL;
}

static void start_hosts(struct spf_expansion *e, const struct spf_term *term)
{
    e->hosts = (struct hosts){.term = *term};
    if (!count_lookup(e, term))
        return;
    if (term->kind == SPF_MX) {
        ask(e, name_of(e, &e->hosts.term), ns_t_mx);
        return;
    }
    strcpy(e->hosts.names[0], name_of(e, term));
    e->hosts.n = 1;
    ask(e, e->hosts.names[0], ns_t_a);
}

static void take_network(struct spf_expansion *e, const struct spf_term *term)
{
    struct prefix_set one = {0};

    match(e, term, &term->prefix, &one);
    decide(top(e), term->qualifier, &one);
}

/* True when the next term can be looked at at once. */
static bool take_term(struct spf_expansion *e, const struct spf_term *term)
{
    const char *why = refusal(term);

    if (why) {
        fail(e, term, why);
        return false;
    }
    switch (term->kind) {
    case SPF_IP4:
    case SPF_IP6:
        take_network(e, term);
        return !failed(e);
    case SPF_INCLUDE:
        if (count_lookup(e, term))
            open_frame(e, term->name, term);
        return false;
    case SPF_A:
    case SPF_MX:
        start_hosts(e, term);
        return false;
    case SPF_ALL: /* nothing after it is looked at */
        top(e)->at = "";
        return true;
    case SPF_REDIRECT: /* at the end of the record, wherever it stands */
    case SPF_EXP:
    case SPF_OTHER:
    case SPF_PTR:
    case SPF_EXISTS:
        break;
    }
    return true;
}

/* The record has been read to its end. True when the frame below goes on. */
static bool end_record(struct spf_expansion *e)
{
    struct frame *f = top(e);
    struct spf_term redirect = {.kind = SPF_REDIRECT, .qualifier = '+'};
    bool last = e->n_frames == 1;

    if (!f->redirect[0] || f->ends_in_all) {
        close_frame(e);
        return !last;
    }
    strcpy(redirect.name, f->redirect);
    snprintf(redirect.shown, sizeof(redirect.shown), "redirect=%.80s", f->redirect);
    f->redirect[0] = '\0';
    if (count_lookup(e, &redirect))
        open_frame(e, redirect.name, &redirect);
    return false;
}

/* Until something must be looked up, or all is decided. */
static void advance(struct spf_expansion *e)
{
    bool more = true;

    e->question.name = NULL;
    while (more && !failed(e)) {
        struct spf_term term;
        const char *why;
        more = spf_term_next(&top(e)->at, &term, &why) == 1 ? take_term(e, &term) : end_record(e);
    }
}

/* ---- answers ------------------------------------------------------------------------------------------ */

/* The whole grammar first: an error anywhere in a record is one of the whole record. */
static void check_record(struct spf_expansion *e)
{
    struct frame *f = top(e);
    const char *at = f->at, *why;
    struct spf_term term;
    bool explained = false;
    int found;

    while ((found = spf_term_next(&at, &term, &why)) == 1 && !failed(e)) {
        f->ends_in_all |= term.kind == SPF_ALL;
        if ((term.kind == SPF_REDIRECT && f->redirect[0]) || (term.kind == SPF_EXP && explained))
            fail(e, &term, "it may stand only once");
        explained |= term.kind == SPF_EXP;
        if (term.kind == SPF_REDIRECT && !term.macro)
            strcpy(f->redirect, term.name);
        if (term.kind == SPF_REDIRECT && term.macro)
            fail(e, &term, refusal(&term));
    }
    if (found < 0)
        fail(e, &term, why);
}

static void take_record(struct spf_expansion *e, const struct spf_answer *answer)
{
    struct frame *f = top(e);

    for (size_t i = 0; i < answer->n && !failed(e); i++) {
        char *text = spf_record_text((const uint8_t *)answer->data[i], (size_t)answer->sizes[i]);
        if (text && f->record)
            fail(e, NULL, "there are several; a receiver's check fails too");
        if (!text || f->record)
            free(text);
        else
            f->record = text;
    }
    if (failed(e))
        return;
    if (!f->record) {
        fail(e, NULL, "there is none");
        return;
    }
    f->at = spf_terms_of(f->record);
    check_record(e);
}

static void take_mx(struct spf_expansion *e, const struct spf_answer *answer)
{
    struct hosts *h = &e->hosts;

    if (answer->n > SPF_MX_MAX) {
        fail(e, &h->term, "more than " TEXT_OF(SPF_MX_MAX) " MX records" FAILS_TOO);
        return;
    }
    for (size_t i = 0; i < answer->n; i++) {
        char *name = h->names[h->n];
        if (spf_mx_host((const uint8_t *)answer->data[i], (size_t)answer->sizes[i], name) < 0) {
            fail(e, &h->term, "an MX record there names no host");
            return;
        }
        h->n += name[0] ? 1 : 0;
    }
    if (answer->n == 0)
        count_void(e, &h->term);
}

/* A broken record has a size that no address has; libunbound lets none pass. */
static void take_addresses(struct spf_expansion *e, const struct spf_answer *answer)
{
    struct hosts *h = &e->hosts;
    bool v6 = e->question.type == ns_t_aaaa;
    size_t size = v6 ? 16 : 4;

    for (size_t i = 0; i < answer->n && !failed(e); i++) {
        struct addr_prefix p = {.family = v6 ? AF_INET6 : AF_INET};
        if (answer->sizes[i] != (int)size) {
            fail(e, &h->term, "a broken address record");
            return;
        }
        memcpy(p.bytes, answer->data[i], size);
        addr_prefix_shorten(&p, v6 ? h->term.len6 : h->term.len4);
        match(e, &h->term, &p, &h->found);
    }
    if (v6 && answer->n == 0 && h->empty && !failed(e))
        count_void(e, &h->term);
    h->empty = answer->n == 0;
}

/* True when all hosts have been asked for. */
static bool next_host(struct spf_expansion *e)
{
    struct hosts *h = &e->hosts;

    if (e->question.type == ns_t_a) {
        ask(e, h->names[h->at], ns_t_aaaa);
        return false;
    }
    h->at += e->question.type == ns_t_aaaa ? 1 : 0;
    if (h->at < h->n) {
        ask(e, h->names[h->at], ns_t_a);
        return false;
    }
    decide(top(e), h->term.qualifier, &h->found);
    return true;
}

void spf_expansion_answer(struct spf_expansion *e, const struct spf_answer *answer)
{
    bool about_hosts = e->question.type != ns_t_txt;

    if (answer->failed) {
        char why[SPF_WHY_MAX / 2];
        snprintf(why, sizeof(why), "looking up %s: %s", e->question.name, answer->failed);
        fail(e, about_hosts ? &e->hosts.term : NULL, why);
        return;
    }
    if (answer->n > 0 && answer->ttl < e->ttl)
        e->ttl = answer->ttl;
    if (e->question.type == ns_t_txt)
        take_record(e, answer);
    else if (e->question.type == ns_t_mx)
        take_mx(e, answer);
    else
        take_addresses(e, answer);
    if (!failed(e) && (!about_hosts || next_host(e)))
        advance(e);
}

/* ---- the whole ---------------------------------------------------------------------------------------- */

struct spf_expansion *spf_expansion_new(const char *domain)
{
    struct spf_expansion *e = calloc(1, sizeof(*e));
    struct spf_term none = {0};

    if (!e)
        err(EXIT_FAILURE, "postern-spf");
    e->ttl = SPF_TTL_MAX;
    open_frame(e, domain, &none);
    return e;
}

void spf_expansion_free(struct spf_expansion *e)
{
    if (!e)
        return;
    for (unsigned i = 0; i < e->n_frames; i++)
        frame_done(&e->frames[i]);
    prefix_set_done(&e->hosts.found);
    prefix_set_done(&e->result);
    free(e);
}

const struct spf_question *spf_expansion_question(const struct spf_expansion *e)
{
    return e->question.name ? &e->question : NULL;
}

const char *spf_expansion_failure(const struct spf_expansion *e)
{
    return failed(e) ? e->why : NULL;
}

const struct prefix_set *spf_expansion_set(const struct spf_expansion *e)
{
    return &e->result;
}

uint32_t spf_expansion_ttl(const struct spf_expansion *e)
{
    return e->ttl < SPF_TTL_MIN ? SPF_TTL_MIN : e->ttl;
}
