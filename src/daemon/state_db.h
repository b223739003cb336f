/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state_db: the machinery of the state database: records are plain structs, and a table of fields for each says which
 * member is which column, so that making, reading and writing are one function each. A field that an older database
 * lacks is added when it is opened, as 0 or "". Only the files of state include this.
 */
#ifndef KC_STATE_DB_H
#define KC_STATE_DB_H

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#include "state.h"

struct state {
	sqlite3 *db;
	char *path;
};

enum state_field_type { STATE_FIELD_TEXT, STATE_FIELD_INT, STATE_FIELD_PORT, STATE_FIELD_BOOL, STATE_FIELD_HEAP };

struct state_field {
	const char *column;
	enum state_field_type type;
	size_t offset;
	size_t size;
};

#define STATE_TEXT(s, m)                                                                \
	{                                                                               \
#m, STATE_FIELD_TEXT, offsetof(struct s, m), sizeof(((struct s *)0)->m) \
	}
#define STATE_INT(s, m)                                                     \
	{                                                                   \
#m, STATE_FIELD_INT, offsetof(struct s, m), sizeof(int64_t) \
	}
#define STATE_PORT(s, m)                                                      \
	{                                                                     \
#m, STATE_FIELD_PORT, offsetof(struct s, m), sizeof(uint16_t) \
	}
#define STATE_FLAG(s, m)                                                  \
	{                                                                 \
#m, STATE_FIELD_BOOL, offsetof(struct s, m), sizeof(bool) \
	}
#define STATE_HEAP(s, m)                                                    \
	{                                                                   \
#m, STATE_FIELD_HEAP, offsetof(struct s, m), sizeof(char *) \
	}
#define STATE_END                           \
	{                                   \
		NULL, STATE_FIELD_INT, 0, 0 \
	}

/* One for each kind of record. `key` makes its primary key; "one": there is a single row. */
struct state_table {
	const char *name;
	const char *key;
	const struct state_field *fields;
};

extern const struct state_field state_report_fields[], state_receipt_fields[],
    state_peer_log_fields[];						    /* state_report.c */
extern const struct state_field state_stored_fields[], state_made_fields[]; /* state_backup.c */
extern const struct state_field state_issued_fields[];			    /* state_issued.c */

/* Every table of the database, in state.c. Ends with a row without a name. */
extern const struct state_table state_tables[];
const struct state_table *state_db_table(const char *name); /* one of them */

/* KC_ENOSPC, KC_EBUSY, KC_EDAMAGED or KC_ESYS, with SQLite's text. */
int state_db_error(struct state *s);
int state_db_run(struct state *s, const char *sql);
int state_db_prepare(sqlite3_stmt **st, struct state *s, const char *sql);
/* Step a statement that gives no rows, and finalize it. */
int state_db_finish(struct state *s, sqlite3_stmt *st);
int state_db_put(struct state *s, const struct state_table *t, const void *record);
/* The first row of `tail` (" WHERE …"), whose two parameters are bound where given (text not NULL, number not 0).
 * KC_ENOENT without one. */
int state_db_get(
    void *record, struct state *s, const struct state_table *t, const char *tail, const char *text, int number);
/* The same for every row of `tail`: `each` gets a record of `size` bytes, zeroed before; what it returns below KC_OK
 * ends it. */
int state_db_each(struct state *s, const struct state_table *t, const char *tail, const char *text, size_t size,
    int (*each)(void *record, void *arg), void *arg);
int state_db_delete(struct state *s, const char *sql, const char *text, int number);

#endif
