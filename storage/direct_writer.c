/* SPDX-License-Identifier: MIT */
#include "storage/direct_writer.h"

#include <stdlib.h>
#include <string.h>

struct direct_writer {
    const struct disk_port *port;
    struct account *account;
    struct disk_file *file;
    uint64_t offset; /* of buffer[0] in the file */
    size_t used;
    uint8_t *buffer;
};

enum err direct_writer_new(const struct disk_port *port, struct account *account, struct direct_writer **ret_writer)
{
    if (account != NULL && !account_take(account, DIRECT_BUFFER_BYTES))
        return ERR_NOMEM;
    struct direct_writer *writer = calloc(1, sizeof(*writer));
    if (writer != NULL)
        writer->buffer = aligned_alloc(DISK_DIRECT_ALIGN, DIRECT_BUFFER_BYTES);
    if (writer == NULL || writer->buffer == NULL) {
        free(writer);
        if (account != NULL)
            account_give(account, DIRECT_BUFFER_BYTES);
        return ERR_NOMEM;
    }
    writer->port = port;
    writer->account = account;
    *ret_writer = writer;
    return ERR_OK;
}

void direct_writer_free(struct direct_writer *writer)
{
    if (writer == NULL)
        return;
    if (writer->account != NULL)
        account_give(writer->account, DIRECT_BUFFER_BYTES);
    free(writer->buffer);
    free(writer);
}

void direct_writer_begin(struct direct_writer *writer, struct disk_file *file, uint64_t offset)
{
    writer->file = file;
    writer->offset = offset;
    writer->used = 0;
}

static enum err write_out(struct direct_writer *writer)
{
    const struct iovec iov = {.iov_base = writer->buffer, .iov_len = writer->used};
    enum err err = writer->port->pwritev(writer->file, &iov, 1, writer->offset);
    writer->offset += writer->used;
    writer->used = 0;
    return err;
}

enum err direct_writer_append(struct direct_writer *writer, struct span bytes)
{
    while (bytes.len > 0) {
        size_t n = MIN(bytes.len, (size_t)DIRECT_BUFFER_BYTES - writer->used);
        memcpy(writer->buffer + writer->used, bytes.data, n);
        writer->used += n;
        bytes = span_skip(bytes, n);
        enum err err = writer->used == DIRECT_BUFFER_BYTES ? write_out(writer) : ERR_OK;
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

enum err direct_writer_end(struct direct_writer *writer)
{
    size_t padding = (DISK_DIRECT_ALIGN - writer->used % DISK_DIRECT_ALIGN) % DISK_DIRECT_ALIGN;
    memset(writer->buffer + writer->used, 0, padding);
    writer->used += padding;
    return writer->used == 0 ? ERR_OK : write_out(writer);
}
