/* SPDX-License-Identifier: MIT */
/*
 * A request that is served by a reader: it joins the session of one that stands where it goes on, or begins a new one, and waits for its
 * turn there. reading.c has what all of them share, pages.c those that list, getting_file.c the one that writes into a file.
 *
 * Private to actors/control.
 */
#ifndef HEARTH_ACTORS_CONTROL_READING_H
#define HEARTH_ACTORS_CONTROL_READING_H

#include "actors/control/sessions.h"
#include "schemas/pack.h"

/*
 * Puts the conversation into the queue of a reader at offset, which the next length bytes are for; v->session is its session then. Drive
 * it. An error has its sentence.
 */
enum err reading_join(struct control *c, struct conversation *v, struct span path, enum reader_mode mode,
                      uint64_t offset, uint64_t length) MUST_CHECK;

/* Ends the conversation with a packed result; v->step says then that it was served. */
void reading_finish(struct control *c, struct conversation *v, struct buf *result, struct pack *p);

/*
 * Goes on with `get file`: ERR_OK when it was answered, ERR_AGAIN when it waits for blocks or for its file; else the error that ended the
 * reader.
 */
enum err getting_file_serve(struct control *c, struct file_session *s, struct conversation *v) MUST_CHECK;

#endif
