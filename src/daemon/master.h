/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master: the role that looks for changes, makes backups and sees every clone through to its proven restore.
 *
 *     check ──changed──> reserve generation ──> backup (worker) ──grows──> pushes (one session a clone)
 *       └─unchanged: say so                        └─ whole: state, wrap for each clone, end ──> results
 *
 * One backup at a time; pushes of it go on beside the next check. A clone that was away is sent the newest backup when
 * it answers. Everything durable is in d->state before anybody is told of it.
 */
#ifndef KC_MASTER_H
#define KC_MASTER_H

#include <jansson.h>
#include <stdbool.h>

struct control_client;
struct daemon;
struct master;

int master_new(struct master **m, struct daemon *d);
/* At the end of each turn, before anything that was queued in it leaves: what clones were offered is on disk, with what
 * proves that they were. */
void master_end_turn(struct master *m);
void master_free(struct master *m);

/* Listening and timers; after confinement. */
int master_start(struct master *m);
/* The daemon ends: no new attempts, sessions end in good order. Quiet when none is left. */
void master_stop(struct master *m);
bool master_is_quiet(const struct master *m);
void master_set_task(struct master *m, bool up);
/* request: {"clones": ["host:port"…]?, "full": bool?, "restore_now": bool?, "allow_deletes": bool?, "wait": bool?} */
void master_replicate_now(struct master *m, struct control_client *c, const json_t *request);
/* Hold a clone, or resume it. request: {"clone": "host:port"} */
void master_hold(struct master *m, struct control_client *c, const json_t *request, bool held);
/* "checks every 60 min, and …"; `out` has MASTER_SCHEDULE_TEXT bytes (master_schedule.h). Returns it. */
const char *master_schedule_in_force(const struct master *m, char *out);
/* The rows that made a clone diverge may go: its next offer says so. request: {"clone": "host:port"} */
void master_discard(struct master *m, struct control_client *c, const json_t *request);
/* An operator restores: no look begins until master_release; one under way has ended when it is still. `changed`: the
 * key database may be another one now, and d->self of a child lineage, which gets a full. */
void master_keep_still(struct master *m);
bool master_is_still(const struct master *m);
/* A look at the key database, or a backup of it, is under way. */
bool master_is_looking(const struct master *m);
void master_release(struct master *m, bool changed);
/* d->conf has been replaced, or d->creds. */
void master_reloaded(struct master *m);
/* Another machine that shows this certificate, or may: it was never heard; NULL: none. Until the next call. */
const char *master_shares_certificate(const struct master *m, const char *spki_sha256, int64_t not_after);
/* The backup password is another: a full under it, now, unless the task is down or has its hour. */
void master_password_changed(struct master *m);
/* Sets "generation", "run", "clones", … of a status object. Returns when the next look is due, 0 if none. */
int64_t master_status(const struct master *m, json_t *status);

/* The end of each clone's certificate, as last seen; 0: never. */
void master_each_certificate(
    const struct master *m, void (*each)(const char *name, int64_t not_after, void *arg), void *arg);

/* Clones for contacts_start(): all, or the one of a name ("": all; KC_ENOENT). */
struct contacts;
int master_add_contacts(const struct master *m, struct contacts *c, const char *name);

#endif
