/* SPDX-License-Identifier: Apache-2.0 */
/* state: the records of the state database. Every setter is one transaction, durable when it returns. */
#include "state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "state_db.h"

static const struct state_field self_fields[] = {
	STATE_TEXT(state_self, audit_log),
	STATE_INT(state_self, audit_seq),
	STATE_TEXT(state_self, audit_hash),
	STATE_TEXT(state_self, lineage),
	STATE_TEXT(state_self, ancestors),
	STATE_TEXT(state_self, role),
	STATE_INT(state_self, generation),
	STATE_INT(state_self, reserved),
	STATE_INT(state_self, replicated),
	STATE_INT(state_self, complete),
	STATE_TEXT(state_self, digest),
	STATE_TEXT(state_self, schema),
	STATE_TEXT(state_self, file_id),
	STATE_TEXT(state_self, backup),
	STATE_TEXT(state_self, sha256),
	STATE_INT(state_self, header_size),
	STATE_INT(state_self, database_size),
	STATE_INT(state_self, rows),
	STATE_INT(state_self, last_completed),
	STATE_INT(state_self, applied_at),
	STATE_INT(state_self, last_check),
	STATE_TEXT(state_self, last_check_result),
	STATE_INT(state_self, daily_done),
	STATE_INT(state_self, unreplicated_since),
	STATE_FLAG(state_self, stopped),
	STATE_FLAG(state_self, diverged),
	STATE_FLAG(state_self, discard),
	STATE_FLAG(state_self, by_hand),
	STATE_TEXT(state_self, own_digest),
	STATE_TEXT(state_self, own_tables),
	STATE_TEXT(state_self, diverged_detail),
	STATE_TEXT(state_self, successor),
	STATE_TEXT(state_self, successor_of),
	STATE_INT(state_self, successor_port),
	STATE_INT(state_self, master_clock_offset),
	STATE_INT(state_self, master_contact),
	STATE_TEXT(state_self, master_host),
	STATE_FLAG(state_self, master_stopped),
	STATE_FLAG(state_self, want_full),
	STATE_INT(state_self, chain),
	STATE_INT(state_self, chain_since),
	STATE_INT(state_self, chain_full),
	STATE_INT(state_self, chain_bytes),
	STATE_INT(state_self, chain_count),
	STATE_INT(state_self, held_over),
	STATE_TEXT(state_self, held_table),
	STATE_INT(state_self, held_deleted),
	STATE_INT(state_self, held_rows),
	STATE_INT(state_self, held_since),
	STATE_INT(state_self, master_not_after),
	STATE_INT(state_self, master_interval),
	STATE_INT(state_self, after_restore),
	STATE_TEXT(state_self, files),
	STATE_FLAG(state_self, take_over),
	STATE_END,
};

static const struct state_field intent_fields[] = {
	STATE_TEXT(state_intent, lineage),
	STATE_INT(state_intent, generation),
	STATE_TEXT(state_intent, old_digest),
	STATE_TEXT(state_intent, digest),
	STATE_TEXT(state_intent, schema),
	STATE_TEXT(state_intent, backup),
	STATE_TEXT(state_intent, ancestors),
	STATE_FLAG(state_intent, by_hand),
	STATE_TEXT(state_intent, files),
	STATE_TEXT(state_intent, own_digest),
	STATE_INT(state_intent, chain),
	STATE_END,
};

static const struct state_field clone_fields[] = {
	STATE_TEXT(state_clone, host),
	STATE_PORT(state_clone, port),
	STATE_TEXT(state_clone, lineage),
	STATE_INT(state_clone, offered),
	STATE_INT(state_clone, stored),
	STATE_INT(state_clone, applied),
	STATE_INT(state_clone, applied_at),
	STATE_INT(state_clone, last_success),
	STATE_INT(state_clone, last_attempt),
	STATE_INT(state_clone, behind_since),
	STATE_INT(state_clone, postponed_until),
	STATE_INT(state_clone, not_after),
	STATE_INT(state_clone, clock_offset),
	STATE_FLAG(state_clone, failing),
	STATE_INT(state_clone, how),
	STATE_INT(state_clone, last_code),
	STATE_TEXT(state_clone, last_error),
	STATE_TEXT(state_clone, recipient),
	STATE_TEXT(state_clone, digest),
	STATE_FLAG(state_clone, held),
	STATE_FLAG(state_clone, stopped),
	STATE_FLAG(state_clone, discard),
	STATE_TEXT(state_clone, certificate),
	STATE_TEXT(state_clone, serial),
	STATE_TEXT(state_clone, cn),
	STATE_END,
};

static const struct state_field alert_fields[] = {
	STATE_TEXT(state_alert, kind),
	STATE_TEXT(state_alert, subject),
	STATE_TEXT(state_alert, text),
	STATE_INT(state_alert, since),
	STATE_FLAG(state_alert, told),
	STATE_END,
};

static const struct state_field siblings_fields[] = {
	STATE_TEXT(state_siblings, clones),
	STATE_INT(state_siblings, at),
	STATE_TEXT(state_siblings, lineage),
	STATE_TEXT(state_siblings, host),
	STATE_TEXT(state_siblings, address),
	STATE_INT(state_siblings, port),
	STATE_END,
};

static const struct state_field system_fields[] = {
	STATE_INT(state_system, generation),
	STATE_TEXT(state_system, digest),
	STATE_TEXT(state_system, backup),
	STATE_TEXT(state_system, file_id),
	STATE_TEXT(state_system, sha256),
	STATE_INT(state_system, header_size),
	STATE_END,
};

static const struct state_field password_fields[] = {
	STATE_TEXT(state_password, id),
	STATE_INT(state_password, since),
	STATE_END,
};

/* Since when the password of a backup was in force. */
struct sealed {
	char backup[256];
	int64_t since;
};

static const struct state_field sealed_fields[] = {
	STATE_TEXT(sealed, backup),
	STATE_INT(sealed, since),
	STATE_END,
};

static const struct state_field expiry_fields[] = {
	STATE_TEXT(state_expiry, subject),
	STATE_INT(state_expiry, not_after),
	STATE_INT(state_expiry, days),
	STATE_END,
};

enum {
	SELF_TABLE,
	INTENT_TABLE,
	STORED_TABLE,
	CLONE_TABLE,
	MADE_TABLE,
	ALERT_TABLE,
	SIBLINGS_TABLE,
	SYSTEM_TABLE,
	PASSWORD_TABLE,
	SEALED_TABLE,
	EXPIRY_TABLE,
};

const struct state_table state_tables[] = {
	[SELF_TABLE] = { "self", "one", self_fields },
	[INTENT_TABLE] = { "intent", "one", intent_fields },
	[STORED_TABLE] = { "stored", "backup", state_stored_fields },
	[CLONE_TABLE] = { "clone", "host, port", clone_fields },
	[MADE_TABLE] = { "made", "lineage, generation", state_made_fields },
	[ALERT_TABLE] = { "alert", "kind, subject", alert_fields },
	[SIBLINGS_TABLE] = { "siblings", "one", siblings_fields },
	[SYSTEM_TABLE] = { "system", "one", system_fields },
	[PASSWORD_TABLE] = { "password", "one", password_fields },
	[SEALED_TABLE] = { "sealed", "backup", sealed_fields },
	[EXPIRY_TABLE] = { "expiry", "subject", expiry_fields },
	{ "report", "receipt", state_report_fields },
	{ "receipt", "receipt", state_receipt_fields },
	{ "peer_log", "host, port", state_peer_log_fields },
	{ "issued", "host, port, serial", state_issued_fields },
	{ NULL, NULL, NULL },
};

#define SELF	 (&state_tables[SELF_TABLE])
#define INTENT	 (&state_tables[INTENT_TABLE])
#define CLONE	 (&state_tables[CLONE_TABLE])
#define ALERT	 (&state_tables[ALERT_TABLE])
#define SIBLINGS (&state_tables[SIBLINGS_TABLE])
#define SYSTEM	 (&state_tables[SYSTEM_TABLE])
#define PASSWORD (&state_tables[PASSWORD_TABLE])
#define SEALED	 (&state_tables[SEALED_TABLE])
#define EXPIRY	 (&state_tables[EXPIRY_TABLE])

int state_get_self(struct state_self *self, struct state *s)
{
	struct state_self got = { 0 };
	int rc = state_db_get(&got, s, SELF, "", NULL, 0);

	if (rc < 0 && rc != KC_ENOENT)
		return rc;
	*self = got;
	return KC_OK;
}

int state_put_self(struct state *s, const struct state_self *self)
{
	return state_db_put(s, SELF, self);
}

int state_put_siblings(struct state *s, const struct state_siblings *f)
{
	return state_db_put(s, SIBLINGS, f);
}

int state_get_siblings(struct state_siblings *f, struct state *s)
{
	return state_db_get(f, s, SIBLINGS, "", NULL, 0);
}

int state_put_system(struct state *s, const struct state_system *sys)
{
	return state_db_put(s, SYSTEM, sys);
}

int state_get_system(struct state_system *sys, struct state *s)
{
	return state_db_get(sys, s, SYSTEM, "", NULL, 0);
}

int state_put_password(struct state *s, const struct state_password *p)
{
	return state_db_put(s, PASSWORD, p);
}

int state_get_password(struct state_password *p, struct state *s)
{
	return state_db_get(p, s, PASSWORD, "", NULL, 0);
}

int state_put_sealed(struct state *s, const char *backup, int64_t since)
{
	struct sealed x = { .since = since };

	if (since == 0)
		return KC_OK;
	STR_COPY(x.backup, backup);
	return state_db_put(s, SEALED, &x);
}

int64_t state_get_sealed(struct state *s, const char *backup)
{
	struct sealed x;

	return state_db_get(&x, s, SEALED, " WHERE backup = ?1", backup, 0) == KC_OK ? x.since : 0;
}

int state_put_intent(struct state *s, const struct state_intent *i)
{
	return state_db_put(s, INTENT, i);
}

int state_get_intent(struct state_intent *i, struct state *s)
{
	return state_db_get(i, s, INTENT, "", NULL, 0);
}

int state_clear_intent(struct state *s)
{
	return state_db_run(s, "DELETE FROM intent");
}

int state_put_applied(struct state *s, const struct state_self *self)
{
	int rc = state_db_run(s, "BEGIN IMMEDIATE");

	if (rc < 0)
		return rc;
	rc = state_db_put(s, SELF, self);
	if (rc == KC_OK)
		rc = state_db_run(s, "DELETE FROM intent");
	if (rc == KC_OK)
		rc = state_db_run(s, "COMMIT");
	if (rc < 0)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

int state_put_clone(struct state *s, const struct state_clone *c)
{
	return state_db_put(s, CLONE, c);
}

int state_get_clone(struct state_clone *c, struct state *s, const char *host, uint16_t port)
{
	return state_db_get(c, s, CLONE, " WHERE host = ?1 AND port = ?2", host, port);
}

int state_forget_clone(struct state *s, const char *host, uint16_t port)
{
	int rc = state_db_delete(s, "DELETE FROM clone WHERE host = ?1 AND port = ?2", host, port);

	if (rc == KC_OK)
		rc = state_db_delete(s, "DELETE FROM receipt WHERE host = ?1 AND port = ?2", host, port);
	if (rc == KC_OK)
		rc = state_db_delete(s, "DELETE FROM issued WHERE host = ?1 AND port = ?2", host, port);
	return rc < 0 ? rc : state_db_delete(s, "DELETE FROM peer_log WHERE host = ?1 AND port = ?2", host, port);
}

int state_put_alert(struct state *s, const struct state_alert *a)
{
	return state_db_put(s, ALERT, a);
}

int state_forget_alert(struct state *s, const char *kind, const char *subject)
{
	sqlite3_stmt *st = NULL;
	int rc = state_db_prepare(&st, s, "DELETE FROM alert WHERE kind = ?1 AND subject = ?2");

	if (rc < 0)
		return rc;
	sqlite3_bind_text(st, 1, kind, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 2, subject, -1, SQLITE_STATIC);
	return state_db_finish(s, st);
}

int state_each_alert(struct state *s, int (*each)(void *alert, void *arg), void *arg)
{
	return state_db_each(s, ALERT, " ORDER BY since, rowid", NULL, sizeof(struct state_alert), each, arg);
}

int state_put_expiry(struct state *s, const struct state_expiry *e)
{
	return state_db_put(s, EXPIRY, e);
}

int state_get_expiry(struct state_expiry *e, struct state *s, const char *subject)
{
	return state_db_get(e, s, EXPIRY, " WHERE subject = ?1", subject, 0);
}

int state_forget_expiry(struct state *s, const char *subject)
{
	return state_db_delete(s, "DELETE FROM expiry WHERE subject = ?1", subject, 0);
}

int state_begin(struct state *s)
{
	return state_db_run(s, "BEGIN IMMEDIATE");
}

bool state_in_transaction(const struct state *s)
{
	return sqlite3_get_autocommit(s->db) == 0;
}

int state_commit(struct state *s)
{
	int rc = state_db_run(s, "COMMIT");

	if (rc < 0)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

void state_abort(struct state *s)
{
	sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

int state_put_audit_head(struct state *s, uint64_t seq, const char *hash)
{
	sqlite3_stmt *st = NULL;
	int rc = state_db_prepare(&st, s, "INSERT OR REPLACE INTO audit_head VALUES(1, ?1, ?2)");

	if (rc < 0)
		return rc;
	sqlite3_bind_int64(st, 1, (int64_t)seq);
	sqlite3_bind_text(st, 2, hash, -1, SQLITE_STATIC);
	return state_db_finish(s, st);
}

int state_get_audit_head(uint64_t *seq, char hash[65], struct state *s)
{
	sqlite3_stmt *st = NULL;
	int rc = state_db_prepare(&st, s, "SELECT seq, hash FROM audit_head"), step;

	if (rc < 0)
		return rc;
	step = sqlite3_step(st);
	if (step == SQLITE_ROW) {
		*seq = (uint64_t)sqlite3_column_int64(st, 0);
		snprintf(hash, 65, "%s", (const char *)sqlite3_column_text(st, 1));
	}
	rc = step == SQLITE_ROW ? KC_OK : step == SQLITE_DONE ? KC_ENOENT : state_db_error(s);
	sqlite3_finalize(st);
	return rc;
}
