/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup_fixture: a master's and a clone's database in a fresh directory, and what is needed between them.
 *
 * Failures end the test (cmocka's asserts), with the error text shown.
 */
#ifndef KC_TEST_BACKUP_FIXTURE_H
#define KC_TEST_BACKUP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <stdbool.h>

#include "backup/create.h"
#include "backup/restore.h"
#include "backup/source.h"
#include "base/err.h"

#define FIX_LINEAGE  "0123456789abcdef0123456789abcdef"
#define FIX_PASSWORD "correct horse battery"

struct fixture {
	char dir[64];
	char *master, *clone, *backups; /* paths */
	struct sign_key *key;
	struct sign_pin pin;
	struct sign_pins pins;
	struct age_identity *identity;
	struct age_recipient recipient;
};
void fix_init(struct fixture *f);
void fix_fini(struct fixture *f);

/* Asserts KC_OK and shows the text otherwise. */
#define ok(call)                                                                         \
	do {                                                                             \
		int ok_rc = (call);                                                      \
		if (ok_rc != KC_OK)                                                      \
			fail_msg("%s: %s: %s", #call, err_name(ok_rc), err_text(ok_rc)); \
	} while (0)
/* Asserts this failure. */
#define fails(code, call)                                                                \
	do {                                                                             \
		int ok_rc = (call);                                                      \
		if (ok_rc != (code))                                                     \
			fail_msg("%s: %s: %s", #call, err_name(ok_rc), err_text(ok_rc)); \
	} while (0)

/* Runs SQL in the file (made if need be) with a connection of its own. */
void fix_sql(const char *path, const char *sql);
/* The first column of the first row of a query, as text (static memory). */
const char *fix_query(const char *path, const char *sql);

struct fix_kind {
	const char *journal;
	int page_size;
	const char *encoding;
	int auto_vacuum;
};
/* A database with all sorts of tables, `rows` rows in most of them, all with the same number `mark`. */
void fix_make_database(const char *path, const struct fix_kind *kind, int rows, int mark);
/* The file and all that SQLite puts beside it. */
void fix_remove_database(const char *path);
/* All rows are of one mark: which? -1 for a mixture. */
int fix_mark(sqlite3 *db);

/* To make a full of `s`. */
void fix_create_options(struct fixture *f, struct create_options *o, struct source *s, uint64_t generation);
/* A full of `path`; the caller ends it with create_result_fini. */
void fix_backup(struct fixture *f, struct create_result *r, const char *path, uint64_t generation);
/* Options to restore it into `live` with the clone's identity (travel header made here, heap in *travel). */
void fix_restore_options(struct fixture *f, struct restore_options *o, char **travel, const struct create_result *r,
    struct source *live, const char *applied);
/* Restores and asserts success. */
void fix_restore(struct fixture *f, const struct create_result *r, struct source *live, const char *applied);
struct source *fix_open(const char *path, bool create);
/* Content digest of a database file, by a source of its own. */
void fix_digest(char out[SOURCE_DIGEST_LEN + 1], const char *path);

#endif
