/* SPDX-License-Identifier: MIT */
/* How a row of a journal reads. Pure but for the printing; private to sim/journal. */
#ifndef HEARTH_SIM_JOURNAL_TEXT_H
#define HEARTH_SIM_JOURNAL_TEXT_H

#include "sim/journal.h"

/* Faults, lives, errands that failed, warnings, errors: what one looks at first. */
bool journal_is_important(const struct journal_row *row);

/* One line: time, node, actor, what happened. text has row->text_len bytes. */
void journal_print_row(const struct journal_row *row, const char *text, uint64_t began_ns, FILE *to);

#endif
