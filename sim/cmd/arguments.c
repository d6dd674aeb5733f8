/* SPDX-License-Identifier: MIT */
#include "sim/cmd/arguments.h"

#include <stdio.h>

#include "base/text.h"

bool take_number(const char *text, uint64_t max, uint64_t *ret_number)
{
    return text_parse_u64(span_text(text), ret_number) == ERR_OK && *ret_number <= max;
}

void print_log(void *arg, enum log_level level, const char *actor, const char *text)
{
    (void)arg;
    (void)fprintf(stderr, "%d %s: %s\n", (int)level, actor, text);
}
