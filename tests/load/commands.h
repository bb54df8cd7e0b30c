/* SPDX-License-Identifier: Apache-2.0 */
/* The subcommands of mailload, one file each. Each returns the exit status. */
#ifndef MAILLOAD_COMMANDS_H
#define MAILLOAD_COMMANDS_H

struct options;

int serve_main(const struct options *o);
int sessions_main(const struct options *o);
int ping_main(const struct options *o);
int hold_main(const struct options *o);
int bulk_main(const struct options *o);
int halfclose_main(const struct options *o);
int reset_main(const struct options *o);

#endif
