/* SPDX-License-Identifier: MIT */
#include "actors/control/pages.h"

enum { ROW_BYTES_MAX = 2048 };

static void pack_pair_cid(struct pack *p, const char *key, const struct cid *cid)
{
    char text[CID_TEXT_MAX];
    cid_text(cid, text);
    pack_pair_text(p, key, text);
}

static const char *kind_name(enum reader_kind kind)
{
    switch (kind) {
    case READER_KIND_FILE:
        return "file";
    case READER_KIND_DIRECTORY:
        return "folder";
    case READER_KIND_SYMLINK:
        return "symlink";
    case READER_KIND_UNKNOWN:
        break;
    }
    return "unknown";
}

static void answer_ls(struct control *c, struct file_session *s, struct conversation *v, bool more)
{
    const struct reader_info *info = reader_info(s->reader);
    const struct buf *rows = v->work;
    struct buf result;
    buf_init(&result, PAGE_BYTES_MAX + 8192, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 10);
    pack_pair_cid(&p, "cid", &info->cid);
    pack_pair_text(&p, "kind", kind_name(info->kind));
    pack_pair_u64(&p, "size", info->size);
    pack_text(&p, "target");
    pack_bytes(&p, info->kind == READER_KIND_SYMLINK ? info->symlink_target : (struct span){0});
    pack_pair_u64(&p, "mode", info->mode);
    pack_text(&p, "mtime");
    if (info->has_mtime)
        pack_i64(&p, info->mtime_seconds);
    else
        pack_nil(&p);
    pack_pair_u64(&p, "mtime_nanos", info->mtime_nanos);
    pack_text(&p, "entries");
    pack_array(&p, (uint32_t)v->number);
    pack_raw(&p, buf_span(rows));
    pack_pair_bool(&p, "more", more);
    pack_pair_u64(&p, "next", s->next_offset);
    reading_finish(c, v, &result, &p);
    buf_release(&result);
}

static enum err append_entry(struct buf *rows, const struct reader_entry *entry)
{
    struct pack p = pack_begin(rows);
    pack_map(&p, 4);
    pack_text(&p, "name");
    pack_bytes(&p, entry->name);
    pack_pair_cid(&p, "cid", &entry->cid);
    pack_pair_text(&p, "kind", kind_name(entry->kind));
    pack_pair_u64(&p, "size", entry->kind == READER_KIND_UNKNOWN ? entry->tsize : entry->size);
    return pack_end(&p);
}

static void answer_walk(struct control *c, struct file_session *s, struct conversation *v, bool more)
{
    struct buf result;
    buf_init(&result, PAGE_BYTES_MAX + 8192, NULL);
    struct pack p = pack_begin(&result);
    pack_map(&p, 4);
    pack_pair_cid(&p, "cid", &reader_info(s->reader)->cid);
    pack_text(&p, "blocks");
    pack_array(&p, (uint32_t)v->number);
    pack_raw(&p, buf_span(v->work));
    pack_pair_bool(&p, "more", more);
    pack_pair_u64(&p, "next", s->next_offset);
    reading_finish(c, v, &result, &p);
    buf_release(&result);
}

static enum err append_block(struct buf *rows, const struct reader_block *block)
{
    struct pack p = pack_begin(rows);
    pack_map(&p, 2);
    pack_pair_cid(&p, "cid", &block->cid);
    pack_pair_u64(&p, "size", block->size);
    return pack_end(&p);
}

/* Takes the next row, into the page or past it. */
static enum err next_row(struct file_session *s, struct buf *rows, bool skip)
{
    struct reader_entry entry;
    struct reader_block block;
    enum err err;
    if (s->mode == READER_WALK) {
        err = reader_next_block(s->reader, &block);
        return err == ERR_OK && !skip ? append_block(rows, &block) : err;
    }
    err = reader_next_entry(s->reader, &entry);
    return err == ERR_OK && !skip ? append_entry(rows, &entry) : err;
}

static void answer(struct control *c, struct file_session *s, struct conversation *v, bool more)
{
    if (s->mode == READER_WALK)
        answer_walk(c, s, v, more);
    else
        answer_ls(c, s, v, more);
}

/* Rows before `after` are passed over when the page is not the next one of a kept reader. */
enum err page_serve(struct control *c, struct file_session *s, struct conversation *v)
{
    const struct op_ls *ls = (const void *)v->args;
    const struct op_dag_walk *walk = (const void *)v->args;
    uint64_t after = s->mode == READER_WALK ? walk->after : ls->after;
    uint64_t limit = s->mode == READER_WALK ? walk->limit : ls->limit;
    struct buf *rows = v->work;
    while (v->number < limit && rows->len < PAGE_BYTES_MAX - ROW_BYTES_MAX) {
        bool skip = s->next_offset < after;
        enum err err = next_row(s, rows, skip);
        if (err == ERR_CLOSED) {
            answer(c, s, v, false);
            return ERR_OK;
        }
        if (err != ERR_OK)
            return err;
        s->next_offset++;
        v->number += !skip;
    }
    answer(c, s, v, true);
    return ERR_OK;
}
