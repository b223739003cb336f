/* SPDX-License-Identifier: Apache-2.0 */
/* attempts: one pass over the audit log, with the list of what began and did not end. */
#include "attempts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/audit.h"
#include "base/audit_read.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/msg.h"

#define OPEN_MAX_ATTEMPTS 256

/* What begins, and what ends it. */
static const struct pair {
	enum audit_event begin, end;
} pairs[] = {
	{ AUDIT_REPLICATION_START, AUDIT_REPLICATION_END },
	{ AUDIT_BACKUP_CREATE, AUDIT_BACKUP_CREATE },
	{ AUDIT_BACKUP_RESTORE, AUDIT_BACKUP_RESTORE },
	{ AUDIT_PUSH_START, AUDIT_PUSH_END },
	{ AUDIT_RECEIVE_START, AUDIT_RECEIVE_END },
	{ AUDIT_RESTORE_START, AUDIT_RESTORE_END },
	{ AUDIT_HOOK_START, AUDIT_HOOK_END },
	{ AUDIT_REPORT_SEND, AUDIT_REPORT_SEND },
	{ AUDIT_ENROLL_JOIN, AUDIT_ENROLL_JOIN },
};
#define PAIRS (sizeof(pairs) / sizeof(pairs[0]))

struct attempt {
	size_t pair;
	uint64_t generation;
	char peer[300];
	char backup[300];
	char lineage[40];
};

struct open {
	struct attempt *list[OPEN_MAX_ATTEMPTS];
	size_t n;
};

static void drop(struct open *o, size_t i)
{
	free(o->list[i]);
	memmove(&o->list[i], &o->list[i + 1], (--o->n - i) * sizeof(o->list[0]));
}

static void begin(struct open *o, size_t pair, const json_t *j)
{
	struct attempt *a;

	if (o->n == OPEN_MAX_ATTEMPTS)
		drop(o, 0);
	a = mem_xalloc(sizeof(*a));
	a->pair = pair;
	a->generation = (uint64_t)json_integer_value(json_object_get(j, "generation"));
	snprintf(a->peer, sizeof(a->peer), "%s", member_text(j, "peer"));
	snprintf(a->backup, sizeof(a->backup), "%s", member_text(j, "backup"));
	snprintf(a->lineage, sizeof(a->lineage), "%s", member_text(j, "lineage"));
	o->list[o->n++] = a;
}

static bool is_of_a_peer(size_t pair)
{
	return pairs[pair].end == AUDIT_PUSH_END || pairs[pair].end == AUDIT_ENROLL_JOIN;
}

/* An end closes the attempt of its generation, and of its peer where it names one: receive and restore are one at a
 * time. */
static void end(struct open *o, size_t pair, const json_t *j)
{
	uint64_t generation = (uint64_t)json_integer_value(json_object_get(j, "generation"));

	for (size_t i = 0; i < o->n; i++)
		if (o->list[i]->pair == pair && o->list[i]->generation == generation &&
		    (!is_of_a_peer(pair) || strcmp(o->list[i]->peer, member_text(j, "peer")) == 0)) {
			drop(o, i);
			return;
		}
}

static void take(struct open *o, const json_t *j)
{
	const char *event = member_text(j, "event");
	bool started = strcmp(member_text(j, "outcome"), "started") == 0;

	if (strcmp(event, audit_event_name(AUDIT_DAEMON_START)) == 0)
		while (o->n > 0)
			drop(o, 0);
	for (size_t p = 0; p < PAIRS; p++) {
		if (started && strcmp(event, audit_event_name(pairs[p].begin)) == 0)
			begin(o, p, j);
		else if (!started && strcmp(event, audit_event_name(pairs[p].end)) == 0)
			end(o, p, j);
	}
}

int attempts_close(struct audit *a, const char *path)
{
	struct audit_reader *r = NULL;
	struct audit_line line;
	struct open o = { 0 };
	int rc = audit_reader_open(&r, path), got = 0;

	if (rc == KC_ENOENT)
		return KC_OK;
	while (rc == KC_OK && (got = audit_reader_next(r, &line)) > 0)
		if (line.json != NULL)
			take(&o, line.json);
	if (got < 0)
		rc = got;
	for (size_t i = 0; rc == KC_OK && i < o.n; i++) {
		const struct attempt *t = o.list[i];
		struct audit_record record = { .event = pairs[t->pair].end,
			.outcome = AUDIT_FAILURE,
			.generation = t->generation,
			.peer = t->peer[0] != '\0' ? t->peer : NULL,
			.backup = t->backup[0] != '\0' ? t->backup : NULL,
			.lineage = t->lineage[0] != '\0' ? t->lineage : NULL,
			.code = msg_code(MSG_INTERRUPTED),
			.detail = "interrupted: the daemon ended before this was finished" };

		rc = audit_write(a, &record);
	}
	while (o.n > 0)
		drop(&o, 0);
	audit_reader_free(r);
	return rc;
}
