/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base: the snapshot of the newest generation, kept as "<folder of the
 * database>/.keyclone/base/<lineage>-<generation>.sqlite" (0600): what the next snapshot is compared with. It is in
 * clear, as the database beside it is.
 *
 * It costs no copy (the snapshot that the backup was made of is renamed) and as much disk as the database. It is not
 * synced: whoever reads it in another life than it was made in compares its digest first, and one that is gone or
 * damaged, or has a journal beside it (who changed it was killed), is made again with the next backup.
 */
#ifndef KC_BACKUP_BASE_H
#define KC_BACKUP_BASE_H

#include <stdint.h>

#include "backup/snapshot.h"

/* Heap. */
char *base_path(const char *keydb_path, const char *lineage, uint64_t generation);
/* The snapshot becomes the base at `path`; its staging folder stays to be removed. */
int base_keep(const struct snapshot *snap, const char *path);
/* What is in it, counted. KC_EDAMAGED: not the content `content`. KC_ENOENT. */
int base_read(struct source_digest *d, const char *path, const char *content, int (*alive)(void *arg), void *arg);
/* The base at `from`, with a changeset (read from its beginning) applied, becomes the base at `path`, whose content is
 * `digest`. If this fails the base is none any more. */
int base_advance(const char *from, const char *path, int fd, uint64_t size, const struct source_digest *digest);
/* All others than `keep` (NULL: all) go. A failure is logged. */
void base_prune(const char *keydb_path, const char *keep);

#endif
