/* SPDX-License-Identifier: MIT */
#include "cli/log.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

enum { LINE_BYTES_MAX = 4096 };

static const char *const level_names[] = {
    [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};

enum log_level log_level_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (strcmp(level_names[i], name) == 0)
            return (enum log_level)i;
    }
    return LOG_INFO;
}

static enum err append_time(struct buf *line)
{
    uint64_t now = clock_real_ns();
    time_t seconds = (time_t)(now / SECOND_NS);
    struct tm utc;
    char text[32] = "";
    if (gmtime_r(&seconds, &utc) != NULL)
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    return buf_appendf(line, "%s.%03uZ", text, (unsigned)(now % SECOND_NS / MS_NS));
}

/* One write(2) per line keeps lines of several threads whole. A line that does not fit is cut; a log that cannot be written is lost. */
void log_write(void *arg, enum log_level level, const char *actor, const char *text)
{
    (void)arg;
    struct buf line;
    buf_init(&line, LINE_BYTES_MAX, NULL);
    if (append_time(&line) == ERR_OK && buf_appendf(&line, " %s %s: ", level_names[level], actor) == ERR_OK &&
        text_append_escaped(&line, span_first(span_text(text), LINE_BYTES_MAX / 5)) == ERR_OK &&
        buf_append_byte(&line, '\n') == ERR_OK) {
        ssize_t wrote = write(STDERR_FILENO, line.data, line.len);
        (void)wrote;
    }
    buf_release(&line);
}
