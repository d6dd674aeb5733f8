/* SPDX-License-Identifier: MIT */
#include "mailbox/ipc_link.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "mailbox/batch_check.h"

struct fragment {
    uint32_t magic;
    uint32_t body_bytes;
    uint64_t total_bytes;
    uint64_t offset;
};
_Static_assert(sizeof(struct fragment) == LINK_HEAD_BYTES, "the head of a fragment has no holes");

/* ---- sending ---- */

static void end_sending(struct ctx *self, struct ipc_link *link)
{
    for (size_t i = 0; i < link->out_tail_count; i++)
        block_ref_unref(link->out_tails[i]);
    free(link->out_tails);
    batch_free(link->out, self->rt->account);
    link->out = NULL;
    link->out_tails = NULL;
    link->out_tail_count = 0;
}

static uint16_t account_index(const struct runtime *rt, const struct account *account)
{
    const struct budget *budget = rt->config.budget;
    if (account == NULL || budget == NULL)
        return 0;
    bool own = account < budget->accounts || account >= budget->accounts + ACCOUNT_COUNT;
    return (uint16_t)((own ? ACCOUNT_RECEIVE : account - budget->accounts) + 1);
}

/* How far the records reach, and how many have a tail. */
static size_t measure(struct batch *batch, size_t *ret_tails)
{
    const uint8_t *body = batch_body(batch);
    size_t at = ENVELOPE_BATCH_BYTES;
    for (uint32_t left = batch_count(batch); left > 0; left--) {
        struct record r;
        envelope_decode(body + at, &r);
        *ret_tails += r.tail != NULL;
        at += r.length;
    }
    return at;
}

/* The pointers become marks; the references are the link's. */
static void mark_tails(struct ctx *self, struct ipc_link *link)
{
    uint8_t *at = batch_body(link->out) + ENVELOPE_BATCH_BYTES;
    for (uint32_t left = batch_count(link->out); left > 0; left--) {
        struct record r;
        envelope_decode(at, &r);
        if (r.tail != NULL) {
            assert(link->out_tails != NULL); /* measure() has counted it */
            const struct tail_mark mark = {
                .there = true, .account = account_index(self->rt, r.tail->account), .len = r.tail->len};
            envelope_set_mark(at, &mark);
            link->out_tails[link->out_tail_count++] = r.tail;
            link->out_total += r.tail->len;
        }
        at += r.length;
    }
}

enum err link_send(struct ctx *self, struct ipc_link *link, struct batch **batch)
{
    if (link->out != NULL)
        link_push(self, link);
    if (link->out != NULL)
        return ERR_AGAIN;
    size_t tails = 0;
    size_t body_bytes = measure(*batch, &tails);
    link->out_tails = tails == 0 ? NULL : calloc(tails, sizeof(*link->out_tails));
    if (tails > 0 && link->out_tails == NULL)
        return ERR_AGAIN;
    link->out = *batch;
    *batch = NULL;
    link->out_body_bytes = link->out_total = body_bytes;
    link->out_at = link->out_in_piece = 0;
    link->out_piece = 0;
    mark_tails(self, link);
    link_push(self, link);
    return ERR_OK;
}

static struct span piece_of(const struct ipc_link *link, size_t piece)
{
    if (piece == 0)
        return span_of(batch_body(link->out), link->out_body_bytes);
    assert(link->out_tails != NULL);
    return block_ref_span(link->out_tails[piece - 1]);
}

/* Adds to iov what one fragment can carry from where the link is; returns the number of entries. */
static int gather(const struct ipc_link *link, struct iovec *iov, int max, size_t *ret_bytes)
{
    size_t room = LINK_FRAGMENT_BYTES;
    size_t piece = link->out_piece;
    uint64_t skip = link->out_in_piece;
    int count = 0;
    while (room > 0 && count < max && piece <= link->out_tail_count) {
        struct span rest = span_first(span_skip(piece_of(link, piece), skip), room);
        if (rest.len > 0)
            iov[count++] = (struct iovec){.iov_base = (void *)(uintptr_t)rest.data, .iov_len = rest.len};
        room -= rest.len;
        piece++;
        skip = 0;
    }
    *ret_bytes = LINK_FRAGMENT_BYTES - room;
    return count;
}

static void advance(struct ipc_link *link, size_t bytes)
{
    link->out_at += bytes;
    while (link->out_piece <= link->out_tail_count) {
        uint64_t left = piece_of(link, link->out_piece).len - link->out_in_piece;
        if (bytes < left) {
            link->out_in_piece += bytes;
            return;
        }
        bytes -= left;
        link->out_piece++;
        link->out_in_piece = 0;
    }
}

void link_push(struct ctx *self, struct ipc_link *link)
{
    enum { PIECES = 32 };
    while (link->out != NULL) {
        struct fragment head = {.magic = LINK_MAGIC,
                                .body_bytes = (uint32_t)link->out_body_bytes,
                                .total_bytes = link->out_total,
                                .offset = link->out_at};
        struct iovec iov[PIECES + 1] = {{.iov_base = &head, .iov_len = sizeof(head)}};
        size_t bytes = 0;
        int count = gather(link, iov + 1, PIECES, &bytes);
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = (size_t)count + 1};
        if (sendmsg(link->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
            if (errno == EINTR)
                continue;
            if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)
                return;
            count_up(&self->shared->counters.dropped); /* the runtime is at its end and has closed the other one */
            end_sending(self, link);
            return;
        }
        advance(link, bytes);
        if (link->out_at == link->out_total)
            end_sending(self, link);
    }
}

/* ---- receiving ---- */

/* Forgets what was begun. Once the records were checked, their room in the box and the tails that came are given back. */
static void end_receiving(struct ctx *self, struct ipc_link *link)
{
    struct batch *batch = link->in;
    link->in = NULL;
    link->tail = NULL;
    if (batch == NULL)
        return;
    if (!link->in_checked) {
        batch_free(batch, self->rt->account); /* the sender's life is over: so is what it had taken in the box */
        return;
    }
    uint8_t *body = batch_body(batch);
    for (size_t at = link->in_record; link->in_left > 0; link->in_left--) {
        struct record r;
        envelope_set_tail(body + at, NULL);
        envelope_decode(body + at, &r);
        at += r.length;
    }
    delivery_discard(self, batch);
}

static enum err begin(struct ctx *self, struct ipc_link *link, const struct fragment *head, const uint8_t *payload,
                      size_t len)
{
    uint32_t count;
    end_receiving(self, link);
    if (head->body_bytes < ENVELOPE_BATCH_BYTES || head->body_bytes > BATCH_BYTES_MAX ||
        head->total_bytes < head->body_bytes || len < ENVELOPE_BATCH_BYTES)
        return ERR_PROTOCOL;
    struct account *account = self->rt->account;
    struct batch *batch = batch_new(link->peer, self->id, account, true);
    if (batch == NULL)
        return ERR_NOMEM;
    if (batch_reserve(batch, ENVELOPE_BATCH_BYTES, head->body_bytes - ENVELOPE_BATCH_BYTES, account, true) == NULL) {
        batch_free(batch, account);
        return ERR_NOMEM;
    }
    memcpy(&count, payload + sizeof(count), sizeof(count)); /* behind the magic; what is charged is our own business */
    batch_seal(batch, count);
    link->in = batch;
    link->in_body_bytes = head->body_bytes;
    link->in_total = head->total_bytes;
    link->in_at = ENVELOPE_BATCH_BYTES;
    link->in_checked = false;
    link->in_record = ENVELOPE_BATCH_BYTES;
    link->in_left = count;
    link->tail = NULL;
    return ERR_OK;
}

/* NULL: nobody is charged, as nobody was at the sender's. */
static struct account *account_of(const struct runtime *rt, const struct tail_mark *mark)
{
    struct budget *budget = rt->config.budget;
    if (budget == NULL || mark->account == 0)
        return NULL;
    return &budget->accounts[mark->account <= ACCOUNT_COUNT ? mark->account - 1 : ACCOUNT_RECEIVE];
}

/* The next record with a tail gets its buffer; false when there is none left or no memory (then *ret_err). */
static bool next_tail(struct ctx *self, struct ipc_link *link, enum err *ret_err)
{
    while (link->in_left > 0) {
        uint8_t *at = batch_body(link->in) + link->in_record;
        const struct tail_mark mark = envelope_mark(at);
        struct record r;
        envelope_set_tail(at, NULL);
        envelope_decode(at, &r);
        link->in_record += r.length;
        link->in_left--;
        if (!mark.there)
            continue;
        link->tail = block_ref_new(mark.len, NULL);
        if (link->tail == NULL) {
            *ret_err = ERR_NOMEM;
            return false;
        }
        struct account *account = account_of(self->rt, &mark);
        if (account != NULL)
            block_ref_charge(link->tail, account);
        envelope_set_tail(at, link->tail);
        link->in_tail = 0;
        if (mark.len > 0)
            return true;
    }
    link->tail = NULL;
    return false;
}

/* The records are there: are they any? */
static enum err body_done(struct ctx *self, struct ipc_link *link)
{
    const uint8_t *body = batch_body(link->in);
    enum err err =
        batch_check(self->rt, link->peer, self->id, body, link->in_body_bytes, link->in_total - link->in_body_bytes);
    if (err != ERR_OK) {
        batch_free(link->in, self->rt->account);
        link->in = NULL;
        return err;
    }
    link->in_checked = true;
    (void)next_tail(self, link, &err);
    return err;
}

static enum err take(struct ctx *self, struct ipc_link *link, const uint8_t *bytes, size_t len)
{
    enum err err = ERR_OK;
    if (!link->in_checked) {
        size_t part = MIN(len, link->in_body_bytes - link->in_at);
        memcpy(batch_body(link->in) + link->in_at, bytes, part);
        link->in_at += part;
        bytes += part;
        len -= part;
        if (link->in_at == link->in_body_bytes)
            err = body_done(self, link);
    }
    while (len > 0 && err == ERR_OK) {
        if (link->tail == NULL)
            return ERR_PROTOCOL; /* more than was announced */
        size_t part = MIN(len, link->tail->len - link->in_tail);
        memcpy(link->tail->data + link->in_tail, bytes, part);
        link->in_tail += part;
        link->in_at += part;
        bytes += part;
        len -= part;
        if (link->in_tail == link->tail->len)
            (void)next_tail(self, link, &err);
    }
    return err;
}

/* One fragment. What belongs to nothing that was begun here is the rest of what a life before, on either side, was busy with. */
static enum err take_fragment(struct ctx *self, struct ipc_link *link, const uint8_t *bytes, size_t len)
{
    struct fragment head;
    if (len <= sizeof(head))
        return ERR_PROTOCOL;
    memcpy(&head, bytes, sizeof(head));
    const uint8_t *payload = bytes + sizeof(head);
    len -= sizeof(head);
    if (head.magic != LINK_MAGIC)
        return ERR_PROTOCOL;
    if (head.offset == 0) {
        enum err err = begin(self, link, &head, payload, len);
        if (err != ERR_OK)
            return err == ERR_NOMEM ? ERR_AGAIN : err;
        uint32_t magic;
        memcpy(&magic, payload, sizeof(magic));
        if (magic != ENVELOPE_MAGIC)
            return ERR_PROTOCOL;
        payload += ENVELOPE_BATCH_BYTES;
        len -= ENVELOPE_BATCH_BYTES;
    } else if (link->in == NULL || head.offset != link->in_at) {
        return ERR_AGAIN;
    }
    return take(self, link, payload, len);
}

enum err link_receive(struct ctx *self, struct ipc_link *link, uint8_t *scratch, struct batch **ret_batch,
                      bool *ret_more)
{
    *ret_more = false;
    for (int i = 0; i < LINK_TURN_FRAGMENTS; i++) {
        ssize_t got = recv(link->fd, scratch, LINK_HEAD_BYTES + LINK_FRAGMENT_BYTES, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return ERR_AGAIN;
        enum err err = take_fragment(self, link, scratch, (size_t)got);
        if (err == ERR_AGAIN)
            continue;
        if (err != ERR_OK) {
            end_receiving(self, link);
            if (err == ERR_NOMEM)
                continue;
            return ERR_PROTOCOL;
        }
        if (link->in_at < link->in_total || link->in_left > 0)
            continue;
        *ret_batch = link->in;
        link->in = NULL;
        link->tail = NULL;
        return ERR_OK;
    }
    *ret_more = true;
    return ERR_AGAIN;
}

void link_release(struct ctx *self, struct ipc_link *link)
{
    if (link->out != NULL)
        end_sending(self, link);
    end_receiving(self, link);
}
