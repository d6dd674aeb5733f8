/* SPDX-License-Identifier: MIT */
#include "storage/cold_mark.h"

#include <stdio.h>
#include <string.h>

#include "base/le.h"
#include "storage/crc32c.h"
#include "storage/durable.h"

enum { AT_CRC = 4, AT_MARK = 8, AT_KIND = 24, AT_PLACE = 40, COPY_BYTES = AT_PLACE + COLD_WHERE_MAX };

static const uint8_t magic[4] = {'H', 'C', 'M', '1'};

static enum err decode(const uint8_t *bytes, size_t len, struct cold_medium *ret_medium)
{
    if (len != COPY_BYTES || memcmp(bytes, magic, sizeof(magic)) != 0 ||
        crc32c(0, bytes + AT_MARK, COPY_BYTES - AT_MARK) != (uint32_t)le_get(bytes + AT_CRC, 4) ||
        bytes[AT_PLACE - 1] != 0 || bytes[COPY_BYTES - 1] != 0)
        return ERR_CORRUPT;
    memcpy(ret_medium->mark, bytes + AT_MARK, PACK_MARK_BYTES);
    memcpy(ret_medium->kind, bytes + AT_KIND, COLD_KIND_MAX);
    memcpy(ret_medium->place, bytes + AT_PLACE, COLD_WHERE_MAX);
    return ERR_OK;
}

enum err cold_mark_load(const struct disk_port *port, const char *folder, struct cold_medium *ret_medium)
{
    char path[DURABLE_PATH_MAX];
    uint8_t bytes[COPY_BYTES];
    struct disk_file *file;
    size_t got = 0;
    int len = snprintf(path, sizeof(path), "%s/" COLD_MARK_COPY, folder);
    if (len < 0 || len >= (int)sizeof(path))
        return ERR_TOO_LARGE;
    enum err err = port->open(port->self, path, DISK_READ, &file);
    if (err != ERR_OK)
        return err;
    err = port->pread(file, bytes, sizeof(bytes), 0, &got);
    port->close(file);
    return err == ERR_OK ? decode(bytes, got, ret_medium) : err;
}

enum err cold_mark_save(const struct disk_port *port, const char *folder, const struct cold_medium *medium)
{
    uint8_t bytes[COPY_BYTES] = {0};
    memcpy(bytes, magic, sizeof(magic));
    memcpy(bytes + AT_MARK, medium->mark, PACK_MARK_BYTES);
    memcpy(bytes + AT_KIND, medium->kind, strnlen(medium->kind, COLD_KIND_MAX - 1));
    memcpy(bytes + AT_PLACE, medium->place, strnlen(medium->place, COLD_WHERE_MAX - 1));
    le_put(bytes + AT_CRC, crc32c(0, bytes + AT_MARK, COPY_BYTES - AT_MARK), 4);
    return durable_write(port, folder, COLD_MARK_COPY, span_of(bytes, sizeof(bytes)));
}
