/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: the differences of two sets, and their share of the first. There is nothing to fail.
 * Called by main.c and the tests; one thread.
 */
#include "judge.h"

#define PERCENT_MAX 999

static unsigned percent(
    const struct prefix_ranges *before, const struct prefix_ranges *joined, const struct prefix_ranges *left)
{
    address_number was = prefix_ranges_size(before);
    address_number changed = prefix_ranges_size(joined) + prefix_ranges_size(left);

    if (changed == 0)
        return 0;
    if (was == 0 || changed / 10 >= was)
        return PERCENT_MAX;
    /* At most some four IPv6 /16 (expand.c): there is room for the factor. */
    address_number p = (changed * 100 + was - 1) / was;
    return p < PERCENT_MAX ? (unsigned)p : PERCENT_MAX;
}

enum spf_verdict spf_judge(
    const struct prefix_set *before, const struct prefix_set *now, struct spf_change *ret)
{
    struct spf_change c = {0};

    prefix_set_unite(&c.joined, now);
    prefix_set_subtract(&c.joined, before);
    prefix_set_unite(&c.left, before);
    prefix_set_subtract(&c.left, now);
    c.percent_v4 = percent(&before->v4, &c.joined.v4, &c.left.v4);
    c.percent_v6 = percent(&before->v6, &c.joined.v6, &c.left.v6);
    *ret = c;
    if (prefix_set_empty(&c.joined) && prefix_set_empty(&c.left))
        return SPF_SAME;
    return c.percent_v4 > SPF_HOLD_PERCENT || c.percent_v6 > SPF_HOLD_PERCENT ? SPF_HOLD : SPF_TAKE;
}

void spf_change_done(struct spf_change *c)
{
    prefix_set_done(&c->joined);
    prefix_set_done(&c->left);
}
