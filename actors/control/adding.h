/* SPDX-License-Identifier: MIT */
/*
 * A request of an upload while it waits: for its turn, for room, for acknowledgements. adding.c has what all of them share,
 * adding_file.c those whose bytes come out of a file.
 *
 * Private to actors/control.
 */
#ifndef HEARTH_ACTORS_CONTROL_ADDING_H
#define HEARTH_ACTORS_CONTROL_ADDING_H

#include "actors/control/file_source.h"
#include "actors/control/sessions.h"

enum adding_kind { ADDING_BYTES, ADDING_FILE, ADDING_CLOSE };

/* What a write, file or close has in conversation.work; its answer as it grows. */
struct adding {
    enum adding_kind kind;
    struct buf added; /* packed rows */
    uint32_t count;
    uint64_t offset;            /* of a write or file: what is taken already */
    struct file_source *source; /* of a file, once its turn has come */
    struct import_leaf leaf;    /* of a file that is taken as bytes: what was read and is not taken whole yet */
    size_t leaf_taken;
    bool pinning;
    size_t pinned; /* CIDs */
    struct import_node root;
};

/* Puts the conversation into the queue of an upload and drives it. offset: of its bytes in the stream. */
enum err adding_join(struct control *c, struct conversation *v, uint64_t number, enum adding_kind kind,
                     uint64_t offset) MUST_CHECK;

/* Sends to the store what the upload has ready. */
void adding_send_puts(struct control *c, struct file_session *s);

/* Moves finished names into the answer; false when the answer is full. */
bool adding_collect(struct file_session *s, struct adding *work);

/* Answers and ends the conversation. */
void adding_answer(struct control *c, struct conversation *v, struct adding *work);

/* Goes on with a file: ERR_OK when it was answered, ERR_AGAIN when it waits; an error ends the upload. */
enum err adding_file_go_on(struct control *c, struct file_session *s, struct conversation *v) MUST_CHECK;

#endif
