/* SPDX-License-Identifier: Apache-2.0 */
/*
 * starter: a small process, started before the daemon confines itself, that can still start workers and hooks.
 *
 * A confined process hands its confinement on to its children, so the daemon cannot start a worker that may open the
 * key database. The starter waits on a socket pair; for each request it makes another pair and starts `keycloned
 * --worker` as a child of the daemon (CLONE_PARENT), so that the daemon sees its exit status and may end it, and passes
 * back the daemon's end. A hook's helper (`keycloned --hook`) is started the same way; what it runs it reads from the
 * configuration file itself, so that a daemon that was taken over cannot choose it. It holds no secret and ends when
 * the daemon's end of its socket closes.
 */
#ifndef KC_STARTER_H
#define KC_STARTER_H

#include <sys/types.h>

struct starter;

/* Forks and executes the starter for workers of this configuration file. Before confinement. */
int starter_new(struct starter **s, const char *conf_path);
/* Ends it: it sees its socket close. NULL is a no-op. */
void starter_free(struct starter *s);
/* A new worker, or the helper of a hook (hook.h): our end of its socket and its pid, which is our child. KC_EWORKER if
 * the starter is gone. */
enum starter_kind { STARTER_WORKER = 'w', STARTER_HOOK = 'h' };
int starter_spawn(int *fd, pid_t *pid, struct starter *s, enum starter_kind kind);

/* main of `keycloned --starter`: serves on descriptor 3 until it closes. */
int starter_main(const char *conf_path);

#endif
