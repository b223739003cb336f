/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipc: JSON messages over a local stream socket: daemon and worker, daemon and command line.
 *
 * A message is 4 bytes length (big-endian, of what follows), 1 byte type, a JSON object. At most IPC_MAX bytes. The
 * same messages are read and written blocking (worker, command line) and from the loop (daemon).
 *
 *   'Q' request  {"verb": …, …}        'P' progress {"phase": …, "percent": …, …}
 *   'A' ask      (worker to daemon: a question in the middle of a job)   'G' answer to an ask
 *   'R' result   {"rc": "KC_OK", …} or {"rc": "KC_E…", "error": text}: the last message of a request
 */
#ifndef KC_IPC_H
#define KC_IPC_H

#include <jansson.h>

#include "loop.h"

#define IPC_MAX (4u * 1024 * 1024)

enum ipc_type { IPC_REQUEST = 'Q', IPC_PROGRESS = 'P', IPC_ASK = 'A', IPC_ANSWER = 'G', IPC_RESULT = 'R' };

/* Blocking. `body` is borrowed (json_decref it yourself). KC_ENET when the other side is gone. */
int ipc_send(int fd, enum ipc_type type, const json_t *body);
/* Blocking up to timeout_ms (-1: for ever) for the next message. *body is the caller's. KC_ENET: closed by the other
 * side; KC_ETIMEOUT; KC_EPROTO: not a message. */
int ipc_recv(enum ipc_type *type, json_t **body, int fd, int timeout_ms);

/* {"rc": …} of a finished request, with err_text() where it failed. New reference. Add members as you like. */
json_t *ipc_result_new(int rc);
/* The code of a result; sets the error's message from it. */
int ipc_result_code(const json_t *result);

/* From the loop. Owns fd. Writes are queued without limit of their own (messages are few and small). on_close comes
 * once, when the other side is gone or broke the protocol; after it nothing is sent; free it there or later. */
struct ipc_peer;
typedef void (*ipc_msg_fn)(struct ipc_peer *p, enum ipc_type type, json_t *body, void *arg); /* body borrowed */
typedef void (*ipc_close_fn)(struct ipc_peer *p, void *arg);
struct ipc_peer *ipc_peer_new(struct loop *l, int fd, ipc_msg_fn on_msg, ipc_close_fn on_close, void *arg);
void ipc_peer_send(struct ipc_peer *p, enum ipc_type type, const json_t *body);
/* Close once everything queued is sent (a control client's last answer). */
void ipc_peer_finish(struct ipc_peer *p);
int ipc_peer_fd(const struct ipc_peer *p);
/* For peers that are not trusted: a message of more than `in_max` bytes ends it, and so does one to send when it has
 * not taken those before and more than `out_max` would wait. Otherwise the limits are IPC_MAX and 64 MiB. */
void ipc_peer_limit(struct ipc_peer *p, size_t in_max, size_t out_max);
void ipc_peer_free(struct ipc_peer *p); /* NULL is a no-op; allowed inside its callbacks */

/* A connected pair, close-on-exec. */
int ipc_pair(int fds[2]);
/* Listen on, or connect to, a socket in the file system. Paths longer than sun_path are reached by way of their
 * directory. listen replaces a dead socket and gives the file `mode`. */
int ipc_listen(int *fd, const char *path, mode_t mode);
int ipc_connect(int *fd, const char *path); /* KC_EDAEMON if nobody answers */
/* The user at the other end, from the kernel. */
int ipc_peer_user(uid_t *uid, gid_t *gid, pid_t *pid, int fd);

#endif
