/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply: the one thing that writes a live key database, in one transaction: all pages of an image, by SQLite's backup
 * API, or the rows of a changeset. restore.c says when; the SQLite of it is here.
 *
 *     apply_stamp → (look at the database) → apply_prepare → apply_lock → apply_unmoved → apply_write → apply_finish
 *          ^-------------------- apply_unlock if it has moved -----------------'
 */
#ifndef KC_BACKUP_APPLY_H
#define KC_BACKUP_APPLY_H

#include <stdbool.h>

#include "backup/manifest.h"
#include "backup/source.h"

struct apply;

/* All is borrowed as long as the struct lives. `content`: the digest that the database will have. */
struct apply *apply_new(struct source *live, const char *image, const struct manifest_database *m, const char *content);
/* The same for an increment. `own`: the digest that the database has before. KC_ENEEDFULL from apply_write: the changes
 * do not fit, or do not lead to `content`; nothing has changed. */
struct apply *apply_new_increment(
    struct source *live, const char *changeset, const struct manifest *increment, const char *own, const char *content);
void apply_free(struct apply *a); /* with apply_unlock */

/* Remember the state of the database: what is read of it after this is proved by apply_unmoved. */
int apply_stamp(struct apply *a);
/*
 * Makes sure, once, that the image's pages fit: a WAL database takes only pages of its own size. Where sizes (or
 * encodings) differ, the database leaves WAL mode for the restore if nobody else has it open, and so becomes like the
 * master's; else the image is rewritten with the database's page size, in the folder it is in. For another encoding
 * there is no such way: KC_EBUSY. KC_ENOSPC, with both figures, if the commit would not fit.
 *
 * `empty`: the database has no rows. It leaves WAL mode then, too, if nobody else has it open: there is nothing to roll
 * back to, so that each page is written once, where a write-ahead log takes it twice.
 */
int apply_prepare(struct apply *a, bool empty);
/*
 * Where the source has local tables: keeps writers out, proves that the rest of the database still has the content
 * `now`, carries the local rows over into the image, and stamps; a writer that gets in before apply_lock is found by
 * apply_unmoved. *unmoved false: the database has another content. Without local tables: true.
 */
int apply_carry(bool *unmoved, struct apply *a, const char *now, int lock_ms);
/* Takes the write lock, waiting at most lock_ms (0: the source's). KC_EBUSY. */
int apply_lock(struct apply *a, int lock_ms);
/* Under the lock: has nobody committed since apply_stamp? Or, for an increment where the source has local tables, is
 * the rest of it still the content `now`? */
int apply_unmoved(bool *unmoved, struct apply *a, const char *now);
void apply_unlock(struct apply *a);
/* All pages and the commit. On failure nothing has changed, unless the disk failed within the commit itself. */
int apply_write(struct apply *a, int (*progress)(void *arg, unsigned percent), void *arg);
/* After the commit: journal mode, checkpoint if asked, what is known. Never fails; *warning (heap) says what did not
 * work. */
void apply_finish(struct apply *a, bool checkpoint, char **warning);

#endif
