/* SPDX-License-Identifier: MIT */
#include "storage/s3_credentials.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

enum { FILE_PATH_MAX = 4096 };

void s3_credentials_wipe(struct s3_credentials *credentials)
{
    sodium_memzero(credentials, sizeof(*credentials));
}

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

static enum err set(struct s3_credentials *c, const char *key_id, const char *secret, const char *token)
{
    if (text_copy(span_text(key_id), c->key_id, sizeof(c->key_id)) != ERR_OK ||
        text_copy(span_text(secret), c->secret, sizeof(c->secret)) != ERR_OK ||
        text_copy(span_text(token), c->token, sizeof(c->token)) != ERR_OK)
        return ERR_INVALID;
    return c->key_id[0] != '\0' && c->secret[0] != '\0' ? ERR_OK : ERR_INVALID;
}

/* Takes one line from the front of *text, without the spaces around it. */
static struct span take_line(struct span *text)
{
    const uint8_t *end = memchr(text->data, '\n', text->len);
    size_t len = end == NULL ? text->len : (size_t)(end - text->data);
    struct span line = span_first(*text, len);
    *text = span_skip(*text, len + 1);
    if (line.len > 0 && line.data[line.len - 1] == '\r')
        line.len--;
    return span_trim(line);
}

static enum err take_setting(struct s3_credentials *c, struct span line)
{
    const uint8_t *equals = line.len == 0 ? NULL : memchr(line.data, '=', line.len);
    if (equals == NULL || line.data[0] == '#' || line.data[0] == ';')
        return ERR_OK;
    struct span name = span_trim(span_first(line, (size_t)(equals - line.data)));
    struct span value = span_trim(span_skip(line, name.len == line.len ? line.len : (size_t)(equals - line.data) + 1));
    enum err err = ERR_OK;
    if (span_equal_text(name, "aws_access_key_id"))
        err = text_copy(value, c->key_id, sizeof(c->key_id));
    else if (span_equal_text(name, "aws_secret_access_key"))
        err = text_copy(value, c->secret, sizeof(c->secret));
    else if (span_equal_text(name, "aws_session_token"))
        err = text_copy(value, c->token, sizeof(c->token));
    return err == ERR_OK ? ERR_OK : ERR_INVALID;
}

enum err s3_credentials_parse(struct span text, const char *profile, struct s3_credentials *ret_credentials)
{
    struct s3_credentials found = {{0}, {0}, {0}};
    bool inside = false;
    bool seen = false;
    enum err err = ERR_OK;
    while (err == ERR_OK && text.len > 0) {
        struct span line = take_line(&text);
        if (line.len >= 2 && line.data[0] == '[' && line.data[line.len - 1] == ']') {
            inside = span_equal_text(span_trim(span_first(span_skip(line, 1), line.len - 2)), profile);
            seen = seen || inside;
        } else if (inside) {
            err = take_setting(&found, line);
        }
    }
    if (err == ERR_OK)
        err = !seen ? ERR_NOT_FOUND : found.key_id[0] == '\0' || found.secret[0] == '\0' ? ERR_INVALID : ERR_OK;
    if (err == ERR_OK)
        *ret_credentials = found;
    s3_credentials_wipe(&found);
    return err;
}

static enum err read_file(const struct disk_port *port, const char *path, const char *profile, struct s3_credentials *c)
{
    struct disk_file *file;
    size_t len = 0;
    enum err err = port->open(port->self, path, DISK_READ, &file);
    if (err != ERR_OK)
        return err;
    uint8_t *text = malloc(S3_CREDENTIALS_FILE_MAX);
    err = text == NULL ? ERR_NOMEM : port->pread(file, text, S3_CREDENTIALS_FILE_MAX, 0, &len);
    port->close(file);
    if (err == ERR_OK)
        err = s3_credentials_parse(span_of(text, len), profile, c);
    if (text != NULL)
        sodium_memzero(text, S3_CREDENTIALS_FILE_MAX);
    free(text);
    return err;
}

enum err s3_credentials_find(const struct disk_port *port, s3_environment *environment, const char *key_id,
                             const char *secret, struct s3_credentials *ret_credentials)
{
    char path[FILE_PATH_MAX];
    const char *profile = or_empty(environment("AWS_PROFILE"));
    const char *file = or_empty(environment("AWS_SHARED_CREDENTIALS_FILE"));
    const char *id_here = or_empty(environment("AWS_ACCESS_KEY_ID"));
    const char *secret_here = or_empty(environment("AWS_SECRET_ACCESS_KEY"));
    if (or_empty(key_id)[0] != '\0' || or_empty(secret)[0] != '\0')
        return set(ret_credentials, or_empty(key_id), or_empty(secret), "");
    if (id_here[0] != '\0' || secret_here[0] != '\0')
        return set(ret_credentials, id_here, secret_here, or_empty(environment("AWS_SESSION_TOKEN")));
    int len = file[0] != '\0' ? snprintf(path, sizeof(path), "%s", file)
                              : snprintf(path, sizeof(path), "%s/.aws/credentials", or_empty(environment("HOME")));
    if (len < 0 || (size_t)len >= sizeof(path))
        return ERR_INVALID;
    return read_file(port, path, profile[0] == '\0' ? "default" : profile, ret_credentials);
}
