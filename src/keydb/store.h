/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the SQLite side of keydb: connection, transactions, schema, errors. For the files of this folder only.
 */
#ifndef KC_KEYDB_STORE_H
#define KC_KEYDB_STORE_H

#include <sqlite3.h>
#include <stdbool.h>

#include "keydb/keydb.h"
#include "keydb/master.h"
#include "keydb/wrap.h"

struct keydb {
	sqlite3 *sql;
	char *path;
	char *master_file; /* NULL: material cannot be used */
	struct master *master;
	struct wrap *wrap;	 /* the last one used */
	struct waiting *waiting; /* borrowed; NULL: no key is held */
	bool hold;		 /* new keys are listed there */
	bool in_txn;
	bool wiped; /* this transaction destroyed material: leave none of it in the write-ahead log */
};

/* Turn SQLite's last result into ours, with the path and SQLite's words. */
int store_error(struct keydb *db, int sqlite_code);

/* A statement; finalize it. The text is constant; values are bound. */
int store_prepare(sqlite3_stmt **st, struct keydb *db, const char *text);
/* NULL binds NULL, and so does "". */
void store_bind_name(sqlite3_stmt *st, int index, const char *text);

/* A read transaction around several statements, unless one is open already; *mine says so to the end. */
int store_read_begin(bool *mine, struct keydb *db);
void store_read_end(struct keydb *db, bool mine);

/* db->wrap for this master key (0: the newest), reading the master key file where needed. */
int store_wrap(struct keydb *db, uint32_t number);

#endif
