/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Happy path: the first answer is empty, then comes one object a line, and the last line is empty. Failure
 * path: a message of postern's instead, or an end before the empty line: what came so far is not passed off
 * as the whole.
 */
#include "json_lines.h"

#include "client.h"
#include "memory.h"
#include "screen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ERROR_MARK "[3]: "
#define ODD "a filter has no blank, semicolon or backslash"

void question_begin(struct question *q, const char *command)
{
    *q = (struct question){0};
    q->out = must(open_memstream(&q->text, &q->n));
    fprintf(q->out, "set severity-output number;%s", command);
}

void question_add(struct question *q, const char *key, const char *value)
{
    if (!value)
        return;
    q->odd |= value[strcspn(value, " \t\r\n;\\")] != '\0';
    fprintf(q->out, " %s%s%s", key, key[0] ? "=" : "", value);
}

char *question_end(struct question *q)
{
    if (fclose(q->out) == 0 && !q->odd)
        return q->text;
    free(q->text);
    return NULL;
}

/* The next line after the first, which must be empty. Its length; 0 or -errno: there is none. */
static ssize_t next_line(FILE *answer, char **line, size_t *room)
{
    errno = 0;
    ssize_t n = getline(line, room, answer);

    return n > 0 ? n : errno ? -errno : -ECONNRESET;
}

/* Past the answer to the command that comes before the question. The answer, or NULL and errno. */
static FILE *ask(const char *socket, const char *question)
{
    char *line = NULL;
    size_t room = 0;
    FILE *answer = client_open(socket, question);
    ssize_t n = answer ? next_line(answer, &line, &room) : -errno;

    if (answer && (n < 0 || line[0] != '\n')) {
        fclose(answer);
        answer = NULL;
    }
    free(line);
    errno = n < 0 ? (int)-n : answer ? 0 : EPROTO;
    return answer;
}

/* 1: go on; 0: it was the last line, or 2: taken, and enough; -errno */
static int take_line(const char *line, bool (*take)(void *arg, const json_t *one), void *arg, char **ret_why)
{
    if (line[0] == '\n')
        return 0;
    if (strncmp(line, ERROR_MARK, strlen(ERROR_MARK)) == 0) {
        *ret_why = must(strdup(line + strlen(ERROR_MARK)));
        return -EINVAL;
    }
    json_t *one = json_loads(line, 0, NULL);
    int ret = !json_is_object(one) ? -EPROTO : take(arg, one) ? 1 : 2;
    json_decref(one);
    return ret;
}

int json_lines_read(
    const char *socket, char *question, bool (*take)(void *arg, const json_t *one), void *arg, char **ret_why)
{
    char *line = NULL;
    size_t room = 0;
    int found = 1;

    if (!question) {
        *ret_why = must(strdup(ODD));
        return -EINVAL;
    }
    FILE *answer = ask(socket, question);
    int error = answer ? 0 : -errno;
    free(question);
    if (!answer)
        return error;
    while (found == 1) {
        ssize_t n = next_line(answer, &line, &room);
        found = n < 0 ? (int)n : take_line(line, take, arg, ret_why);
    }
    free(line);
    fclose(answer);
    return found == 2 ? 1 : found;
}

int json_lines_print(const char *socket, char *question)
{
    char *line = NULL, *why = NULL;
    size_t room = 0;
    ssize_t n = 1;
    int error = 0;

    if (!question)
        return json_lines_tell(socket, -EINVAL, must(strdup(ODD)));
    FILE *answer = ask(socket, question);
    if (!answer)
        error = -errno;
    free(question);
    while (answer && !error && (n = next_line(answer, &line, &room)) > 1) {
        if (line[0] == '{')
            fwrite(line, 1, (size_t)n, stdout);
        else {
            error = -EINVAL;
            why = must(strdup(n > (ssize_t)strlen(ERROR_MARK) ? line + strlen(ERROR_MARK) : line));
        }
    }
    free(line);
    if (answer)
        fclose(answer);
    if (n < 0 && !error)
        error = (int)n;
    return error ? json_lines_tell(socket, error, why) : EXIT_SUCCESS;
}

int json_lines_tell(const char *socket, int error, char *why)
{
    if (error != -EINVAL)
        return client_tell(socket, -error);
    why[strcspn(why, "\n")] = '\0';
    char *printable = screen_printable(why);
    fprintf(stderr, "posternctl: %s\n", printable);
    free(printable);
    free(why);
    return EXIT_BAD_USAGE;
}
