/* SPDX-License-Identifier: MIT */
/*
 * Keys in play: half of what a crowd costs is X25519 and Ed25519, which say nothing of how it finds things. Once switched on, hearth-sim
 * agrees on keys and signs with sums of a kind that anybody could forge; what is sent, when and how long it is stay the same, and so does
 * who has which peer ID. The symbols are libsodium's own, of which the program's come first. For the program alone: no library links it.
 */
#ifndef HEARTH_SIM_CMD_PLAY_KEYS_H
#define HEARTH_SIM_CMD_PLAY_KEYS_H

/* Before the first key is made. */
void play_keys(void);

#endif
