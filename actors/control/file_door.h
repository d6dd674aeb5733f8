/* SPDX-License-Identifier: MIT */
/*
 * Where clients hand over the files that they want to be read or written: $HEARTH_PATH/run/files.sock, and what came in by it.
 *
 *      client                              the actor's thread
 *      open(path)
 *      file_pass_send(token, descriptor) -> ctx_watch -> file_door_admit: of an allowed uid, a regular file, open for what?
 *      add file {file: token}            -> file_door_find -> jobs that read (file_source.h)
 *      get file {file: token}            -> file_door_take -> jobs that write (file_sink.h)
 *
 * So the daemon opens no path of a client's: a client can have read or written what it could open so, nothing else, and a path that leads
 * elsewhere in another mount namespace does no harm. The token is a capability: who knows it may name the file.
 *
 * At most 16 files are kept. One that no request asked for goes after a minute, or when a newcomer needs its place, the oldest first; one that
 * an upload asked for is that upload's and goes with it, at the latest; one to be written leaves with the request that asks for it.
 *
 * Private to actors/control. One thread: the actor's. In the simulator there is no door: NULL is one that nothing comes in by.
 */
#ifndef HEARTH_ACTORS_CONTROL_FILE_DOOR_H
#define HEARTH_ACTORS_CONTROL_FILE_DOOR_H

#include "actors/control/listener.h"
#include "storage/local_file.h"

struct file_door;

enum { FILE_DOOR_FILES = 16, FILE_DOOR_LEASE_S = 60, FILE_DOOR_PER_WAKE = 64 };

/*
 * Opens files.sock in the folder of the control socket, for the users whom listener lets in, which is borrowed. On an error why has a
 * sentence.
 */
enum err file_door_open(const struct listener_options *options, const struct listener *listener,
                        struct file_door **ret_door, char why[LISTENER_WHY_BYTES]) MUST_CHECK;

/* Closes the files and the socket, and removes it. NULL is ignored. */
void file_door_close(struct file_door *door);

/* Becomes readable when there is something to admit. */
int file_door_fd(const struct file_door *door);

/* Takes in what has come, a bounded number of datagrams; the rest keeps the descriptor readable. */
void file_door_admit(struct file_door *door, uint64_t now);

/*
 * The file with the token, which is the upload's from now on; borrowed until the next call. NULL: it never came, is not open for reading
 * and goes, has gone, or belongs to another upload.
 */
const struct local_file *file_door_find(struct file_door *door, uint64_t token, uint64_t upload, uint64_t now);

/* Hands the file with the token to the caller, to be written. False: it never came, is not open for that and goes, has gone, or is an upload's. */
bool file_door_take(struct file_door *door, uint64_t token, uint64_t now, struct local_file *ret_file) MUST_CHECK;

/* Nothing is left to read of the file. */
void file_door_drop(struct file_door *door, uint64_t token);

/* The upload has ended. */
void file_door_end_upload(struct file_door *door, uint64_t upload);

/* Closes what nobody asked for in time. Returns how many datagrams were refused since the last call. */
uint64_t file_door_expire(struct file_door *door, uint64_t now);

#endif
