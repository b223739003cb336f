/* SPDX-License-Identifier: Apache-2.0 */
/*
 * waiting: the new keys that are held until a backup has them (backup.ReleaseKeysOnSuccessfulBackup).
 *
 * They are listed by uuid in an SQLite file of their own, not in the key database: what is listed here is not
 * replicated, does not count in the content digest, does not move the database's change counter, and needs no column
 * that an older database lacks. A clone's keys are in a backup by being there, so a clone has no such list.
 *
 * A key is listed before it is committed (keydb_commit), so that a power failure leaves a uuid without a key at worst,
 * never a key that is not held. A backup marks those that its snapshot has with its generation; when that is stored
 * they are released: those of that generation and of earlier ones, never newer ones.
 *
 * Errors as in keydb.h.
 */
#ifndef KC_KEYDB_WAITING_H
#define KC_KEYDB_WAITING_H

#include <stdbool.h>
#include <stdint.h>

struct waiting;

/* Heap: "<folder>/waiting.sqlite", `folder` being what is ours beside the key database. */
char *waiting_path(const char *folder);
/* KC_ENOENT where it is not there; `create`: it is made, with its folder. */
int waiting_open(struct waiting **out, const char *path, bool create);
void waiting_close(struct waiting *w); /* what was not committed is not listed; NULL is a no-op */

/* The first begins a transaction. */
int waiting_add(struct waiting *w, const char *uuid);
int waiting_commit(struct waiting *w); /* durable; without an add a no-op */
void waiting_abort(struct waiting *w);
int waiting_has(bool *has, struct waiting *w, const char *uuid);

/* The database file `snapshot`, which nobody writes, is in a backup of this generation: mark those that it has and that
 * no backup of the lineage had before. */
int waiting_mark(struct waiting *w, const char *snapshot, const char *lineage, uint64_t generation);
/* That generation is stored somewhere: those that it has are held no more. */
int waiting_release(uint64_t *released, struct waiting *w, const char *lineage, uint64_t generation);
/* All that the snapshot has are held no more. */
int waiting_release_snapshot(uint64_t *released, struct waiting *w, const char *snapshot);
/* Nothing is held: the database is what a master replicated. */
int waiting_clear(struct waiting *w);

#endif
