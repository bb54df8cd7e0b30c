/* SPDX-License-Identifier: Apache-2.0 */
/* Single values of the configuration: from text to number, duration, word, address. Pure, without a place. */
#ifndef POSTERN_CONTROL_CONFIG_VALUES_H
#define POSTERN_CONTROL_CONFIG_VALUES_H

#include "control/config/config_schema.h"

/* What is wrong with a value and what would be right, for the message. */
#define CONFIG_WHY_MAX 256

/*
 * Reads a value of type NAME, PATTERN, NUMBER, LIMIT, DURATION, WORD or the like into `ret`: a const char *
 * (which then points to text), or a uint32_t. 0 or -EINVAL with the reason in ret_why. A name is set even
 * when it is refused, so that references to it still hold.
 */
int config_value_parse(
    const struct config_key *key, const char *text, void *ret, char ret_why[CONFIG_WHY_MAX]);

/* Reads a VIP, and refuses those that cannot work. 0 or -EINVAL with the reason. */
int config_vip_parse(
    const char *text, struct addr_prefix *ret_prefix, uint16_t *ret_port, char ret_why[CONFIG_WHY_MAX]);

/* Reads an address or prefix that clients may come from. 0 or -EINVAL with the reason. */
int config_network_parse(const char *text, struct addr_prefix *ret, char ret_why[CONFIG_WHY_MAX]);

/* Reads a backend's endpoint, and refuses those that cannot work. 0 or -EINVAL with the reason. */
int config_backend_parse(const char *text, union addr *ret, char ret_why[CONFIG_WHY_MAX]);

/* Reads "250ms", "5s", "11m", "1h". 0 or -EINVAL (no number, no unit, or more than 2^32 - 2 milliseconds). */
int config_duration_parse(const char *text, uint32_t *ret_ms);

/* "11m": the largest unit that is exact. Returns buf. */
char *config_duration_format(uint32_t ms, char buf[16]);

/* "192.0.2.53", "192.0.2.53:53" or "[2001:db8::53]:53", as text; 0 or -EINVAL. */
int config_resolver_parse(const char *text, union addr *ret);

/* Why no TCP connection could go to or come for this address; NULL when it could. */
const char *config_addr_useless(const union addr *a);

bool config_addr_is_loopback(const union addr *a);

#endif
