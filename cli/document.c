/* SPDX-License-Identifier: MIT */
/* hearth-document: writes docs/control.md to standard output. */
#include <stdio.h>

#include "schemas/operations.h"

int main(void)
{
    struct buf page;
    buf_init(&page, 1024 * 1024, NULL);
    enum err err = operations_document(&page);
    bool written = err == ERR_OK && fwrite(page.data, 1, page.len, stdout) == page.len && fflush(stdout) == 0;
    buf_release(&page);
    return written ? 0 : 1;
}
