/* SPDX-License-Identifier: MIT */
/*
 * repo verify: the whole store, a page at a time, each block against its hash. What is damaged is in quarantine by then; --heal waits until
 * peers were asked for all of it, --drop forgets what is left. Lines about blocks are Kubo's where Kubo has them.
 */
#include <stdio.h>
#include <time.h>

#include "cli/run.h"
#include "schemas/pack.h"

enum { POLL_MS = 200 };

static void print_block(const struct invocation *in, struct span row, const char *before, const char *after)
{
    (void)fputs("block ", stdout);
    print_cid(stdout, &in->globals, value_text(row, "cid"));
    printf("%s (", before);
    print_escaped(stdout, value_text(row, "reason"));
    printf(")%s\n", after);
}

/* Asks without arguments; EXIT_OK with *ret_call to be freed. */
static int ask_plainly(struct client *client, const char *op, struct span args, bool mutates, struct call **ret_call,
                       struct outcome *ret_outcome)
{
    *ret_call = ask(client, op, args, client_timeout(client, CLIENT_LONG_MS), mutates, ret_outcome);
    if (ret_outcome->code == CODE_OK)
        return EXIT_OK;
    int status = say_outcome_error(ret_outcome);
    call_free(*ret_call);
    return status;
}

/* ---- the pass ---- */

static int verify_all(struct client *client, const struct invocation *in, uint64_t *ret_bad)
{
    char after[512] = "";
    struct progress progress;
    progress_begin(&progress, "verifying", 0, true);
    for (bool more = true; more;) {
        struct outcome outcome;
        struct call *call = ask_after(client, "repo verify", after, &outcome);
        if (outcome.code != CODE_OK) {
            int status = say_outcome_error(&outcome);
            call_free(call);
            progress_end(&progress);
            return status;
        }
        struct elements rows = value_elements(outcome.result, "bad");
        struct span row;
        for (; elements_next(&rows, &row); (*ret_bad)++)
            print_block(in, row, " was corrupt", "");
        progress_add(&progress, value_u64(outcome.result, "checked"));
        struct span next = value_text(outcome.result, "next");
        (void)snprintf(after, sizeof(after), "%.*s", (int)next.len, (const char *)next.data);
        more = next.len > 0;
        call_free(call);
    }
    progress_end(&progress);
    return EXIT_OK;
}

/* ---- what is in quarantine ---- */

static int count_quarantine(struct client *client, uint64_t *ret_quarantined, uint64_t *ret_healing)
{
    struct outcome outcome;
    struct call *call;
    int status = ask_plainly(client, "repo stat", (struct span){0}, false, &call, &outcome);
    if (status != EXIT_OK)
        return status;
    *ret_quarantined = value_u64(outcome.result, "quarantined");
    *ret_healing = value_u64(outcome.result, "healing");
    call_free(call);
    return EXIT_OK;
}

static int change_quarantine(struct client *client, bool forget)
{
    struct outcome outcome;
    struct call *call;
    struct buf args;
    buf_init(&args, 64, NULL);
    struct pack p = pack_begin(&args);
    pack_map(&p, 1);
    pack_pair_bool(&p, "forget", forget);
    int status = pack_end(&p) == ERR_OK ? EXIT_OK : say_error("out of memory");
    if (status == EXIT_OK)
        status = ask_plainly(client, "repo heal", buf_span(&args), true, &call, &outcome);
    if (status == EXIT_OK)
        call_free(call);
    buf_release(&args);
    return status;
}

/* Until peers were asked for every block once. */
static int heal(struct client *client, uint64_t *ret_left)
{
    uint64_t healing = 1;
    struct progress progress;
    uint64_t before = *ret_left;
    int status = change_quarantine(client, false);
    progress_begin(&progress, "healing", before, true);
    while (status == EXIT_OK && healing > 0) {
        (void)nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
        status = count_quarantine(client, ret_left, &healing);
        progress_add(&progress, before - MIN(before, *ret_left));
        before = MIN(before, *ret_left);
    }
    progress_end(&progress);
    return status;
}

static int list_quarantine(struct client *client, const struct invocation *in, const char *before, const char *after)
{
    char last[512] = "";
    for (bool more = true; more;) {
        struct outcome outcome;
        struct call *call = ask_after(client, "repo quarantine", last, &outcome);
        if (outcome.code != CODE_OK) {
            int status = say_outcome_error(&outcome);
            call_free(call);
            return status;
        }
        struct elements rows = value_elements(outcome.result, "blocks");
        struct span row;
        while (elements_next(&rows, &row)) {
            print_block(in, row, before, after);
            struct span cid = value_text(row, "cid");
            (void)snprintf(last, sizeof(last), "%.*s", (int)cid.len, (const char *)cid.data);
        }
        more = value_bool(outcome.result, "more");
        call_free(call);
    }
    return EXIT_OK;
}

/* ---- --status ---- */

static int show_status(struct client *client, const struct invocation *in)
{
    struct outcome outcome;
    struct call *call;
    int status = ask_plainly(client, "repo stat", (struct span){0}, false, &call, &outcome);
    if (status != EXIT_OK)
        return status;
    uint64_t began = value_u64(outcome.result, "scrub_began");
    if (in->globals.json) {
        print_json(outcome.result);
    } else {
        print_utc("LastFullPass: ", value_u64(outcome.result, "scrub_ended"));
        if (began != 0)
            print_utc("PassBegan:    ", began);
        printf("Checked:      %llu blocks, %llu bytes\n", (unsigned long long)value_u64(outcome.result, "scrub_blocks"),
               (unsigned long long)value_u64(outcome.result, "scrub_bytes"));
        printf("Damaged:      %llu\n", (unsigned long long)value_u64(outcome.result, "scrub_bad"));
        printf("Quarantined:  %llu\n", (unsigned long long)value_u64(outcome.result, "quarantined"));
    }
    bool well = value_u64(outcome.result, "quarantined") == 0;
    call_free(call);
    return well || in->globals.json ? EXIT_OK : list_quarantine(client, in, " is in quarantine", "");
}

int run_repo_verify(struct client *client, const struct invocation *in, const struct cmd_repo_verify *args)
{
    uint64_t bad = 0;
    uint64_t left = 0;
    uint64_t healing = 0;
    if (args->status)
        return show_status(client, in);
    int status = verify_all(client, in, &bad);
    if (status == EXIT_OK)
        status = count_quarantine(client, &left, &healing);
    if (status == EXIT_OK && args->heal && left > 0)
        status = heal(client, &left);
    if (status == EXIT_OK && left > 0)
        status =
            list_quarantine(client, in, args->drop ? " was corrupt" : " is missing", args->drop ? ", removed" : "");
    if (status == EXIT_OK && left > 0 && args->drop) {
        status = change_quarantine(client, true);
        left = 0;
    }
    if (status != EXIT_OK)
        return status;
    if (left > 0)
        return say_error("verify complete, %llu damaged blocks are missing%s", (unsigned long long)left,
                         args->heal ? ": no connected peer has them; they are asked for again later"
                                    : ": --heal asks peers for them");
    (void)puts(bad == 0 ? "verify complete, all blocks validated."
                        : "verify complete, what was corrupt is healed or removed.");
    return EXIT_OK;
}
