/* SPDX-License-Identifier: MIT */
#include "wire/addr_list.h"

#include "wire/multiaddr.h"
#include "wire/varint.h"

static enum err check(struct span addr)
{
    if (addr.len == 0)
        return ERR_INVALID;
    if (addr.len > MULTIADDR_BYTES_MAX)
        return ERR_TOO_LARGE;
    while (addr.len > 0) {
        struct multiaddr_part part;
        enum err err = multiaddr_next(&addr, &part);
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

enum err addr_list_add(struct buf *list, struct span addr)
{
    enum err err = check(addr);
    if (err != ERR_OK)
        return err;
    addr = multiaddr_without_peer(addr);
    if (addr.len == 0)
        return ERR_INVALID;
    if (addr_list_has(buf_span(list), addr))
        return ERR_OK;
    size_t before = list->len;
    err = varint_append(list, addr.len);
    if (err == ERR_OK)
        err = buf_append_span(list, addr);
    if (err != ERR_OK)
        list->len = before;
    return err;
}

/* Nearly all lengths are one byte, and an answer of the DHT takes some hundred of them. */
static bool take_length(struct span *in, uint64_t *ret_len)
{
    if (in->len == 0 || in->data[0] >= 0x80)
        return varint_decode(in, ret_len) == ERR_OK;
    *ret_len = in->data[0];
    *in = span_skip(*in, 1);
    return true;
}

bool addr_list_next(struct span *list, struct span *ret_addr)
{
    struct span in = *list;
    uint64_t len = 0;
    if (!take_length(&in, &len) || len == 0 || len > in.len)
        return false;
    *ret_addr = span_first(in, (size_t)len);
    *list = span_skip(in, (size_t)len);
    return true;
}

bool addr_list_has(struct span list, struct span addr)
{
    struct span other;
    while (addr_list_next(&list, &other)) {
        if (span_equal(other, addr))
            return true;
    }
    return false;
}

size_t addr_list_count(struct span list)
{
    struct span addr;
    size_t count = 0;
    while (addr_list_next(&list, &addr))
        count++;
    return count;
}
