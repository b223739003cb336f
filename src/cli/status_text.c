/* SPDX-License-Identifier: Apache-2.0 */
/* status_text: the original product's lines first, then one line a clone. */
#include "status_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/host.h"
#include "base/member.h"
#include "base/msg.h"
#include "columns.h"

#define EXPIRING_DAYS 30

/* RFC 3339 UTC to local: the time alone today, the weekday within a week, else the date. */
static const char *local_time(char *out, size_t size, const char *utc)
{
	struct tm tm, today;
	time_t now = time(NULL), at;
	int64_t moment;

	if (clock_parse_utc(&moment, utc) < 0)
		return "";
	at = (time_t)moment;
	localtime_r(&at, &tm);
	localtime_r(&now, &today);
	strftime(out, size,
	    tm.tm_year == today.tm_year && tm.tm_yday == today.tm_yday ? "%H:%M:%S"
	    : now - at < 6 * 86400 && at - now < 6 * 86400	       ? "%a %H:%M:%S"
								       : "%Y-%m-%d %H:%M",
	    &tm);
	return out;
}

const char *status_hour(char *out, size_t size, const char *utc)
{
	time_t now = time(NULL), at;
	int64_t moment;
	struct tm tm;
	size_t n;

	if (clock_parse_utc(&moment, utc) < 0)
		return "";
	at = (time_t)moment;
	localtime_r(&at, &tm);
	n = (size_t)snprintf(out, size, "%s", at >= now ? "restores at " : "was to restore at ");
	strftime(out + n, size - n, at - now < 86400 && now - at < 86400 ? "%H:%M" : "%a %Y-%m-%d %H:%M", &tm);
	return out;
}

static bool is_bad(const char *state)
{
	static const char *const bad[] = { "failed", "unreachable", "refused", "held", "diverged", "stopped" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (strcmp(state, bad[i]) == 0)
			return true;
	return false;
}

/* Said ahead of time: what ends in more than 30 days is no fault yet. */
static bool is_early(const json_t *status, const json_t *alert)
{
	size_t i;
	json_t *e;

	if (strcmp(member_text(alert, "alert"), "certificate.expiring") != 0)
		return false;
	json_array_foreach(json_object_get(status, "expiring"), i, e)
		if (strcmp(member_text(e, "subject"), member_text(alert, "subject")) == 0)
			return member_int(e, "days_left") >= EXPIRING_DAYS;
	return false;
}

int status_verdict(const json_t *status)
{
	size_t i;
	json_t *j;

	if (strcmp(member_text(status, "task"), "UP") != 0)
		return err_set(KC_EFOUND, "the task is down");
	if (strncmp(member_text(status, "last_check_result"), "failed", 6) == 0)
		return err_set(KC_EFOUND, "the last check %s", member_text(status, "last_check_result"));
	if (json_is_object(json_object_get(status, "held")))
		return err_set(KC_EFOUND, "a run is held");
	json_array_foreach(json_object_get(status, "clones"), i, j)
		if (is_bad(member_text(j, "state")))
			return err_set(KC_EFOUND, "clone %s is %s", member_text(j, "host"), member_text(j, "state"));
	json_array_foreach(json_object_get(status, "certificates"), i, j)
		if (member_int(j, "days_left") < EXPIRING_DAYS)
			return err_set(KC_EFOUND, "certificate %s ends in %lld days", member_text(j, "alias"),
			    member_int(j, "days_left"));
	json_array_foreach(json_object_get(status, "alerts"), i, j)
		if (!is_early(status, j))
			return err_set(KC_EFOUND, "%s", member_text(j, "title"));
	if (json_is_true(json_object_get(json_object_get(status, "self"), "diverged")))
		return err_set(KC_EFOUND, "this clone has diverged");
	return KC_OK;
}

/* A terminal shows a line a clone; elsewhere no name is shortened. */
static unsigned name_width(const json_t *clones)
{
	struct winsize w;
	unsigned max = 1000;

	if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col >= 20)
		max = w.ws_col / 3 > 24 ? w.ws_col / 3 : 24;
	return columns_for_names(clones, 16, max);
}

const char *status_reason(const json_t *clone)
{
	if (strcmp(member_text(clone, "state"), "held") == 0)
		return "nothing is sent to it until 'keyclone clone resume'";
	return member_text(clone, "last_error");
}

static void print_clone(const json_t *c, unsigned width, long long generation)
{
	char at[40], retry[40], hour[60], behind[400] = "–", *plain, *name;
	const char *host = member_text(c, "host"), *state = member_text(c, "state");
	long long lacks = generation - member_int(c, "applied");

	plain = host_port_format(host, (int)member_int(c, "port"));
	name = columns_fit(plain, width);
	if (lacks > 0)
		snprintf(behind, sizeof(behind), "%lld", lacks);
	if (is_bad(state) && status_reason(c)[0] != '\0')
		snprintf(behind + strlen(behind), sizeof(behind) - strlen(behind), ", %s", status_reason(c));
	if (strcmp(state, "postponed") == 0)
		snprintf(behind + strlen(behind), sizeof(behind) - strlen(behind), ", %s",
		    status_hour(hour, sizeof(hour), member_text(c, "postponed_until")));
	if (member_text(c, "retry_at")[0] != '\0')
		snprintf(behind + strlen(behind), sizeof(behind) - strlen(behind), ", next try %s",
		    local_time(retry, sizeof(retry), member_text(c, "retry_at")));
	printf("%s %-11s %-6lld %-16s %-7lld %s\n", name, state, member_int(c, "applied"),
	    local_time(at, sizeof(at), member_text(c, "applied_at")), member_int(c, "stored"), behind);
	free(name);
	free(plain);
}

static void print_self(const json_t *status)
{
	const json_t *self = json_object_get(status, "self"), *master = json_object_get(self, "master");
	char at[60];

	if (strcmp(member_text(status, "role"), "clone") != 0)
		return;
	if (member_int(self, "applied") > 0)
		printf("Applied: generation %lld", member_int(self, "applied"));
	else
		printf("Applied: nothing yet");
	printf("; stored: %lld; database: %lld rows.\n", member_int(self, "stored"),
	    member_int(json_object_get(status, "database"), "rows"));
	if (member_text(self, "postponed_until")[0] != '\0')
		printf("Generation %lld is stored and %s; 'keyclone restore-now' does not wait.\n",
		    member_int(self, "stored"), status_hour(at, sizeof(at), member_text(self, "postponed_until")));
	if (member_text(master, "host")[0] != '\0')
		printf("Master: %s, last heard %s%s.\n", member_text(master, "host"),
		    local_time(at, sizeof(at), member_text(master, "last_contact")),
		    json_is_true(json_object_get(master, "stopped")) ? ", its replication task is DOWN" : "");
	else
		puts("Master: never heard.");
	if (json_is_true(json_object_get(self, "diverged")))
		printf("DIVERGED: %s\n  Nothing is restored until it is decided: 'keyclone diverged list', 'keyclone "
		       "diverged discard'.\n",
		    member_text(self, "diverged_detail"));
}

/* What needs a person; the table of clones says the rest. */
static void print_alerts(const json_t *status)
{
	char since[40];
	size_t i;
	json_t *a;

	json_array_foreach(json_object_get(status, "alerts"), i, a)
		printf("ALERT since %s: %s.\n  %s\n", local_time(since, sizeof(since), member_text(a, "since")),
		    member_text(a, "title"), member_text(a, "text"));
}

/* Order comes from generations, not from clocks; but certificates and a tired reader do look at them. */
static void print_clock(const char *name, long long offset)
{
	char span[CLOCK_SPAN_SIZE];

	if (offset > CLOCK_APART_S || offset < -CLOCK_APART_S)
		printf("%s The clock of %s is %s %s this one.\n", msg_code(MSG_CLOCK_OFFSET), name,
		    clock_span(span, offset), offset > 0 ? "ahead of" : "behind");
}

static void print_clocks(const json_t *status)
{
	const json_t *clones = json_object_get(status, "clones"),
		     *master = json_object_get(json_object_get(status, "self"), "master");
	size_t i;
	json_t *c;

	print_clock(member_text(master, "host"), member_int(master, "clock_offset_seconds"));
	json_array_foreach(clones, i, c) {
		char *name = host_port_format(member_text(c, "host"), (int)member_int(c, "port"));

		print_clock(name, member_int(c, "clock_offset_seconds"));
		free(name);
	}
}

static void print_held(const json_t *held)
{
	char at[40];

	if (json_is_object(held))
		printf(
		    "HELD since %s: %lld of %lld rows of table %s would be deleted. Nothing is sent until the rows are "
		    "back, or\n"
		    "  'keyclone replicate-now --allow-deletes' says that it is meant.\n",
		    local_time(at, sizeof(at), member_text(held, "since")), member_int(held, "deleted"),
		    member_int(held, "rows"), member_text(held, "table"));
}

static void print_rotation(const json_t *r)
{
	const json_t *clones = json_object_get(r, "clones");
	size_t waits = 0;

	if (!json_is_true(json_object_get(r, "active")))
		return;
	for (size_t i = 0; i < json_array_size(clones); i++)
		waits += member_text(json_array_get(clones, i), "error")[0] != '\0';
	printf("Certificate %s gives way to %s, now: %s", member_text(r, "from"), member_text(r, "to"),
	    member_text(r, "phase"));
	if (waits > 0)
		printf("; it waits for %zu clone%s", waits, waits == 1 ? "" : "s");
	puts(": 'keyclone cert rotate --status'.");
}

static void print_certificate(const json_t *j)
{
	char left[CLOCK_SPAN_SIZE];
	int64_t end;

	if (clock_parse_utc(&end, member_text(j, "not_after")) < 0)
		return;
	clock_span(left, end - (int64_t)time(NULL));
	if (end < (int64_t)time(NULL))
		printf("Certificate %s has EXPIRED, %s ago: every peer refuses it; 'keyclone explain %s'.\n",
		    member_text(j, "alias"), left, msg_code(MSG_CERT_EXPIRED));
	else
		printf("Certificate %s ends in %s; %s, %s,\n  SHA-256 %s.\n", member_text(j, "alias"), left,
		    member_text(j, "key_type"), member_text(j, "uses"), member_text(j, "sha256"));
}

/* What clones warn of in their hello. */
static void print_warnings(const json_t *clones)
{
	size_t i, k;
	json_t *c, *w;

	json_array_foreach(clones, i, c)
		json_array_foreach(json_object_get(c, "warnings"), k, w)
			printf(
			    "%s:%lld warns: %s\n", member_text(c, "host"), member_int(c, "port"), json_string_value(w));
}

void status_print(const json_t *status)
{
	const json_t *clones = json_object_get(status, "clones");
	char at[40];
	unsigned width;
	size_t i;
	json_t *j;

	json_array_foreach(json_object_get(status, "messages"), i, j)
		puts(member_text(j, "status"));
	if (member_text(status, "last_check")[0] != '\0')
		printf("Last check %s: %s.\n", local_time(at, sizeof(at), member_text(status, "last_check")),
		    member_text(status, "last_check_result"));
	if (member_text(status, "unreplicated_since")[0] != '\0')
		printf("Changes that are in no backup yet, since %s.\n",
		    local_time(at, sizeof(at), member_text(status, "unreplicated_since")));
	json_array_foreach(json_object_get(status, "certificates"), i, j)
		print_certificate(j);
	print_rotation(json_object_get(status, "rotation"));
	print_held(json_object_get(status, "held"));
	print_self(status);
	print_clocks(status);
	print_alerts(status);
	if (json_array_size(clones) == 0)
		return;
	width = name_width(clones);
	printf("\n%-*s %-11s %-23s %-7s %s\n", (int)width, "CLONE", "STATE", "APPLIED", "STORED", "BEHIND");
	json_array_foreach(clones, i, j)
		print_clone(j, width, member_int(status, "generation"));
	print_warnings(clones);
}
