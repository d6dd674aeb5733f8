/* SPDX-License-Identifier: MIT */
/* hearth-document control|config: writes docs/control.md or docs/config.md to standard output. */
#include <stdio.h>
#include <string.h>

#include "schemas/config.h"
#include "schemas/operations.h"

int main(int argc, char **argv)
{
    bool control = argc == 2 && strcmp(argv[1], "control") == 0;
    if (!control && (argc != 2 || strcmp(argv[1], "config") != 0)) {
        (void)fputs("usage: hearth-document control|config\n", stderr);
        return 2;
    }
    struct buf page;
    buf_init(&page, MIB, NULL);
    enum err err = control ? operations_document(&page) : config_document(&page);
    bool written = err == ERR_OK && fwrite(page.data, 1, page.len, stdout) == page.len && fflush(stdout) == 0;
    buf_release(&page);
    return written ? 0 : 1;
}
