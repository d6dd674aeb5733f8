/* SPDX-License-Identifier: MIT */
/*
 * The ports: how clock-bound and blocking things of the outside world reach an actor. net/ and storage/disk_posix implement them
 * for production, sim/ for the simulator; the code above cannot tell which it runs on.
 *
 * Threads: net_port functions are called only on the thread of the actor that owns the loop, never block, and report through the
 * sink on the same thread. disk_port functions block and are called from jobs (and at start-up before actors run) only.
 */
#ifndef HEARTH_MAILBOX_PORTS_H
#define HEARTH_MAILBOX_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/texts.h"

/* ---- network ---- */

enum net_family { NET_IP4 = 4, NET_IP6 = 6 };

struct net_addr {
    enum net_family family;
    uint16_t port;     /* host order */
    uint32_t scope_id; /* IPv6 zone, else 0 */
    uint8_t ip[16];    /* network order, the first 4 bytes for IPv4 */
};

struct net_sock;

enum net_event_kind {
    NET_ACCEPTED,  /* sock is new and belongs to the receiver; tag is the listener's; remote and local are set */
    NET_CONNECTED, /* a connect succeeded; tag is the caller's */
    NET_READY,     /* readable and/or writable as wanted; edge: read until ERR_AGAIN */
    NET_CLOSED,    /* the socket failed (err) or a connect did; close() it still */
};

struct net_event {
    enum net_event_kind kind;
    struct net_sock *sock;
    uint64_t tag;
    bool readable;
    bool writable;
    enum err err;
    struct net_addr remote;
    struct net_addr local;
};

typedef void net_sink(void *arg, const struct net_event *event);

struct net_port {
    void *self;
    /* Listens; ret_bound has the port that was taken for port 0. The listener lives until close_listener. */
    enum err (*listen)(void *self, const struct net_addr *addr, uint64_t tag, struct net_addr *ret_bound);
    void (*close_listener)(void *self, uint64_t tag);
    /* Starts a connect; NET_CONNECTED or NET_CLOSED follows with the tag. close() abandons it. */
    enum err (*connect)(void *self, const struct net_addr *addr, uint64_t tag, struct net_sock **ret_sock);
    /* Bytes read, 0 at end of stream; ERR_AGAIN when nothing is there. */
    enum err (*read)(struct net_sock *sock, const struct iovec *iov, int count, size_t *ret_bytes);
    /* Writes what fits; ERR_AGAIN when nothing does. */
    enum err (*write)(struct net_sock *sock, const struct iovec *iov, int count, size_t *ret_bytes);
    /* Which readiness is reported. A new socket wants nothing: backpressure is want(false, ...). */
    void (*want)(struct net_sock *sock, bool readable, bool writable);
    /* Changes the tag that later events carry. */
    void (*set_tag)(struct net_sock *sock, uint64_t tag);
    /* Frees the socket; reset sends RST. No event follows. */
    void (*close)(struct net_sock *sock, bool reset);
    /* The machine's own addresses (port 0), loopback too: what a listener on all of them can be reached at. Returns their number. */
    size_t (*own_addrs)(void *self, struct net_addr *ret_addrs, size_t max);
};

/* ---- sockets that outlive a process ---- */

enum { KEEP_NAME_BYTES = 64 };

/* Where an actor whose life is a process leaves open sockets for its next life, however this one ends. One thread: the actor's. */
struct keep_port {
    void *self;
    /*
     * A duplicate of what was left under the name, which stays there; -1: nothing. It may be anything, since the process that left it may have
     * been taken over.
     */
    int (*find)(void *self, const char *name);
    /* Leaves a duplicate, in place of what has the name. ERR_BUSY: no room for more; ERR_INVALID: the name. */
    enum err (*keep)(void *self, const char *name, int fd);
    void (*forget)(void *self, const char *name);
};

/* ---- the loop of an actor that owns descriptors (production: libuv) ---- */

struct loop;

struct loop_port {
    void *self;
    /* Before open: listeners are left there too, for another process. NULL: they outlive no process. */
    void (*keep_in)(void *self, const struct keep_port *keep);
    /* Makes the loop on the calling thread, which alone uses it. net events go to sink(arg). */
    enum err (*open)(void *self, net_sink *sink, void *arg, struct loop **ret_loop);
    /* Calls ready(arg) when fd becomes readable. At most 16 descriptors. */
    enum err (*watch)(struct loop *loop, int fd, void (*ready)(void *arg), void *arg);
    /* Runs: before each wait calls turn(arg, &wake_at_ns) (CLOCK_MONOTONIC, UINT64_MAX = none); returns once turn gives false. */
    void (*run)(struct loop *loop, bool (*turn)(void *arg, uint64_t *ret_wake_at_ns), void *arg);
    const struct net_port *(*net)(struct loop *loop);
    void (*close)(struct loop *loop);
};

/* ---- multicast DNS: datagrams to everybody on the same link ---- */

enum { MULTICAST_BYTES_MAX = 9000, MULTICAST_ADDRS_MAX = 64, MULTICAST_DESCRIPTORS_MAX = 2 };

struct multicast;

/* One of the machine's own addresses, on a link that carries multicast. */
struct multicast_addr {
    uint32_t link;        /* names the interface; never 0 */
    struct net_addr addr; /* port 0 */
    uint8_t prefix_bits;  /* of the network that is reached without a router */
};

struct multicast_datagram {
    uint32_t link; /* where it came in */
    struct net_addr from;
    const uint8_t *bytes; /* borrowed for the call */
    size_t len;           /* at most MULTICAST_BYTES_MAX; longer ones are dropped */
};

typedef void multicast_sink(void *arg, const struct multicast_datagram *datagram);

struct multicast_port {
    void *self;
    /* Opens no socket yet. Datagrams go to sink(arg) on the thread that opened it, the only one to use it; own ones too. */
    enum err (*open)(void *self, multicast_sink *sink, void *arg, struct multicast **ret_multicast);
    /* Looks at the interfaces anew: joins the groups of mDNS (224.0.0.251, ff02::fb) on those that are up and carry multicast, and
     * tells their addresses, in a fixed order. None is no error. */
    enum err (*join)(struct multicast *m, struct multicast_addr *ret_addrs, size_t max, size_t *ret_count);
    /* Sends to the family's group on one link, from port 5353. Never blocks; a datagram may be lost. */
    enum err (*send)(struct multicast *m, uint32_t link, enum net_family family, const void *bytes, size_t len);
    /* What to wait for; receive() when one is readable. The simulator has none and calls the sink by itself. */
    size_t (*descriptors)(const struct multicast *m, int ret_fds[MULTICAST_DESCRIPTORS_MAX]);
    void (*receive)(struct multicast *m);
    void (*close)(struct multicast *m);
};

/* ---- names ---- */

enum { DNS_RESULTS_MAX = 32, DNS_TXT_BYTES_MAX = 4096, DNS_TXTS_BYTES_MAX = 64 * 1024 };

struct dns_question {
    const char *name;              /* without the root's dot */
    uint64_t deadline_ns;          /* CLOCK_MONOTONIC */
    const _Atomic bool *cancelled; /* NULL: it cannot be */
};

/*
 * Blocking, from jobs only, any number at once. ERR_NOT_FOUND (no such name or record), ERR_TIMEOUT, ERR_CANCELLED, ERR_UNREACHABLE
 * (no server is there, or none will answer this), ERR_INVALID (no name, or an answer that is none), ERR_NOMEM.
 */
struct dns_port {
    void *self;
    /* A and AAAA records, port copied into each. */
    enum err (*resolve)(void *self, const struct dns_question *question, uint16_t port, bool ip4, bool ip6,
                        struct net_addr *ret_addrs, size_t *ret_count);
    /* Adds the TXT records of that very name, the strings of each joined. Those over DNS_TXT_BYTES_MAX and those for which the list
     * has no room are left out. */
    enum err (*txt)(void *self, const struct dns_question *question, struct texts *texts);
};

/* ---- HTTP ---- */

enum { HTTP_HEADERS_BYTES = 8192, HTTP_ERROR_BYTES = 4096, HTTP_WHY_BYTES = 256 };

enum http_method { HTTP_GET, HTTP_HEAD, HTTP_PUT, HTTP_POST, HTTP_DELETE };

/* What a request is signed with, by AWS Signature Version 4. Texts are borrowed. */
struct http_signer {
    const char *key_id;
    const char *secret;
    const char *region;
    const char *service;
};

struct http_request {
    enum http_method method;
    const char *url;            /* http or https, encoded; its query in the order in which it is signed */
    const char *const *headers; /* "Name: value" */
    size_t header_count;
    const uint8_t *body; /* of PUT and POST */
    size_t body_len;
    const struct http_signer *signer; /* NULL: not signed */
    const char *ca_file;              /* who may vouch for the server; NULL: those that the system trusts */
    uint64_t deadline_ns;             /* CLOCK_MONOTONIC */
    const _Atomic bool *cancelled;    /* NULL: it cannot be */
};

struct http_response {
    uint8_t *body;   /* of the caller: where the body of a 2xx goes */
    size_t body_max; /* a longer one is ERR_TOO_LARGE */
    size_t body_len;
    unsigned status;
    char headers
        [HTTP_HEADERS_BYTES];     /* "name: value\n", names in lower case, what does not fit left out; NUL-terminated */
    char error[HTTP_ERROR_BYTES]; /* the begin of the body of any other status, NUL-terminated */
    char why[HTTP_WHY_BYTES];     /* when it failed: for people; without secrets */
};

struct http_port {
    void *self;
    /*
     * Blocking, from jobs only, any number at once: ERR_OK when a whole response came, whatever its status. No redirect is followed.
     * ERR_TIMEOUT (also a stall), ERR_NOT_FOUND (the name), ERR_REFUSED, ERR_UNREACHABLE, ERR_RESET, ERR_TRUNCATED (the body was cut),
     * ERR_AUTH (the server's certificate), ERR_TOO_LARGE, ERR_PROTOCOL, ERR_CANCELLED, ERR_UNSUPPORTED (no library), ERR_NOMEM.
     */
    enum err (*request)(void *self, const struct http_request *request, struct http_response *response);
    /* The time, and waiting for it, as the requests see it. */
    uint64_t (*now)(void *self);
    void (*pause)(void *self, uint64_t ns);
};

/* ---- disk ---- */

struct disk_file;

enum disk_open {
    DISK_READ = 1,
    DISK_WRITE = 2,
    DISK_CREATE = 4,    /* make it when absent, mode 0600 */
    DISK_EXCLUSIVE = 8, /* with DISK_CREATE: ERR_EXISTS when it is there */
    /*
     * Past the page cache: offsets, lengths and addresses of what is written are multiples of DISK_DIRECT_ALIGN. ERR_INVALID, from open
     * or the first write: not on this file system. Whether something is durable is a matter of fdatasync all the same.
     */
    DISK_DIRECT = 16,
};

enum { DISK_DIRECT_ALIGN = 4096 };

struct disk_port {
    void *self;
    enum err (*open)(void *self, const char *path, unsigned flags, struct disk_file **ret_file);
    void (*close)(struct disk_file *file);
    /* Reads up to len bytes; fewer only at the end of the file. */
    enum err (*pread)(struct disk_file *file, void *to, size_t len, uint64_t offset, size_t *ret_len);
    /* Writes all or fails; on failure any prefix may have reached the file. */
    enum err (*pwritev)(struct disk_file *file, const struct iovec *iov, int count, uint64_t offset);
    enum err (*fdatasync)(struct disk_file *file);
    enum err (*allocate)(struct disk_file *file, uint64_t offset, uint64_t len); /* preallocates, extends the size */
    enum err (*truncate)(struct disk_file *file, uint64_t len);
    enum err (*size)(struct disk_file *file, uint64_t *ret_bytes);
    /* Takes an exclusive advisory lock (flock) without waiting: ERR_BUSY when another holds it. Released by close. */
    enum err (*lock)(struct disk_file *file);
    enum err (*sync_dir)(void *self, const char *path);
    enum err (*rename)(void *self, const char *from, const char *to);
    enum err (*unlink)(void *self, const char *path);
    enum err (*make_dir)(void *self, const char *path); /* mode 0700; ERR_EXISTS */
    enum err (*exists)(void *self, const char *path);   /* ERR_OK or ERR_NOT_FOUND */
    /* Calls each(arg, name) for the entries but . and .., sorted by name. */
    enum err (*list)(void *self, const char *path, void (*each)(void *arg, const char *name), void *arg);
    enum err (*free_bytes)(void *self, const char *path, uint64_t *ret_bytes);
};

#endif
