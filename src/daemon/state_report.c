/* SPDX-License-Identifier: Apache-2.0 */
/* state_report: what a clone has yet to tell its master, and on the master by which receipts it may be told. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "state_db.h"

#define REPORTS_MAX  "64"
#define RECEIPTS_MAX "16"

const struct state_field state_report_fields[] = {
	STATE_TEXT(state_report, receipt),
	STATE_TEXT(state_report, lineage),
	STATE_INT(state_report, generation),
	STATE_INT(state_report, status),
	STATE_TEXT(state_report, digest),
	STATE_INT(state_report, rows),
	STATE_TEXT(state_report, error),
	STATE_TEXT(state_report, message),
	STATE_FLAG(state_report, retryable),
	STATE_FLAG(state_report, last),
	STATE_INT(state_report, at),
	STATE_INT(state_report, duration_ms),
	STATE_INT(state_report, until),
	STATE_END,
};

const struct state_field state_receipt_fields[] = {
	STATE_TEXT(state_receipt, receipt),
	STATE_TEXT(state_receipt, host),
	STATE_PORT(state_receipt, port),
	STATE_TEXT(state_receipt, lineage),
	STATE_INT(state_receipt, generation),
	STATE_INT(state_receipt, status),
	STATE_END,
};

const struct state_field state_peer_log_fields[] = {
	STATE_TEXT(state_peer_log, host),
	STATE_PORT(state_peer_log, port),
	STATE_TEXT(state_peer_log, lineage),
	STATE_INT(state_peer_log, seq),
	STATE_TEXT(state_peer_log, hash),
	STATE_INT(state_peer_log, at),
	STATE_END,
};

int state_put_report(struct state *s, const struct state_report *r)
{
	return state_db_put(s, state_db_table("report"), r);
}

int state_next_report(struct state_report *r, struct state *s)
{
	return state_db_get(r, s, state_db_table("report"), " WHERE status != 0 ORDER BY rowid LIMIT 1", NULL, 0);
}

int state_pending_report(struct state_report *r, struct state *s)
{
	return state_db_get(r, s, state_db_table("report"), " WHERE last = 0 ORDER BY rowid DESC LIMIT 1", NULL, 0);
}

int state_get_report(struct state_report *r, struct state *s, const char *receipt)
{
	return state_db_get(r, s, state_db_table("report"), " WHERE receipt = ?1", receipt, 0);
}

int state_forget_report(struct state *s, const char *receipt)
{
	return state_db_delete(s, "DELETE FROM report WHERE receipt = ?1", receipt, 0);
}

int state_supersede_reports(struct state *s)
{
	int rc = state_db_run(s, "DELETE FROM report WHERE status = 0");

	if (rc == KC_OK)
		rc = state_db_run(s, "UPDATE report SET last = 1");
	if (rc == KC_OK)
		rc = state_db_run(s, "DELETE FROM report WHERE rowid NOT IN (SELECT rowid FROM report ORDER BY rowid "
				     "DESC LIMIT " REPORTS_MAX ")");
	return rc;
}

int state_put_receipt(struct state *s, const struct state_receipt *r)
{
	int rc = state_db_put(s, state_db_table("receipt"), r);

	if (rc < 0)
		return rc;
	return state_db_delete(s,
	    "DELETE FROM receipt WHERE host = ?1 AND port = ?2 AND rowid NOT IN "
	    "(SELECT rowid FROM receipt WHERE host = ?1 AND port = ?2 ORDER BY rowid DESC LIMIT " RECEIPTS_MAX ")",
	    r->host, r->port);
}

int state_get_receipt(struct state_receipt *r, struct state *s, const char *receipt)
{
	return state_db_get(r, s, state_db_table("receipt"), " WHERE receipt = ?1", receipt, 0);
}

int state_put_peer_log(struct state *s, const struct state_peer_log *p)
{
	return state_db_put(s, state_db_table("peer_log"), p);
}

int state_get_peer_log(struct state_peer_log *p, struct state *s, const char *host, uint16_t port)
{
	/* The second parameter is bound only where it is not 0. */
	return state_db_get(p, s, state_db_table("peer_log"), " WHERE host = ?1 AND port = ifnull(?2, 0)", host, port);
}
