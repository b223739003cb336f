/* SPDX-License-Identifier: Apache-2.0 */
/*
 * digest_sqlite: the digest of a database's rows, and rows as hashes.
 *
 * A row is hashed as
 *
 *     u32 length of the table's name, name, u32 number of columns, then for each column
 *     0 | 1 i64 | 2 the bits of an IEEE double | 3 u32 length, UTF-8 text | 4 u32 length, bytes
 *
 * (big-endian), and the hashes are added modulo 2^256. FORMAT.md describes it, for the manifest carries the sum.
 */
#include <gnutls/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "backup/changelog.h"
#include "backup/source_sqlite.h"
#include "base/err.h"
#include "base/hex.h"
#include "base/mem.h"

#define ROW_BUFFER     65536 /* longer rows are hashed piece by piece */
#define ALIVE_INTERVAL 8192  /* rows */

enum row_type { ROW_NULL, ROW_INTEGER, ROW_REAL, ROW_TEXT, ROW_BLOB };

/* The row being hashed: in the buffer, or, once that was full, in a running hash. */
struct row_state {
	uint8_t *buf;
	size_t n;
	gnutls_hash_hd_t hash;
	bool failed;
};

static inline void put_be32(uint8_t *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, sizeof(v));
}

static inline void put_be64(uint8_t *p, uint64_t v)
{
	v = __builtin_bswap64(v);
	memcpy(p, &v, sizeof(v));
}

static void row_flush(struct row_state *r)
{
	if (r->hash == NULL && gnutls_hash_init(&r->hash, GNUTLS_DIG_SHA256) < 0)
		r->failed = true;
	if (!r->failed && gnutls_hash(r->hash, r->buf, r->n) < 0)
		r->failed = true;
	r->n = 0;
}

static void row_put_long(struct row_state *r, const void *data, size_t n)
{
	row_flush(r);
	if (!r->failed && gnutls_hash(r->hash, data, n) < 0)
		r->failed = true;
}

/* A value of at most 64 bits: tag and value. */
static inline void row_put_word(struct row_state *r, enum row_type type, uint64_t v)
{
	if (r->n + 9 > ROW_BUFFER)
		row_flush(r);
	r->buf[r->n] = (uint8_t)type;
	put_be64(r->buf + r->n + 1, v);
	r->n += 9;
}

static inline void row_put_bytes(struct row_state *r, enum row_type type, const void *data, size_t n)
{
	if (r->n + 5 > ROW_BUFFER)
		row_flush(r);
	r->buf[r->n] = (uint8_t)type;
	put_be32(r->buf + r->n + 1, (uint32_t)n);
	r->n += 5;
	if (n <= ROW_BUFFER - r->n) {
		if (n > 0)
			memcpy(r->buf + r->n, data, n);
		r->n += n;
	} else {
		row_put_long(r, data, n);
	}
}

static void row_put_column(struct row_state *r, sqlite3_stmt *st, int i)
{
	const void *data;
	uint64_t bits;
	double real;

	switch (sqlite3_column_type(st, i)) {
	case SQLITE_INTEGER:
		row_put_word(r, ROW_INTEGER, (uint64_t)sqlite3_column_int64(st, i));
		break;
	case SQLITE_FLOAT:
		real = sqlite3_column_double(st, i);
		memcpy(&bits, &real, sizeof(bits));
		row_put_word(r, ROW_REAL, bits);
		break;
	case SQLITE_TEXT:
		data = sqlite3_column_text(st, i);
		row_put_bytes(r, ROW_TEXT, data, (size_t)sqlite3_column_bytes(st, i));
		break;
	case SQLITE_BLOB:
		data = sqlite3_column_blob(st, i);
		row_put_bytes(r, ROW_BLOB, data, (size_t)sqlite3_column_bytes(st, i));
		break;
	default:
		if (r->n + 1 > ROW_BUFFER)
			row_flush(r);
		r->buf[r->n++] = ROW_NULL;
		break;
	}
}

static void row_finish(struct row_hash *hash, struct row_state *r)
{
	uint8_t out[32] = { 0 };
	int i;

	if (r->hash != NULL) {
		row_flush(r);
		gnutls_hash_deinit(r->hash, out);
	} else if (gnutls_hash_fast(GNUTLS_DIG_SHA256, r->buf, r->n, out) < 0) {
		r->failed = true;
	}
	memcpy(hash->w, out, sizeof(hash->w));
	for (i = 0; i < 4; i++)
		hash->w[i] = __builtin_bswap64(hash->w[i]);
}

int row_scan_open(struct row_scan *scan, sqlite3 *db, const char *path, const char *table, char *select, int skip)
{
	return row_scan_open_where(scan, db, path, table, select, skip, "");
}

int row_scan_open_where(
    struct row_scan *scan, sqlite3 *db, const char *path, const char *table, char *select, int skip, const char *where)
{
	char *sql = sqlite3_mprintf("SELECT %s FROM main.\"%w\" NOT INDEXED %s", select, table, where);

	sqlite3_free(select);
	return row_scan_open_sql(scan, db, path, table, sql, skip);
}

int row_scan_open_sql(struct row_scan *scan, sqlite3 *db, const char *path, const char *table, char *sql, int skip)
{
	size_t name = strlen(table);
	int rc;

	memset(scan, 0, sizeof(*scan));
	scan->db = db;
	scan->path = path;
	scan->skip = skip;
	if (sql == NULL || name > ROW_BUFFER / 2) {
		sqlite3_free(sql);
		return err_set(KC_ELIMIT, "%s: a table's name is too long", path);
	}
	rc = sqlite_prepare(&scan->st, db, path, sql);
	sqlite3_free(sql);
	if (rc < 0)
		return rc;
	scan->prefix = name + 8;
	scan->head = mem_xalloc(scan->prefix);
	put_be32(scan->head, (uint32_t)name);
	memcpy(scan->head + 4, table, name);
	put_be32(scan->head + 4 + name, (uint32_t)(sqlite3_column_count(scan->st) - skip));
	scan->buf = mem_xalloc(ROW_BUFFER);
	memcpy(scan->buf, scan->head, scan->prefix);
	return KC_OK;
}

int row_scan_step(bool *there, struct row_scan *scan)
{
	int step = sqlite3_step(scan->st);

	if (step != SQLITE_ROW && step != SQLITE_DONE)
		return sqlite_fail(scan->db, step, scan->path, "cannot read the database");
	*there = step == SQLITE_ROW;
	return KC_OK;
}

int row_scan_hash(struct row_hash *hash, struct row_scan *scan)
{
	struct row_state r = { .buf = scan->buf, .n = scan->prefix };
	int i, n = sqlite3_column_count(scan->st);

	for (i = scan->skip; i < n; i++)
		row_put_column(&r, scan->st, i);
	row_finish(hash, &r);
	if (r.hash != NULL) /* a long row: the beginning of the buffer was used again */
		memcpy(scan->buf, scan->head, scan->prefix);
	return r.failed ? err_set(KC_EFAIL, "SHA-256 failed") : KC_OK;
}

int row_scan_next(struct row_hash *hash, bool *done, struct row_scan *scan)
{
	bool there = false;
	int rc = row_scan_step(&there, scan);

	*done = !there;
	return rc == KC_OK && there ? row_scan_hash(hash, scan) : rc;
}

void row_scan_close(struct row_scan *scan)
{
	sqlite3_finalize(scan->st);
	if (scan->buf != NULL)
		mem_wipe(scan->buf, ROW_BUFFER);
	free(scan->buf);
	free(scan->head);
	scan->st = NULL;
	scan->buf = scan->head = NULL;
}

void row_hash_add(struct row_hash *sum, const struct row_hash *h)
{
	unsigned carry = 0;
	int i;

	for (i = 3; i >= 0; i--) {
		uint64_t a = sum->w[i] + h->w[i], b = a + carry;

		carry = (a < h->w[i]) + (b < a);
		sum->w[i] = b;
	}
}

void row_hash_sub(struct row_hash *sum, const struct row_hash *h)
{
	unsigned borrow = 0;
	int i;

	for (i = 3; i >= 0; i--) {
		uint64_t a = sum->w[i] - h->w[i], b = a - borrow;

		borrow = (a > sum->w[i]) + (b > a);
		sum->w[i] = b;
	}
}

void row_hash_to_hex(char out[SOURCE_DIGEST_LEN + 1], const struct row_hash *h)
{
	uint8_t bytes[32];

	for (int i = 0; i < 4; i++)
		put_be64(bytes + 8 * i, h->w[i]);
	hex_encode(out, bytes, sizeof(bytes));
}

bool row_hash_from_hex(struct row_hash *h, const char *hex)
{
	static const char digits[] = "0123456789abcdef";
	struct row_hash out = { { 0 } };

	if (strlen(hex) != SOURCE_DIGEST_LEN)
		return false;
	for (int i = 0; i < SOURCE_DIGEST_LEN; i++) {
		const char *digit = strchr(digits, hex[i]);

		if (digit == NULL)
			return false;
		out.w[i / 16] = out.w[i / 16] << 4 | (uint64_t)(digit - digits);
	}
	*h = out;
	return true;
}

bool row_hash_add_to(char out[SOURCE_DIGEST_LEN + 1], const char *own, const struct row_hash *delta)
{
	struct row_hash sum;

	if (!row_hash_from_hex(&sum, own))
		return false;
	row_hash_add(&sum, delta);
	row_hash_to_hex(out, &sum);
	return true;
}

bool source_digest_add(char out[SOURCE_DIGEST_LEN + 1], const char *own, const char *delta)
{
	struct row_hash plus;

	return row_hash_from_hex(&plus, delta) && row_hash_add_to(out, own, &plus);
}

static char *select_list(const struct name_list *columns)
{
	sqlite3_str *s = sqlite3_str_new(NULL);
	size_t i;

	for (i = 0; i < columns->n; i++)
		sqlite3_str_appendf(s, "%s\"%w\"", i > 0 ? "," : "", columns->names[i]);
	return sqlite3_str_finish(s);
}

struct digest_run {
	struct source_digest *d;
	struct row_hash sum;
	sqlite3 *db;
	const char *path;
	const struct name_list *skip;
	int (*alive)(void *arg);
	void *arg;
};

static int digest_table(struct digest_run *run, const char *table)
{
	struct name_list columns = { NULL, 0 };
	struct row_scan scan = { .st = NULL };
	struct row_hash h;
	uint64_t rows = 0;
	bool done = false;
	char *where = strcmp(table, "sqlite_sequence") == 0 ? sequences_filter(run->skip) : NULL;
	int rc = sqlite_columns(&columns, run->db, run->path, table);

	if (rc == KC_OK)
		rc = row_scan_open_where(
		    &scan, run->db, run->path, table, select_list(&columns), 0, where != NULL ? where : "");
	sqlite3_free(where);
	while (rc == KC_OK && (rc = row_scan_next(&h, &done, &scan)) == KC_OK && !done) {
		row_hash_add(&run->sum, &h);
		if (++rows % ALIVE_INTERVAL == 0 && run->alive != NULL)
			rc = run->alive(run->arg);
	}
	row_scan_close(&scan);
	name_list_fini(&columns);
	if (rc == KC_OK && strcmp(table, "sqlite_sequence") != 0) {
		struct source_digest *d = run->d;

		d->tables = mem_xrealloc(d->tables, (d->n_tables + 1) * sizeof(*d->tables));
		d->tables[d->n_tables++] = (struct source_table){ mem_xstrdup(table), rows };
		d->rows += rows;
	}
	return rc;
}

int sqlite_schema_digest(char out[SOURCE_DIGEST_LEN + 1], sqlite3 *db, const char *path)
{
	static const char sql[] = "SELECT type, name, tbl_name, sql FROM main.sqlite_master WHERE name NOT GLOB "
				  "'sqlite_stat*' AND NOT " CHANGELOG_OBJECT " ORDER BY type, name";
	struct row_state r = { .n = 0 };
	sqlite3_stmt *st = NULL;
	int64_t user = 0, application = 0;
	uint8_t sha[32];
	int i, step, rc = sqlite_int(&user, db, path, "PRAGMA main.user_version");

	if (rc == KC_OK)
		rc = sqlite_int(&application, db, path, "PRAGMA main.application_id");
	if (rc == KC_OK)
		rc = sqlite_prepare(&st, db, path, sql);
	if (rc < 0)
		return rc;
	r.buf = mem_xalloc(ROW_BUFFER);
	row_put_word(&r, ROW_INTEGER, (uint64_t)user);
	row_put_word(&r, ROW_INTEGER, (uint64_t)application);
	row_flush(&r);
	while ((step = sqlite3_step(st)) == SQLITE_ROW)
		for (i = 0; i < 4; i++)
			row_put_column(&r, st, i);
	row_flush(&r);
	if (r.hash != NULL)
		gnutls_hash_deinit(r.hash, sha);
	free(r.buf);
	sqlite3_finalize(st);
	if (step != SQLITE_DONE)
		return sqlite_fail(db, step, path, "cannot read the schema");
	if (r.failed)
		return err_set(KC_EFAIL, "SHA-256 failed");
	hex_encode(out, sha, sizeof(sha));
	return KC_OK;
}

static int digest_all(struct digest_run *run, const struct name_list *tables)
{
	int rc = KC_OK;
	size_t i;

	for (i = 0; rc == KC_OK && i < tables->n; i++) {
		if (run->skip != NULL && name_list_has(run->skip, tables->names[i]))
			continue;
		rc = digest_table(run, tables->names[i]);
		if (rc == KC_OK && strcmp(tables->names[i], "sqlite_sequence") == 0)
			rc = sequences_read(run->d, run->db, run->path);
	}
	return rc;
}

int sqlite_digest(struct source_digest *out, sqlite3 *db, const char *path, const struct name_list *skip,
    int (*alive)(void *arg), void *arg)
{
	struct source_digest d = { .rows = 0 };
	struct digest_run run = { .d = &d, .db = db, .path = path, .skip = skip, .alive = alive, .arg = arg };
	bool own = sqlite3_get_autocommit(db) != 0;
	struct name_list tables = { NULL, 0 };
	int rc = own ? sqlite_exec(db, path, "BEGIN") : KC_OK;

	if (rc < 0)
		return rc;
	rc = sqlite_tables(&tables, db, path, true);
	if (rc == KC_OK)
		rc = digest_all(&run, &tables);
	if (rc == KC_OK)
		rc = sqlite_schema_digest(d.schema, db, path);
	if (own)
		sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	name_list_fini(&tables);
	if (rc < 0) {
		source_digest_fini(&d);
		return rc;
	}
	row_hash_to_hex(d.content, &run.sum);
	*out = d;
	return KC_OK;
}

void source_digest_fini(struct source_digest *d)
{
	size_t i;

	for (i = 0; i < d->n_tables; i++)
		free(d->tables[i].name);
	for (i = 0; i < d->n_sequences; i++)
		free(d->sequences[i].table);
	free(d->tables);
	free(d->sequences);
	memset(d, 0, sizeof(*d));
}
