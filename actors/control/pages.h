/* SPDX-License-Identifier: MIT */
/*
 * Pages of `ls` and `dag walk`: rows of a kept reader, from `after` on. Private to actors/control.
 */
#ifndef HEARTH_ACTORS_CONTROL_PAGES_H
#define HEARTH_ACTORS_CONTROL_PAGES_H

#include "actors/control/reading.h"

enum { PAGE_BYTES_MAX = 2 * 1024 * 1024 };

/* Fills the page of the conversation, and answers it when it is full or the last. ERR_AGAIN: waits for blocks. */
enum err page_serve(struct control *c, struct file_session *s, struct conversation *v) MUST_CHECK;

#endif
