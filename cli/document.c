/* SPDX-License-Identifier: MIT */
/* hearth-document commands|control|config: writes that page of docs/ to standard output. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "schemas/config.h"

static const struct {
    const char *name;
    enum err (*write)(struct buf *to);
} pages[] = {{"commands", commands_document}, {"control", operations_document}, {"config", config_document}};

int main(int argc, char **argv)
{
    size_t at = 0;
    while (argc == 2 && at < ARRAY_LEN(pages) && strcmp(argv[1], pages[at].name) != 0)
        at++;
    if (argc != 2 || at == ARRAY_LEN(pages)) {
        (void)fputs("usage: hearth-document commands|control|config\n", stderr);
        return 2;
    }
    struct buf page;
    buf_init(&page, MIB, NULL);
    enum err err = pages[at].write(&page);
    bool written = err == ERR_OK && fwrite(page.data, 1, page.len, stdout) == page.len && fflush(stdout) == 0;
    buf_release(&page);
    return written ? 0 : 1;
}
