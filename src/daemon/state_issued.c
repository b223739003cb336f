/* SPDX-License-Identifier: Apache-2.0 */
/* state_issued: which certificates of the own authority each clone has. */
#include <time.h>

#include "base/err.h"
#include "state_db.h"

#define ISSUED_MAX 256
#define ENDED_S	   (30 * 86400) /* past the end; clocks may be wrong */

const struct state_field state_issued_fields[] = {
	STATE_TEXT(state_issued, host),
	STATE_PORT(state_issued, port),
	STATE_TEXT(state_issued, serial),
	STATE_INT(state_issued, not_after),
	STATE_END,
};

static int count(int *n, struct state *s, const char *host, uint16_t port)
{
	sqlite3_stmt *st = NULL;
	int rc = state_db_prepare(&st, s, "SELECT count(*) FROM issued WHERE host = ?1 AND port = ?2");

	if (rc < 0)
		return rc;
	sqlite3_bind_text(st, 1, host, -1, SQLITE_STATIC);
	sqlite3_bind_int(st, 2, port);
	rc = sqlite3_step(st) == SQLITE_ROW ? KC_OK : state_db_error(s);
	*n = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return rc;
}

static int forget_ended(struct state *s)
{
	sqlite3_stmt *st = NULL;
	int rc = state_db_prepare(&st, s, "DELETE FROM issued WHERE not_after < ?1");

	if (rc < 0)
		return rc;
	sqlite3_bind_int64(st, 1, (int64_t)time(NULL) - ENDED_S);
	return state_db_finish(s, st);
}

int state_put_issued(struct state *s, const struct state_issued *i)
{
	int n = 0, rc = forget_ended(s);

	if (rc == KC_OK)
		rc = count(&n, s, i->host, i->port);
	if (rc == KC_OK && n >= ISSUED_MAX)
		rc = err_set(KC_ELIMIT, "it has %d certificates that have not ended", n);
	return rc == KC_OK ? state_db_put(s, state_db_table("issued"), i) : rc;
}

int state_forget_issued(struct state *s, const char *serial)
{
	return state_db_delete(s, "DELETE FROM issued WHERE serial = ?1", serial, 0);
}

int state_issued_to(json_t *serials, struct state *s, const char *host, uint16_t port)
{
	sqlite3_stmt *st = NULL;
	int step, rc = state_db_prepare(&st, s,
		      "SELECT serial FROM issued WHERE host = ?1 AND port = ?2 "
		      "UNION SELECT serial FROM clone WHERE host = ?1 AND port = ?2 AND serial <> '' "
		      "EXCEPT SELECT serial FROM clone WHERE host <> ?1 OR port <> ?2");

	if (rc < 0)
		return rc;
	sqlite3_bind_text(st, 1, host, -1, SQLITE_STATIC);
	sqlite3_bind_int(st, 2, port);
	while ((step = sqlite3_step(st)) == SQLITE_ROW)
		json_array_append_new(serials, json_string((const char *)sqlite3_column_text(st, 0)));
	rc = step == SQLITE_DONE ? KC_OK : state_db_error(s);
	sqlite3_finalize(st);
	return rc;
}
