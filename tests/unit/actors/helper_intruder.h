/* SPDX-License-Identifier: MIT */
/*
 * An intruder: a host of the simulated network of helper_nodes that speaks libp2p by hand, and so can say what no engine of ours
 * would. It dials node 0, shakes hands over Noise with whatever proof of identity it likes, and sends Yamux frames byte by byte.
 *
 *      intruder_dial(i);  intruder_shake_hands(i);  intruder_frame(i, ...);  intruder_heard(i, ...);
 *
 * Each call lets virtual time pass until what it asks for has happened or the victim has hung up. All functions fail the running
 * test when the simulator itself does.
 */
#ifndef HEARTH_TESTS_UNIT_ACTORS_HELPER_INTRUDER_H
#define HEARTH_TESTS_UNIT_ACTORS_HELPER_INTRUDER_H

#include "helper_nodes.h"
#include "wire/noise_session.h"

enum intruder_type { FRAME_DATA = 0, FRAME_WINDOW = 1, FRAME_PING = 2, FRAME_GO_AWAY = 3 };
enum intruder_flag { FLAG_SYN = 1, FLAG_ACK = 2, FLAG_FIN = 4, FLAG_RST = 8 };

struct intruder {
    struct sim_host *host;
    struct loop *loop;
    const struct net_port *net;
    struct net_sock *sock;
    bool connected;
    bool closed;
    bool deaf; /* does not read any more */
    bool secure;
    struct key_pair *key;
    struct noise_identity identity; /* proof may be replaced before the handshake */
    struct noise_session noise;
    struct buf heard; /* before the handshake as it came, then the plaintext */
    struct buf waits; /* for room in the socket */
    uint64_t written;
};

/* A host of its own: 198.<b>.<c>.<d>, with a key made of these numbers. */
struct intruder *intruder_new(uint8_t b, uint8_t c, uint8_t d);
void intruder_free(struct intruder *i);

/* TCP to node 0. False: it was turned away. */
bool intruder_dial(struct intruder *i);

/* Raw bytes into the socket. */
void intruder_say(struct intruder *i, struct span bytes);

/* multistream and Noise with early muxer selection. False: the victim hung up. */
bool intruder_shake_hands(struct intruder *i);

/* Plaintext in as many Noise frames as it takes; the handshake is done. */
void intruder_send(struct intruder *i, struct span plain);

/* One Yamux frame; payload may be shorter than length says. */
void intruder_frame(struct intruder *i, enum intruder_type type, unsigned flags, uint32_t id, uint32_t length,
                    struct span payload);

/* Opens stream id, agrees on a protocol without waiting, and sends payload behind it. */
void intruder_open(struct intruder *i, uint32_t id, const char *protocol, struct span payload);

/* Frames heard so far of this type with all of these flags; id 0 stands for any, ret_length (may be NULL) is that of the last one. */
unsigned intruder_frames(const struct intruder *i, enum intruder_type type, unsigned flags, uint32_t id,
                         uint32_t *ret_length);

/* What the victim has granted a stream so far, the first window included. */
uint64_t intruder_window(const struct intruder *i, uint32_t id);

/* Lets at most ms pass until the victim has hung up. */
bool intruder_is_shut_out(struct intruder *i, uint64_t ms);

#endif
