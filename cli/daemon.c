/* SPDX-License-Identifier: MIT */
#include "cli/daemon.h"

#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "actors/tree.h"
#include "base/clock.h"
#include "base/limits.h"
#include "cli/announce.h"
#include "cli/daemon_process.h"
#include "cli/log.h"
#include "cli/name_servers.h"
#include "cli/repository.h"
#include "mailbox/confine.h"
#include "mailbox/crash.h"
#include "mailbox/crash_memory.h"
#include "mailbox/nanny.h"
#include "mailbox/runtime.h"
#include "mailbox/service.h"
#include "net/http_client.h"
#include "net/multicast.h"
#include "net/reactor.h"
#include "storage/disk_posix.h"
#include "storage/store_restore.h"
#include "wire/keys.h"
#include "wire/pnet.h"

enum { STOP_SECONDS = 10, POLL_MS = 100, COLD_S3_MIB = 8, COLD_S3_BUDGET_MIB = 56 };

/*
 * Memory that was freed goes back to the system: pieces of 1 MiB live in mappings of their own, whatever glibc learns from their
 * coming and going, and all threads share a few heaps, so that what one frees another may use.
 */
static void settle_allocator(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 512 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
    (void)mallopt(M_ARENA_MAX, 2);
}

/*
 * A thread that is woken waits for its turn instead of pushing another from its core in the middle of its work. With many threads that
 * hand each other small messages that halves the switches, and what waits is handled together. On an idle core it changes nothing.
 * Where it is not permitted, things are a little slower.
 */
static void settle_scheduler(void)
{
    const struct sched_param none = {.sched_priority = 0};
    (void)sched_setscheduler(0, SCHED_BATCH, &none);
}

/* What one life owns, released in reverse order. */
struct life {
    char path[REPOSITORY_PATH_MAX];
    struct config *config;
    struct key_pair *identity;
    uint8_t swarm_key[PNET_KEY_BYTES];
    int lock_fd;
    struct budget budget;
    struct reactor *reactor;
    struct name_resolver *resolver;
    struct http_client *http;      /* of a cold tier on S3 and of delegated routers; else NULL */
    struct daemon_process process; /* with --backend ipc */
    struct runtime *runtime;
    struct service *service; /* NULL: the nanny tells it */
};

static void release(struct life *life)
{
    reactor_free(life->reactor);
    name_resolver_free(life->resolver);
    http_client_free(life->http);
    key_pair_free(life->identity);
    daemon_process_release(&life->process);
    sodium_memzero(life->swarm_key, sizeof(life->swarm_key));
    config_free(life->config);
    if (life->lock_fd >= 0)
        (void)close(life->lock_fd);
}

/* A store without state.db has lost it; a damaged one is told of by the actor that opens it. */
static void tell_of_lost_state(const char *path)
{
    char name[REPOSITORY_PATH_MAX];
    struct stat info;
    int len = snprintf(name, sizeof(name), "%s/blocks.db", path);
    if (len < 0 || len >= (int)sizeof(name) || stat(name, &info) != 0)
        return; /* the first start */
    len = snprintf(name, sizeof(name), "%s/state.db", path);
    if (len > 0 && len < (int)sizeof(name) && (stat(name, &info) != 0 || info.st_size == 0))
        (void)fprintf(
            stderr,
            "%s is not there or empty: made anew; known peers and events are lost, blocks and pins are not in it\n",
            name);
}

static enum err check_restored(const char *path, char why[CONFIG_WHY_BYTES])
{
    char name[REPOSITORY_PATH_MAX];
    struct stat info;
    int len = snprintf(name, sizeof(name), "%s/" STORE_RESTORING, path);
    if (len < 0 || len >= (int)sizeof(name) || stat(name, &info) != 0)
        return ERR_OK;
    (void)snprintf(why, CONFIG_WHY_BYTES,
                   "%.300s: a restore was interrupted: run `hearth repo restore` again, or remove the file with "
                   "blocks.db and segments/",
                   name);
    return ERR_BUSY;
}

/* A pack for S3 is written through the compressor and a part that can be sent again. */
static enum err provide_for_cold_tier(struct life *life, char why[CONFIG_WHY_BYTES])
{
    const char *kind = life->config->tiers_cold_kind;
    if (kind[0] == '\0')
        return ERR_OK;
    budget_share_cold(&life->budget);
    if (strcmp(kind, "s3") != 0)
        return ERR_OK;
    if (life->budget.accounts[ACCOUNT_COLD].limit_bytes < COLD_S3_MIB * MIB) {
        (void)snprintf(why, CONFIG_WHY_BYTES, "Memory.Budget must be at least %d MiB with a cold tier of Kind s3",
                       COLD_S3_BUDGET_MIB);
        return ERR_INVALID;
    }
    return ERR_OK;
}

/* The library is loaded by the first request. */
static enum err provide_http(struct life *life)
{
    bool routers = life->config->routing_delegated_routers.count > 0;
    if (!routers && strcmp(life->config->tiers_cold_kind, "s3") != 0)
        return ERR_OK;
    return http_client_new(&(struct http_client_options){0}, &life->http);
}

/* The daemon's own: makes the repository on the first start, as `hearth daemon` promises, and is the only one to use it. */
static enum err claim_repository(struct life *life, const struct daemon_options *options, char why[CONFIG_WHY_BYTES])
{
    enum err err = ERR_OK;
    if (!repository_exists(life->path)) {
        err = repository_init(life->path, options->profiles, why);
        if (err == ERR_OK)
            printf("initialised the repository %s\n", life->path);
    }
    if (err == ERR_OK)
        err = repository_config(life->path, options->config_file, &life->config, why);
    if (err == ERR_OK)
        err = repository_lock(life->path, &life->lock_fd, why);
    if (err == ERR_OK)
        err = check_restored(life->path, why);
    if (err == ERR_OK)
        tell_of_lost_state(life->path);
    return err;
}

/* What every process of a daemon knows. */
static enum err read_repository(struct life *life, const struct daemon_options *options, char why[CONFIG_WHY_BYTES])
{
    bool private = false;
    enum err err = repository_identity(life->path, &life->identity, why);
    if (err == ERR_OK)
        err = repository_swarm_key(life->config, life->swarm_key, &private, why);
    if (err != ERR_OK)
        return err;
    life->config->offline = options->offline;
    life->config->bitswap_server_enabled = life->config->bitswap_server_enabled && !options->no_serve;
    life->config->provide_enabled = life->config->provide_enabled && !options->no_provide;
    life->config->identity = life->identity;
    life->config->swarm_key = private ? life->swarm_key : NULL;
    uint64_t total = life->config->memory_budget;
    err = budget_init(&life->budget, total == 0 ? budget_detect("") : total);
    if (err != ERR_OK)
        (void)snprintf(why, CONFIG_WHY_BYTES, "Memory.Budget must be at least %d MiB", BUDGET_MIN_MIB);
    return err == ERR_OK ? provide_for_cold_tier(life, why) : err;
}

static enum err open_repository(struct life *life, const struct daemon_options *options, char why[CONFIG_WHY_BYTES])
{
    enum err err = repository_find(options->repo_dir, life->path, why);
    if (err == ERR_OK)
        err = options->place == NULL ? claim_repository(life, options, why)
                                     : repository_config(life->path, options->config_file, &life->config, why);
    if (err == ERR_OK)
        err = read_repository(life, options, why);
    if (err == ERR_OK && options->processes)
        err = daemon_process_prepare(&life->process, options, life->path, why);
    return err;
}

/* Opens what actors with these ports use. */
static enum err open_ports(struct life *life, uint32_t ports, char why[CONFIG_WHY_BYTES])
{
    enum err err = ERR_OK;
    if ((ports & PORT_NET) != 0) {
        life->reactor = reactor_new();
        if (life->reactor == NULL) {
            (void)snprintf(why, CONFIG_WHY_BYTES, "out of memory");
            return ERR_NOMEM;
        }
    }
    if ((ports & PORT_DNS) != 0)
        err = name_servers_open(life->config, &life->resolver, why);
    return err == ERR_OK && (ports & PORT_HTTP) != 0 ? provide_http(life) : err;
}

static struct runtime_config describe(struct life *life, const struct daemon_options *options,
                                      const struct nanny_life *given)
{
    struct runtime_config config = {
        .config = life->config,
        .budget = &life->budget,
        .disk = disk_posix(),
        .chaos = life->config->chaos_enabled || options->chaos,
        .multicast = multicast_port(),
        .crash = given->memory,
        .log = log_write,
        .log_level = options->debug ? LOG_DEBUG : log_level_of(life->config->log_level),
    };
    config.unbounded_restarts = config.chaos && life->config->chaos_intensity == 0;
    config.intensity = config.chaos ? (uint32_t)life->config->chaos_intensity : 0;
    if (config.chaos && options->place == NULL)
        (void)fprintf(stderr, "the chaos switch is on: parts of this daemon may be told to fail (`hearth chaos`)\n");
    tree_describe(&config);
    return config;
}

static void describe_ports(const struct life *life, struct runtime_config *config)
{
    config->dns = life->resolver == NULL ? NULL : name_resolver_port(life->resolver);
    config->http = life->http == NULL ? NULL : http_client_port(life->http);
    config->loop = life->reactor == NULL ? NULL : reactor_port(life->reactor);
}

/* With processes, each actor's opens what it uses, and this one nothing. */
static enum err start_tree(struct life *life, const struct daemon_options *options, const struct nanny_life *given,
                           char why[CONFIG_WHY_BYTES])
{
    struct runtime_config config = describe(life, options, given);
    enum err err = open_ports(life, options->processes ? 0 : UINT32_MAX, why);
    if (err != ERR_OK)
        return err;
    describe_ports(life, &config);
    if (options->processes) {
        config.backend = &backend_ipc;
        config.backend_arg = &life->process.ipc;
    }
    return runtime_start(&config, &life->runtime, why, CONFIG_WHY_BYTES);
}

static struct crash_page *page_of(const struct nanny_life *given)
{
    return given->memory == NULL ? NULL : given->memory->page;
}

/* Waits for a signal or for the tree to end by itself (`shutdown`, escalation). */
static enum runtime_exit wait_for_end(struct life *life, const struct nanny_life *given, const sigset_t *signals)
{
    const struct timespec poll = {.tv_nsec = POLL_MS * 1000000L};
    for (;;) {
        enum runtime_exit how = RUNTIME_EXIT_OK;
        if (runtime_wait(life->runtime, 0, &how))
            return how;
        if (life->service != NULL)
            (void)service_turn(life->service, &(struct service_view){.page = page_of(given), .life_since_ns = 1},
                               clock_mono_ns());
        int got = sigtimedwait(signals, NULL, &poll);
        if (got == SIGTERM || got == SIGINT)
            return RUNTIME_EXIT_OK;
    }
}

/* Of each process, before any thread exists. False when the libraries cannot start. */
static bool settle_process(struct crash_page *page)
{
    settle_allocator();
    settle_scheduler();
    crash_install(page);
    (void)umask(0077);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (sodium_init() >= 0)
        return true;
    (void)fprintf(stderr, "Error: libsodium cannot start\n");
    return false;
}

static int fail(enum err err, const char *why)
{
    (void)fprintf(stderr, "Error: %s\n", why[0] == '\0' ? err_text(err) : why);
    return DAEMON_EXIT_FAILED;
}

static int run(const struct daemon_options *options, const struct nanny_life *given, struct service *service)
{
    struct life life = {.lock_fd = -1, .service = service};
    char why[CONFIG_WHY_BYTES] = "";
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);            /* kept from ending the daemon; nothing is reloaded */
    (void)sigprocmask(SIG_BLOCK, &signals, NULL); /* before any thread exists, so that all inherit it */

    int code = DAEMON_EXIT_FAILED;
    if (!settle_process(page_of(given)))
        return code;
    enum err err = open_repository(&life, options, why);
    if (err == ERR_OK)
        err = start_tree(&life, options, given, why);
    if (err == ERR_OK) {
        announce(life.config, given->number);
        crash_page_tell(page_of(given), CRASH_PHASE_READY);
        enum runtime_exit how = wait_for_end(&life, given, &signals);
        crash_page_tell(page_of(given), CRASH_PHASE_STOPPING);
        if (service != NULL)
            (void)service_turn(service, &(struct service_view){.page = page_of(given), .life_since_ns = 1},
                               clock_mono_ns());
        enum runtime_exit stopped = runtime_stop(&life.runtime, STOP_SECONDS * SECOND_NS);
        code = (int)(stopped == RUNTIME_EXIT_OK ? how : stopped);
        if (how == RUNTIME_EXIT_OK && stopped == RUNTIME_EXIT_STUCK)
            code = DAEMON_EXIT_HELD;
    } else {
        code = fail(err, why);
    }
    if (code != DAEMON_EXIT_STUCK && code != DAEMON_EXIT_HELD) /* a thread that is left may still use these */
        release(&life);
    return code;
}

int daemon_run(const struct daemon_options *options, const struct nanny_life *life)
{
    return run(options, life, NULL);
}

int daemon_run_alone(const struct daemon_options *options)
{
    struct service service;
    static struct crash_memory memory; /* it stays: a thread that is left may still use it */
    const struct nanny_life life = {.memory = crash_memory_make(&memory) == ERR_OK ? &memory : NULL};
    if (!service_open(&service))
        (void)fprintf(stderr, "NOTIFY_SOCKET or WATCHDOG_USEC is not one that can be used\n");
    int code = run(options, &life, &service);
    service_close(&service);
    return code;
}

/* Where the system cannot, the actor runs all the same: it is what threads are, too. */
static bool confine(void *arg, struct ctx *ctx)
{
    const uint32_t *ports = arg;
    enum err err = confine_process(*ports);
    if (err == ERR_UNSUPPORTED)
        ctx_log(ctx, LOG_WARN, "this system has no filter of system calls: the process is not confined");
    return err == ERR_OK || err == ERR_UNSUPPORTED;
}

int daemon_play(const struct daemon_options *options)
{
    struct life life = {.lock_fd = -1};
    char why[CONFIG_WHY_BYTES] = "";
    if (!settle_process(NULL))
        return DAEMON_EXIT_FAILED;
    enum err err = open_repository(&life, options, why);
    if (err != ERR_OK)
        return fail(err, why);
    const struct nanny_life none = {.number = 0};
    struct runtime_config config = describe(&life, options, &none);
    actor_id actor = runtime_place_actor(options->place);
    if (actor == 0 || actor >= config.class_count)
        return fail(ERR_INVALID, "--actor is for the daemon's own use");
    err = open_ports(&life, config.classes[actor]->ports, why);
    if (err != ERR_OK)
        return fail(err, why);
    uint32_t ports = config.classes[actor]->ports;
    struct ipc_options ipc = {.started = confine, .arg = &ports};
    describe_ports(&life, &config);
    config.backend = &backend_ipc;
    config.backend_arg = &ipc;
    err = runtime_play(&config, options->place);
    if (err != ERR_OK)
        return fail(err, "--actor is for the daemon's own use");
    release(&life);
    return DAEMON_EXIT_OK;
}
