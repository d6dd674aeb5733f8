/* SPDX-License-Identifier: MIT */
/*
 * The configuration, declared once: each key's name, type, default, bounds and meaning. From this list come struct config, the checks,
 * the environment variables (HEARTH_<SECTION>__<KEY>, dots become two underscores), `config show` and docs/config.md.
 *
 * Section names and value grammar are Kubo's. A value arrives as text whatever its source (file, environment, profile), so there is
 * one setter. A config is immutable once the runtime has started; any thread may read it.
 */
#ifndef HEARTH_SCHEMAS_CONFIG_H
#define HEARTH_SCHEMAS_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/buf.h"
#include "base/err.h"

struct key_pair;

enum { CONFIG_TEXT_MAX = 1024, CONFIG_WHY_BYTES = 512 };

#define CONFIG_BOOTSTRAP_AUTO "auto"

struct config_list {
    size_t count;
    char **items;
};

/* type, field, key, default, min, max (of numbers; of a list's count; of a text's bytes), choices separated by | or NULL, meaning */
#define CONFIG_KEYS(X)                                                                                                 \
    X(LIST, addresses_swarm, "Addresses.Swarm", "/ip4/0.0.0.0/tcp/4001,/ip6/::/tcp/4001", 0, 32, NULL,                 \
      "multiaddrs to listen on for peers, /tcp/PORT or /tcp/PORT/ws; an empty list means none")                        \
    X(LIST, addresses_announce, "Addresses.Announce", "", 0, 32, NULL,                                                 \
      "multiaddrs told to peers in place of those found on the interfaces")                                            \
    X(LIST, addresses_api, "Addresses.API", "", 0, 8, NULL,                                                            \
      "further control listeners; not in this version: must be empty")                                                 \
    X(LIST, addresses_gateway, "Addresses.Gateway", "", 0, 8, NULL,                                                    \
      "the HTTP gateway; not in this version: must be empty")                                                          \
    X(LIST, bootstrap, "Bootstrap", CONFIG_BOOTSTRAP_AUTO, 0, 64, NULL,                                                \
      "multiaddrs with /p2p/ of peers that are dialled at start, and when few are connected; auto stands for those "   \
      "of "                                                                                                            \
      "the public network; an empty list means that nobody is dialled by itself")                                      \
    X(LIST, peering_peers, "Peering.Peers", "", 0, 64, NULL,                                                           \
      "multiaddrs with /p2p/ of peers to stay connected with; never trimmed")                                          \
    X(LIST, dns_servers, "DNS.Servers", "", 0, 8, NULL,                                                                \
      "name servers that names in addresses and DNSLink are asked of, IP or IP:PORT; empty means those of the "        \
      "machine")                                                                                                       \
    X(BOOL, discovery_mdns, "Discovery.MDNS.Enabled", "true", 0, 1, NULL,                                              \
      "find peers of the local network and be found there, by multicast DNS; also by its short name Discovery.MDNS "   \
      "and HEARTH_DISCOVERY__MDNS")                                                                                    \
    X(CHOICE, routing_type, "Routing.Type", "auto", 0, 0, "auto|autoclient|delegated|dht|dhtclient|dhtserver|none",    \
      "how peers and providers are found: auto and dht by the DHTs, public and local, as server of the public one "    \
      "when peers of the public network can reach this node; the client forms never serve, "                           \
      "dhtserver always does; delegated asks Routing.DelegatedRouters alone; none knows connected peers only")         \
    X(BOOL, routing_loopback_addresses_on_lan_dht, "Routing.LoopbackAddressesOnLanDHT", "false", 0, 1, NULL,           \
      "tell and believe loopback addresses in the local DHT: for several nodes on one machine")                        \
    X(LIST, routing_delegated_routers, "Routing.DelegatedRouters", "", 0, 8, NULL,                                     \
      "http or https addresses of routers that are asked over /routing/v1 for providers, peers and names; one that "   \
      "ends with /routing/v1/providers, /peers or /ipns is asked for that alone")                                      \
    X(BOOL, bitswap_server_enabled, "Bitswap.ServerEnabled", "true", 0, 1, NULL,                                       \
      "give blocks to peers; off answers each want with DONT_HAVE and goes on fetching; also --no-serve")              \
    X(BOOL, provide_enabled, "Provide.Enabled", "true", 0, 1, NULL,                                                    \
      "tell the network what is stored here; also --no-provide")                                                       \
    X(CHOICE, provide_strategy, "Provide.Strategy", "all", 0, 0, "all|pinned|roots|off",                               \
      "what of it: every block, pins with all below, pins alone, nothing")                                             \
    X(DURATION, provide_dht_interval, "Provide.DHT.Interval", "22h", UINT64_C(10000000000), UINT64_C(172800000000000), \
      NULL, "how often everything is provided again; peers forget it after 48 h")                                      \
    X(DURATION, ipns_republish_period, "Ipns.RepublishPeriod", "4h", UINT64_C(60000000000), UINT64_C(172800000000000), \
      NULL, "when peers are told again of the names that this node has keys for, 1m to 48h")                           \
    X(DURATION, ipns_record_lifetime, "Ipns.RecordLifetime", "48h", UINT64_C(60000000000), UINT64_C(1) << 60, NULL,    \
      "how long such a record is valid at least each time; longer than Ipns.RepublishPeriod")                          \
    X(U64, ipns_resolve_cache_size, "Ipns.ResolveCacheSize", "128", 0, 4096, NULL,                                     \
      "names whose value is remembered, each as long as its record says; 0 means none")                                \
    X(CHOICE, import_profile, "Import.Profile", "unixfs-v1-2025", 0, 0, "unixfs-v1-2025|unixfs-v0-2015",               \
      "chunking, layout and CIDs of what is added")                                                                    \
    X(SIZE, datastore_storage_max, "Datastore.StorageMax", "10GB", 1 << 20, UINT64_C(1) << 60, NULL,                   \
      "bytes the repository may take; adding past it is refused")                                                      \
    X(U64, datastore_gc_watermark, "Datastore.StorageGCWatermark", "90", 0, 100, NULL,                                 \
      "percent of StorageMax from which on blocks that no pin needs are removed by themselves, with a cold tier only " \
      "while demotion cannot make room; 0 means never")                                                                \
    X(DURATION, datastore_gc_period, "Datastore.GCPeriod", "1h", UINT64_C(1000000000), UINT64_C(1) << 60, NULL,        \
      "when that is tried again if it left more than the watermark")                                                   \
    X(SIZE, datastore_scrub_rate, "Datastore.ScrubRate", "1MB", 0, UINT64_C(1) << 40, NULL,                            \
      "bytes a second that are read and checked in the background, all blocks on the disk once a week, and as many "   \
      "of a "                                                                                                          \
      "cold tier in a folder; 0 means never")                                                                          \
    X(CHOICE, role, "Role", "worker", 0, 0, "master|worker|leecher",                                                   \
      "how much this node does for others: a master fetches what its peers want and it lacks; a leecher tracks no "    \
      "heat, brings no cold blocks back to its disk, keeps "                                                           \
      "no blocks in memory, dials nobody it discovers once it has 10 peers, and is a client of the DHT; where it is "  \
      "set, a master keeps 100 to 400 connections, a worker 50 to 200, a leecher 20 to 100, unless Swarm.ConnMgr "     \
      "says otherwise")                                                                                                \
    X(CHOICE, tiers_policy, "Tiers.Policy", "hearth", 0, 0, "hearth|origin|lru|s3fifo",                                \
      "what decides which blocks stay in memory and on the disk; hearth learns it from what is asked for")             \
    X(U64, tiers_demote_at, "Tiers.DemoteAt", "80", 1, 100, NULL,                                                      \
      "percent of StorageMax from which on blocks leave for the cold tier, if there is one")                           \
    X(U64, tiers_demote_to, "Tiers.DemoteTo", "75", 0, 99, NULL, "percent of StorageMax down to which they leave")     \
    X(SIZE, tiers_demote_rate, "Tiers.DemoteRate", "16MiB", 0, UINT64_C(1) << 40, NULL,                                \
      "bytes a second that may leave for the cold tier; 0 means none")                                                 \
    X(SIZE, tiers_promote_rate, "Tiers.PromoteRate", "16MiB", 0, UINT64_C(1) << 40, NULL,                              \
      "bytes a second that may come back from it; 0 means none: blocks are read where they are")                       \
    X(DURATION, tiers_settle_time, "Tiers.SettleTime", "1m", 0, UINT64_C(86400000000000), NULL,                        \
      "how long a block stays in the tier that it has just been moved to")                                             \
    X(BOOL, tiers_prefetch, "Tiers.Prefetch", "true", 0, 1, NULL,                                                      \
      "bring blocks back from the cold tier that are likely to be asked for next")                                     \
    X(CHOICE, tiers_cold_kind, "Tiers.Cold.Kind", "", 0, 0, "|directory|s3",                                           \
      "what the cold tier is: a folder on another medium, or a bucket behind the S3 protocol; empty means none")       \
    X(TEXT, tiers_cold_path, "Tiers.Cold.Path", "", 0, CONFIG_TEXT_MAX, NULL,                                          \
      "directory: absolute path of the folder, which must be there and be this node's alone")                          \
    X(TEXT, tiers_cold_endpoint, "Tiers.Cold.Endpoint", "", 0, 255, NULL,                                              \
      "s3: address of the server, http:// or https://; empty means Amazon's in Region")                                \
    X(TEXT, tiers_cold_region, "Tiers.Cold.Region", "us-east-1", 1, 64, NULL,                                          \
      "s3: region that requests are signed for")                                                                       \
    X(TEXT, tiers_cold_bucket, "Tiers.Cold.Bucket", "", 0, 255, NULL, "s3: the bucket, which must be there")           \
    X(TEXT, tiers_cold_prefix, "Tiers.Cold.Prefix", "hearth/", 0, 128, NULL,                                           \
      "s3: what the names of all objects begin with, this node's alone; ends with a slash, or is empty")               \
    X(TEXT, tiers_cold_access_key, "Tiers.Cold.AccessKey", "", 0, 128, NULL,                                           \
      "s3: access key; empty means as the AWS tools find it: AWS_ACCESS_KEY_ID and its like, else "                    \
      "~/.aws/credentials")                                                                                            \
    X(TEXT, tiers_cold_ca_file, "Tiers.Cold.CAFile", "", 0, 255, NULL,                                                 \
      "s3: absolute path of a file with the certificates (PEM) that vouch for the server; empty means those of the "   \
      "system")                                                                                                        \
    X(SECRET, tiers_cold_secret_key, "Tiers.Cold.SecretKey", "", 0, 128, NULL, "s3: its secret; never shown")          \
    X(SIZE, tiers_cold_pack_bytes, "Tiers.Cold.PackBytes", "32MiB", 1 << 20, 1 << 30, NULL,                            \
      "bytes of the objects that blocks are put together in")                                                          \
    X(U64, tiers_cold_request_rate, "Tiers.Cold.RequestRate", "50", 1, 100000, NULL,                                   \
      "s3: requests a second, since they cost money")                                                                  \
    X(U64, tiers_cold_request_burst, "Tiers.Cold.RequestBurst", "100", 1, 100000, NULL,                                \
      "s3: requests at once after a rest")                                                                             \
    X(SIZE, memory_budget, "Memory.Budget", "0", 0, UINT64_C(1) << 44, NULL,                                           \
      "bytes of memory for the whole daemon, at least 48MiB; 0 means the smaller of 64 MiB and the cgroup's limit")    \
    X(U64, swarm_connmgr_low_water, "Swarm.ConnMgr.LowWater", "32", 0, 10000, NULL, "connections kept when trimming")  \
    X(U64, swarm_connmgr_high_water, "Swarm.ConnMgr.HighWater", "96", 1, 10000, NULL,                                  \
      "connections from which on idle ones are trimmed")                                                               \
    X(DURATION, swarm_connmgr_grace_period, "Swarm.ConnMgr.GracePeriod", "20s", 0, UINT64_C(3600000000000), NULL,      \
      "how long a new connection is never trimmed")                                                                    \
    X(U64, swarm_per_ip_max, "Swarm.PerIPMax", "8", 1, 10000, NULL, "connections from one IPv4 address or IPv6 /56")   \
    X(LIST, swarm_per_ip_exempt, "Swarm.PerIPExempt", "127.0.0.0/8,::1/128", 0, 64, NULL,                              \
      "networks to which the limits per address do not apply")                                                         \
    X(LIST, swarm_addr_filters, "Swarm.AddrFilters", "", 0, 256, NULL,                                                 \
      "networks with which there are no connections, as /ip4/10.0.0.0/ipcidr/8; `swarm filters` shows and changes "    \
      "them while the daemon runs")                                                                                    \
    X(LIST, swarm_peer_rules, "Swarm.PeerRules", "", 0, 256, NULL,                                                     \
      "with whom to speak, before AddrFilters: allow or deny, then a peer id, a network or all; the first that "       \
      "matches decides")                                                                                               \
    X(SIZE, swarm_bandwidth_in, "Swarm.Bandwidth.In", "0", 0, UINT64_C(1) << 40, NULL,                                 \
      "bytes a second from all peers together, at least 16kB; 0 means no limit")                                       \
    X(SIZE, swarm_bandwidth_out, "Swarm.Bandwidth.Out", "0", 0, UINT64_C(1) << 40, NULL,                               \
      "bytes a second to all peers together, at least 16kB; 0 means no limit")                                         \
    X(LIST, swarm_bandwidth_per_peer, "Swarm.Bandwidth.PerPeer", "", 0, 64, NULL,                                      \
      "a peer id, or * for each peer that is not named before, then bytes a second in and out: * 1MB 500kB")           \
    X(LIST, swarm_bandwidth_per_protocol, "Swarm.Bandwidth.PerProtocol", "", 0, 16, NULL,                              \
      "a protocol, or how its name begins, then bytes a second in and out: /ipfs/bitswap 2MB 1MB")                     \
    X(LIST, swarm_bandwidth_schedule, "Swarm.Bandwidth.Schedule", "", 0, 24, NULL,                                     \
      "hours of the local day, then what holds in them instead of In and Out: 8-18 1MB 250kB")                         \
    X(U64, swarm_dial_rate, "Swarm.Dial.Rate", "64", 0, 10000, NULL,                                                   \
      "sockets a second that are opened towards peers, after a burst; 0 means no limit")                               \
    X(U64, swarm_dial_burst, "Swarm.Dial.Burst", "128", 1, 10000, NULL,                                                \
      "sockets that may be opened at once after a rest")                                                               \
    X(U64, swarm_dial_concurrent, "Swarm.Dial.Concurrent", "64", 1, 64, NULL, "attempts under way at once")            \
    X(BOOL, swarm_resources_enabled, "Swarm.ResourceMgr.Enabled", "true", 0, 1, NULL,                                  \
      "limit what each peer, protocol, address and network may have; without, the memory budget and the number of "    \
      "connections limit still")                                                                                       \
    X(SIZE, swarm_resources_memory, "Swarm.ResourceMgr.MaxMemory", "0", 0, UINT64_C(1) << 44, NULL,                    \
      "bytes held for streams of all peers; half of it for one; 0 means what the memory budget has for them")          \
    X(U64, swarm_resources_peer_conns, "Swarm.ResourceMgr.ConnsPerPeer", "8", 1, 10000, NULL,                          \
      "connections with one peer, each way")                                                                           \
    X(U64, swarm_resources_peer_streams, "Swarm.ResourceMgr.StreamsPerPeer", "1024", 1, 65536, NULL,                   \
      "streams with one peer; four times as many with a network")                                                      \
    X(U64, swarm_resources_protocol_streams, "Swarm.ResourceMgr.StreamsPerProtocol", "16384", 1, 65536, NULL,          \
      "streams of one protocol")                                                                                       \
    X(SECRET, swarm_key_text, "Swarm.Key", "", 0, 256, NULL,                                                           \
      "key of a private network: 64 hex digits, or the text of Kubo's swarm.key; empty means the repository's "        \
      "swarm.key if there is one; never shown")                                                                        \
    X(BOOL, swarm_force_private, "Swarm.ForcePrivate", "false", 0, 1, NULL,                                            \
      "do not start without the key of a private network; so does LIBP2P_FORCE_PNET=1")                                \
    X(LIST, swarm_security, "Swarm.Transports.Security", "noise,tls", 1, 2, NULL,                                      \
      "secure channels offered and accepted, in order of preference: noise, tls")                                      \
    X(BOOL, swarm_early_muxer, "Swarm.Transports.EarlyMuxer", "true", 0, 1, NULL,                                      \
      "choose the muxer inside the security handshake; off negotiates it by multistream-select")                       \
    X(TEXT, control_group, "Control.Group", "", 0, 64, NULL,                                                           \
      "group, by name or number, that may read the databases and reach the control socket, which answers AllowedUIDs") \
    X(LIST, control_allowed_uids, "Control.AllowedUIDs", "", 0, 16, NULL,                                              \
      "further user ids that may use the control socket; the daemon's own always may")                                 \
    X(BOOL, chaos_enabled, "Chaos.Enabled", "false", 0, 1, NULL,                                                       \
      "for tests only: whoever may use the control socket may make parts of the daemon fail, by `chaos`; also "        \
      "--chaos")                                                                                                       \
    X(U64, chaos_intensity, "Chaos.Intensity", "10", 0, 64, NULL,                                                      \
      "for tests only: with Chaos.Enabled, restarts within a minute that end a supervisor when there is one more; 0 "  \
      "means that none are too many, and none is delayed")                                                             \
    X(CHOICE, log_level, "Log.Level", "info", 0, 0, "error|warn|info|debug", "how much is logged to stderr")

#define CONFIG_C_LIST     struct config_list
#define CONFIG_C_BOOL     bool
#define CONFIG_C_U64      uint64_t
#define CONFIG_C_SIZE     uint64_t
#define CONFIG_C_DURATION uint64_t
#define CONFIG_C_TEXT     char *
#define CONFIG_C_CHOICE   char *
#define CONFIG_C_SECRET   char *

/* Owned texts; times in nanoseconds, sizes in bytes. Made by config_new, so no field is ever NULL. */
struct config {
    char *path; /* HEARTH_PATH: the repository, absolute */
#define CONFIG_FIELD(type, field, key, fallback, min, max, choices, doc) CONFIG_C_##type field;
    CONFIG_KEYS(CONFIG_FIELD)
#undef CONFIG_FIELD
    const uint8_t *swarm_key;  /* borrowed: 32 secret bytes of the private network; NULL: the public one */
    uint64_t set_keys[4];      /* a bit for each key that was set, in the order of CONFIG_KEYS */
    bool offline;              /* --offline: no listening, no dialling */
    struct key_pair *identity; /* borrowed: the daemon's key of wire/keys.h; NULL in commands that need none */
};

/* A secret is a text that is neither printed nor part of an error. */
enum config_type {
    CONFIG_LIST,
    CONFIG_BOOL,
    CONFIG_U64,
    CONFIG_SIZE,
    CONFIG_DURATION,
    CONFIG_TEXT,
    CONFIG_CHOICE,
    CONFIG_SECRET
};

struct config_key {
    enum config_type type;
    const char *key;
    const char *fallback;
    uint64_t min;
    uint64_t max;
    const char *choices;
    const char *doc;
    size_t offset;
};

/* All defaults. path is copied. ERR_NOMEM. */
enum err config_new(const char *path, struct config **ret_config) MUST_CHECK;
void config_free(struct config *config);

/*
 * Sets one key from text; a list is comma-separated, an empty text the empty list. Key names are exact. On failure the config is
 * unchanged and why has one sentence naming key, value and what is allowed; an unknown key's sentence suggests the nearest known one.
 */
enum err config_set(struct config *config, const char *key, struct span value, char why[CONFIG_WHY_BYTES]) MUST_CHECK;

/* Whether the key was set, by whatever source, even to its default. */
bool config_is_set(const struct config *config, const char *key);

/* Whether name is that of a section, such as "Swarm.ConnMgr". */
bool config_is_section(const char *name);
/* ERR_NOT_FOUND with a suggestion, ERR_INVALID when it is a key: why has the sentence. */
enum err config_check_section(const char *name, char why[CONFIG_WHY_BYTES]) MUST_CHECK;

/* Appends one item to a list key: how a YAML sequence arrives. The first append after config_clear_list replaces the default. */
enum err config_append(struct config *config, const char *key, struct span item, char why[CONFIG_WHY_BYTES]) MUST_CHECK;
enum err config_clear_list(struct config *config, const char *key, char why[CONFIG_WHY_BYTES]) MUST_CHECK;

/*
 * Takes the HEARTH_<SECTION>__<KEY> variables from environ-like "NAME=value" strings; variables of that form that name no key are
 * errors with a suggestion. HEARTH_PATH and names without a double underscore, unless they name a top-level key, are not looked at.
 */
enum err config_set_environment(struct config *config, char *const *environment, char why[CONFIG_WHY_BYTES]) MUST_CHECK;

/* Checks what spans keys or needs more than a type (LowWater <= HighWater, budget in range, user ids, what a kind of cold tier needs). */
enum err config_check(const struct config *config, char why[CONFIG_WHY_BYTES]) MUST_CHECK;

/* Applies the comma-separated profiles: server, lowpower, home, randomports, test. ERR_NOT_FOUND names the known ones in why. */
enum err config_profile(struct config *config, const char *names, char why[CONFIG_WHY_BYTES]) MUST_CHECK;

/* All keys but secrets as YAML, with their meanings as comments when comments is set; changed_only leaves out what equals its default. */
enum err config_print(const struct config *config, bool comments, bool changed_only, struct buf *to) MUST_CHECK;

/* Appends docs/config.md: each key with its variable, default and meaning. */
enum err config_document(struct buf *to) MUST_CHECK;

/* The multiaddrs that CONFIG_BOOTSTRAP_AUTO in Bootstrap stands for; static. */
const char *const *config_bootstrap_auto(size_t *ret_count);

/* The declarations, for documentation and for the command line. */
const struct config_key *config_keys(size_t *ret_count);

#endif
