/* SPDX-License-Identifier: Apache-2.0 */
/* status: the JSON of `status`, the same shape on both roles, and the original product's lines. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/member.h"
#include "daemon/alert.h"
#include "daemon/clone.h"
#include "daemon/daemon.h"
#include "daemon/expiry.h"
#include "daemon/master.h"
#include "daemon/revocation.h"

static void line(json_t *messages, const char *code, const char *text)
{
	char full[400];

	snprintf(full, sizeof(full), "%s %s", code, text);
	json_array_append_new(messages, json_pack("{s:s, s:s}", "code", code, "status", full));
}

/* As the original writes it whatever the locale: "Fri Jun 19 14:50:59 CEST 2026". */
static const char *original_date(char *out, size_t size, int64_t t)
{
	static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
		"Dec" };
	time_t at = (time_t)t;
	char zone[32];
	struct tm tm;

	if (localtime_r(&at, &tm) == NULL)
		return "?";
	strftime(zone, sizeof(zone), "%Z", &tm);
	snprintf(out, size, "%s %s %02d %02d:%02d:%02d %s %d", days[tm.tm_wday], months[tm.tm_mon], tm.tm_mday,
	    tm.tm_hour, tm.tm_min, tm.tm_sec, zone, tm.tm_year + 1900);
	return out;
}

static void line_at(json_t *messages, const char *code, const char *what, int64_t t)
{
	char text[300], when[120];

	snprintf(text, sizeof(text), "%.100s %s", what, original_date(when, sizeof(when), t));
	line(messages, code, text);
}

static json_t *messages_json(const struct daemon *d, int64_t next)
{
	json_t *m = json_array();
	char text[100];

	snprintf(text, sizeof(text), "The keyclone replication task is %s. Role set to: %s",
	    d->self.stopped ? "DOWN" : "UP", d->master != NULL ? "MASTER" : "CLONE");
	line(m, d->self.stopped ? "CTGKM2216I" : "CTGKM2215I", text);
	if (d->self.last_completed != 0)
		line_at(m, "CTGKM2218I", "The last completed replication took place at", d->self.last_completed);
	else
		line(m, "CTGKM2220I", "No previous successful replications.");
	if (next != 0)
		line_at(m, "CTGKM2217I", "The next scheduled replication is due at", next);
	else
		line(m, "CTGKM2221I", "No replication currently scheduled.");
	return m;
}

/* A clone replicates when its master says so; what it has postponed has an hour. */
static int64_t clone_next(const struct daemon *d, json_t *j)
{
	int64_t next = 0;

	clone_status(d->clone, j);
	if (d->self.stopped || clock_parse_utc(&next, member_text(json_object_get(j, "self"), "postponed_until")) < 0)
		return 0;
	json_object_set_new(j, "next_scheduled", member_time(next));
	return next;
}

json_t *status_json(const struct daemon *d)
{
	const struct state_self *s = &d->self;
	json_t *j = json_pack("{s:s, s:s, s:s, s:s}", "role", d->master != NULL ? "master" : "clone", "task",
	    s->stopped ? "DOWN" : "UP", "version", PACKAGE_VERSION, "lineage", s->lineage);
	int64_t next = 0;

	json_object_set_new(j, "generation", json_integer((json_int_t)s->complete));
	json_object_set_new(j, "last_completed", member_time(s->last_completed));
	json_object_set_new(j, "next_scheduled", json_null());
	json_object_set_new(j, "last_check", json_null());
	json_object_set_new(j, "last_check_result", json_null());
	json_object_set_new(j, "unreplicated_since", json_null());
	json_object_set_new(j, "run", json_null());
	json_object_set_new(j, "held", json_null());
	json_object_set_new(j, "self", json_null());
	json_object_set_new(j, "clones", json_array());
	json_object_set(j, "database", d->database);
	json_object_set_new(j, "certificates", json_pack("[O]", d->certificate));
	json_object_set_new(j, "revocation_lists", revocation_json(d));
	json_object_set_new(j, "expiring", expiry_json(d->expiry));
	json_object_set_new(j, "alerts", alerts_json(d));
	if (d->master != NULL)
		next = master_status(d->master, j);
	else
		next = clone_next(d, j);
	json_object_set_new(j, "messages", messages_json(d, next));
	return j;
}
