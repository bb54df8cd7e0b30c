/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: connect, one line, the answer until postern closes. Failure paths: nobody listens, the socket
 * may not be opened, or nothing comes in time: errno, and a message that says what to do.
 */
#include "client.h"

#include "command.h"
#include "memory.h"
#include "screen.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#define NUMBERED "set severity-output number;" /* messages then begin with "[3]: ", and answers do not */

static unsigned patience_ms = 10000;

void client_set_patience(unsigned ms)
{
    patience_ms = ms;
}

static int open_socket(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval limit = {.tv_sec = patience_ms / 1000, .tv_usec = patience_ms % 1000 * 1000};

    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) == 0 &&
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static bool send_all(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);
        if (sent < 0)
            return false;
        text += sent;
        n -= (size_t)sent;
    }
    return true;
}

FILE *client_open(const char *socket, const char *line)
{
    int fd = open_socket(socket);
    char *whole;

    if (fd < 0)
        return NULL;
    must(asprintf(&whole, "%s\n", line) < 0 ? NULL : whole);
    FILE *answer = send_all(fd, whole, strlen(whole)) ? fdopen(fd, "r") : NULL;
    int error = errno;
    free(whole);
    if (answer)
        return answer;
    close(fd);
    errno = error;
    return NULL;
}

char *client_try(const char *socket, const char *line)
{
    FILE *answer = client_open(socket, line);
    char *text = NULL;
    size_t room = 0;

    if (!answer)
        return NULL;
    errno = 0;
    ssize_t n = getdelim(&text, &room, '\0', answer);
    int error = ferror(answer) ? errno : n < 0 || n < 1 || text[n - 1] != '\n' ? ECONNRESET : 0;
    fclose(answer);
    if (error) {
        free(text);
        errno = error;
        return NULL;
    }
    text[n - 1] = '\0';
    return text;
}

json_t *client_try_status(const char *socket)
{
    char *text = client_try(socket, "show status");

    if (!text)
        return NULL;
    json_t *status = json_loads(text, 0, NULL);
    free(text);
    if (!json_is_object(status)) {
        json_decref(status);
        errno = EPROTO;
        return NULL;
    }
    return status;
}

const char *client_reason(int error)
{
    switch (error) {
    case ECONNREFUSED:
        return "nobody listens there; is postern running?";
    case ENOENT:
        return "there is no such socket; is postern running, with admin: {socket: ...}? -s names another one";
    case EACCES:
        return "permission denied; it is for root and the group of the socket";
    case EAGAIN:
        return "it does not answer";
    case ECONNRESET:
    case EPIPE:
        return "it ended before it had answered";
    case EPROTO:
        return "its answer is no status document; is it another version of postern, or no postern?";
    default:
        return strerror(error);
    }
}

int client_tell(const char *socket, int error)
{
    fprintf(stderr, "posternctl: %s: %s\n", socket, client_reason(error));
    return error == EACCES ? EXIT_NO_PERMISSION : EXIT_UNREACHABLE;
}

int client_ask(const char *socket, const char *line, char **ret)
{
    *ret = client_try(socket, line);
    return *ret ? 0 : client_tell(socket, errno);
}

int client_status(const char *socket, json_t **ret)
{
    *ret = client_try_status(socket);
    return *ret ? 0 : client_tell(socket, errno);
}

/* "[3]: text" is a message of that severity; NULL: the line is none. */
static const char *message_of(const char *line, int *ret_severity)
{
    if (line[0] != '[' || line[1] < '0' || line[1] > '7' || strncmp(line + 2, "]: ", 3) != 0)
        return NULL;
    *ret_severity = line[1] - '0';
    return line + 5;
}

static bool has_failed(const char *answer)
{
    int severity;

    for (const char *at = answer; at; at = (at = strchr(at, '\n')) ? at + 1 : NULL)
        if (message_of(at, &severity) && severity <= LOG_ERR)
            return true;
    return false;
}

/* All of it, without the marks; where it has failed, the last word has our name before it, as errors have. */
static void write_answer(char *answer, bool failed)
{
    int severity;

    for (char *line = strsep(&answer, "\n"); line; line = strsep(&answer, "\n")) {
        const char *message = message_of(line, &severity);
        char *printable = screen_printable(message ? message : line);
        if (printable[0])
            fprintf(failed ? stderr : stdout, "%s%s\n", failed && message ? "posternctl: " : "", printable);
        free(printable);
    }
}

int client_command(const char *socket, const char *command)
{
    char *line = NULL, *answer;

    must(asprintf(&line, NUMBERED "%s", command) < 0 ? NULL : line);
    int status = client_ask(socket, line, &answer);
    free(line);
    if (status)
        return status;
    if (strstr(answer, "]: Unknown command")) {
        fprintf(
            stderr, "posternctl: this postern does not know \"%s\"; is it older than posternctl?\n", command);
        status = EXIT_FAILURE;
    } else {
        bool failed = has_failed(answer);
        status = !failed                                  ? EXIT_SUCCESS
                 : strstr(answer, "]: Permission denied") ? EXIT_NO_PERMISSION
                                                          : EXIT_FAILURE;
        write_answer(answer, failed);
    }
    free(answer);
    return status;
}
