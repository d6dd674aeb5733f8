/* SPDX-License-Identifier: MIT */
/*
 * The pins of a Kubo repository: out of its LevelDB, or of a file with the lines of `ipfs pin ls`.
 *
 *      /pins/pin/<id>        a pin (wire/kubo_pin.h)
 *      /local/filesroot      the CID of the root of `ipfs files`, which counts as a recursive pin
 *
 * Opening a LevelDB changes its files, so that a copy is opened, in a folder of its own that is removed at the end. libleveldb is loaded when it
 * is needed and not before: nobody else uses it.
 */
#ifndef HEARTH_CLI_KUBO_PINS_H
#define HEARTH_CLI_KUBO_PINS_H

#include "cli/kubo_repository.h"
#include "wire/kubo_pin.h"

struct kubo_pins;

/* file names a file of lines, or is NULL: the repository's own. ret_why has one sentence on an error. */
enum err kubo_pins_open(const struct kubo_repository *repository, const char *file, struct kubo_pins **ret_pins,
                        char ret_why[KUBO_WHY_BYTES]) MUST_CHECK;
void kubo_pins_close(struct kubo_pins *pins);

/*
 * Calls each for every pin, from the first on whenever it is called, until it returns other than 0, which is returned. Pins that cannot be
 * read are counted.
 */
int kubo_pins_each(struct kubo_pins *pins, int (*each)(void *arg, const struct kubo_pin *pin), void *arg,
                   uint64_t *ret_unreadable) MUST_CHECK;

#endif
