/* SPDX-License-Identifier: MIT */
/*
 * The real control actor behind its sockets in a folder of its own, beside a store that the test plays and others that do nothing: requests are
 * JSON, files are handed over. `stage` is the one of the test that runs.
 */
#ifndef HEARTH_TESTS_UNIT_ACTORS_HELPER_CONTROL_H
#define HEARTH_TESTS_UNIT_ACTORS_HELPER_CONTROL_H

#include "tests/support/import_model.h"

#include <nng/nng.h>

#include "mailbox/actor.h"
#include "mailbox/runtime.h"
#include "schemas/config.h"

enum { STAGE_WAIT_S = 20 };

struct stage {
    char folder[64];
    char path[128]; /* of a file in it, for the test */
    uint64_t token; /* of the file that was handed over last */
    struct config *config;
    struct runtime *rt;
    struct budget budget;
    nng_socket socket;
    _Atomic bool fail; /* the control actor ends with its next look at a socket */
};

extern struct stage stage;

/* Each actor of a node, with no other above it than the root. */
extern const struct supervisor_spec stage_tree;

void stage_open(const struct actor_class *store);

/* Fails when the file at stage.path is still open here. Removes it, and the folder, which must be empty then. */
void stage_close(void);

/* A connection to the control socket of a repository, as another client has it. */
nng_socket stage_dial(const char *folder);

void stage_ask(const char *request, char *answer, size_t answer_bytes);

/* Asks; the answer has to hold the text. */
void stage_expect(const char *request, const char *want);

/* Opens the file and passes it on under the next token. */
void stage_hand_over(const char *path, int flags);

/* Waits until nobody here has the file at stage.path open. */
void stage_expect_closed(void);

#endif
