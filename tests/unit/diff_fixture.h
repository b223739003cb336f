/* SPDX-License-Identifier: Apache-2.0 */
/* diff_fixture: a live database, the snapshot that was the last one, and a new one; and what has to hold between them.
 */
#ifndef KC_TEST_DIFF_FIXTURE_H
#define KC_TEST_DIFF_FIXTURE_H

#include "backup_fixture.h"

#include "backup/changeset_sqlite.h"
#include "backup/diff.h"

struct pair {
	char dir[64];
	char *live, *base, *now, *changes, *copy; /* paths */
	int fd;					  /* of changes */
	struct source_digest digest;		  /* of the base */
	bool quick;				  /* not on one that lies otherwise in its pages */
};
/* A live database of this SQL, and its snapshot as the base. */
void pair_begin(struct pair *p, const char *sql);
/* The same without a live database: the test makes it. */
void pair_init(struct pair *p);
void pair_end(struct pair *p);
/* A snapshot of the live database, as a backup makes it: the base, or the new one. */
void pair_take_base(struct pair *p);
void pair_take_now(struct pair *p);
void pair_change(struct pair *p, const char *sql); /* the live database, and a new snapshot */

/*
 * Compares; `max_rows`, `max_bytes` as in diff_options. The base has to stay what it is to the byte. If there are
 * changes, applied to a copy of the base and to one that lies otherwise in its pages they have to give the snapshot,
 * and the digest what a recount of it gives.
 */
void pair_diff(struct diff_result *r, struct pair *p, uint64_t max_rows, uint64_t max_bytes);
/* Asserts the outcome; of DIFF_FULL, that the reason has these words. */
void pair_expect(struct pair *p, enum diff_outcome outcome, const char *why);

/* Digest of a file, read as an image. */
void image_digest(struct source_digest *d, const char *path);
void assert_same_digest(const struct source_digest *a, const struct source_digest *b);
void copy_file(const char *from, const char *to);
/* The same rows in other pages. */
void copy_rows(const char *from, const char *to);
/* Applies a changeset to a file and commits; a failure is rolled back. */
int apply_to(struct row_hash *delta, uint64_t *skipped, const char *path, const struct changeset *c,
    const struct name_list *skip);

#endif
