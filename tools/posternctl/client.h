/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to postern's admin socket, and its answers. */
#ifndef POSTERNCTL_CLIENT_H
#define POSTERNCTL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

/* The answer to a line, to be read until its end. NULL: errno says why there is none. */
FILE *client_open(const char *socket, const char *line);

/* The whole answer without the empty line at its end; freed with free(). NULL: as above. */
char *client_try(const char *socket, const char *line);

/* The status document; NULL: as above, EPROTO when it is none. */
json_t *client_try_status(const char *socket);

/* How long an answer is waited for at most; ten seconds unless this is called. */
void client_set_patience(unsigned ms);

/* Why postern could not be asked, in words. */
const char *client_reason(int error);

/* Tells on standard error why postern could not be asked. Returns the exit status for that. */
int client_tell(const char *socket, int error);

/* The same two, telling; 0 or the exit status. */
int client_ask(const char *socket, const char *line, char **ret);
int client_status(const char *socket, json_t **ret);

/* Has a command carried out, and writes what postern says to it: to standard error if it fails. The exit
 * status. */
int client_command(const char *socket, const char *command);

#endif
