/* SPDX-License-Identifier: Apache-2.0 */
/* expiry: an hourly look at the ends of certificates; what was said of them is in the state database. */
#include "expiry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/msg.h"
#include "base/str.h"
#include "daemon/alert.h"
#include "daemon/daemon.h"
#include "daemon/master.h"
#include "keystore/trust.h"

#define LOOK_MS	     3600000
#define LOOK_MIN_MS  500
#define SUBJECTS_MAX 100 /* twenty clones, this machine, and what is trusted */
#define DAY	     86400

/* Days before the end. */
static const int64_t steps[] = { 60, 30, 15, 7, 3, 1, 0 };
#define STEPS (sizeof(steps) / sizeof(steps[0]))

/* So many seconds before the end; it is good in its last one. */
static int64_t seconds_of(size_t step)
{
	return steps[step] == 0 ? -1 : steps[step] * DAY;
}

struct near {
	char subject[300];
	int64_t not_after;
};

struct expiry {
	struct daemon *d;
	struct loop_timer *look;
	struct near near[SUBJECTS_MAX]; /* of the last look */
	size_t n;
	/* of the look under way */
	int64_t now;
	int64_t own;  /* a shared certificate is said once */
	int64_t next; /* when the next step of one of them is due; 0: none */
};

static void audit_near(struct daemon *d, const char *subject, const char *text, bool ended)
{
	char detail[700];
	struct audit_record r = { .event = AUDIT_CERT_EXPIRING,
		.outcome = AUDIT_SUCCESS,
		.code = msg_code(ended ? MSG_CERT_EXPIRED : MSG_CERT_EXPIRES_SOON),
		.detail = detail };

	snprintf(detail, sizeof(detail), "%s: %s", subject, text);
	daemon_audit(d, &r);
}

/* The last step that is behind us: its days; -1: none yet. */
static int64_t step_of(int64_t left)
{
	int64_t days = -1;

	for (size_t i = 0; i < STEPS; i++)
		if (left <= seconds_of(i))
			days = steps[i];
	return days;
}

static void note_next(struct expiry *e, int64_t not_after)
{
	for (size_t i = 0; i < STEPS; i++) {
		int64_t at = not_after - seconds_of(i);

		if (at > e->now && (e->next == 0 || at < e->next))
			e->next = at;
	}
}

static void text_of(char *text, size_t size, int64_t not_after, int64_t left)
{
	char at[CLOCK_UTC_SIZE], span[CLOCK_SPAN_SIZE];

	clock_utc(at, not_after);
	if (left < 0)
		snprintf(text, size, "it ended at %s, %s ago", at, clock_span(span, left));
	else if (left >= 2 * DAY)
		snprintf(text, size, "it ends at %s, in %lld days", at, (long long)((left + DAY / 2) / DAY));
	else
		snprintf(text, size, "it ends at %s, in %s", at, clock_span(span, left));
}

/* Its step was said of this certificate, or a later one. */
static bool was_said(struct daemon *d, const char *subject, int64_t not_after, int64_t step)
{
	struct state_expiry said;

	return state_get_expiry(&said, d->state, subject) == KC_OK && said.not_after == not_after && said.days <= step;
}

static void remember(struct daemon *d, const char *subject, int64_t not_after, int64_t step)
{
	struct state_expiry said = { .not_after = not_after, .days = step };
	int rc;

	STR_COPY(said.subject, subject);
	rc = state_put_expiry(d->state, &said);
	if (rc < 0)
		log_err("that the end of a certificate was said is not kept: %s", err_text(rc));
}

static void judge(struct expiry *e, const char *subject, int64_t not_after)
{
	int64_t left = not_after - e->now, step = step_of(left);
	struct near *at = &e->near[e->n];
	char text[200];

	if (not_after == 0)
		return;
	note_next(e, not_after);
	if (step < 0 || e->n >= SUBJECTS_MAX)
		return;
	STR_COPY(at->subject, subject);
	at->not_after = not_after;
	e->n++;
	text_of(text, sizeof(text), not_after, left);
	if (was_said(e->d, subject, not_after, step)) {
		alert_raise(e->d, ALERT_CERT_EXPIRING, subject, text);
		return;
	}
	audit_near(e->d, subject, text, left < 0);
	alert_raise_again(e->d, ALERT_CERT_EXPIRING, subject, text);
	remember(e->d, subject, not_after, step);
}

static void judge_clone(const char *name, int64_t not_after, void *arg)
{
	struct expiry *e = arg;

	if (not_after != e->own)
		judge(e, name, not_after);
}

static void judge_own(struct expiry *e)
{
	json_t *cert = e->d->certificate;
	char subject[300];

	e->own = 0;
	if (clock_parse_utc(&e->own, member_text(cert, "not_after")) < 0)
		return;
	json_object_set_new(cert, "days_left", json_integer((json_int_t)((e->own - e->now) / DAY)));
	snprintf(subject, sizeof(subject), "this machine (%.200s)", member_text(cert, "alias"));
	judge(e, subject, e->own);
}

/* Who is trusted as itself and is ourselves was said. */
static void judge_trusted(struct expiry *e)
{
	struct trust_list list = { 0 };
	char subject[300];

	if (trust_list_load(&list, e->d->conf->truststore_dir) < 0)
		return; /* whoever loads the credentials says why */
	for (size_t i = 0; i < list.count; i++) {
		const struct trust_entry *t = &list.entries[i];

		if (strcmp(t->info.sha256, member_text(e->d->certificate, "sha256")) == 0)
			continue;
		snprintf(subject, sizeof(subject), "%s %.200s", t->info.ca ? "authority" : "trusted peer", t->name);
		judge(e, subject, (int64_t)t->info.not_after);
	}
	trust_list_fini(&list);
}

static void drop_others(enum alert_kind kind, const struct state_alert *a, void *arg)
{
	struct expiry *e = arg;
	char subject[300];

	if (kind != ALERT_CERT_EXPIRING)
		return;
	for (size_t i = 0; i < e->n; i++)
		if (strcmp(e->near[i].subject, a->subject) == 0)
			return;
	STR_COPY(subject, a->subject);
	alert_clear(e->d, kind, subject, "another certificate is in its place");
	(void)state_forget_expiry(e->d->state, subject);
}

static uint64_t next_look(const struct expiry *e)
{
	uint64_t ms;

	if (e->next == 0 || e->next - e->now > LOOK_MS / 1000)
		return LOOK_MS;
	ms = (uint64_t)(e->next - e->now) * 1000;
	return ms < LOOK_MIN_MS ? LOOK_MIN_MS : ms;
}

void expiry_look(struct expiry *e)
{
	struct daemon *d = e->d;
	char subject[300];

	e->now = time(NULL);
	e->n = 0;
	e->next = 0;
	judge_own(e);
	judge_trusted(e);
	if (d->master != NULL) {
		master_each_certificate(d->master, judge_clone, e);
	} else if (d->self.master_not_after != e->own) {
		snprintf(subject, sizeof(subject), "the master (%.200s)", d->self.master_host);
		judge(e, subject, d->self.master_not_after);
	}
	alert_each(d, drop_others, e);
	loop_timer_set(e->look, next_look(e));
}

void expiry_soon(struct expiry *e)
{
	loop_timer_set(e->look, 0);
}

json_t *expiry_json(const struct expiry *e)
{
	json_t *list = json_array();
	int64_t now = time(NULL);

	for (size_t i = 0; i < e->n; i++)
		json_array_append_new(list, json_pack("{s:s, s:o, s:I}", "subject", e->near[i].subject, "not_after",
						member_time(e->near[i].not_after), "days_left",
						(json_int_t)((e->near[i].not_after - now) / DAY)));
	return list;
}

static void on_look(void *arg)
{
	expiry_look(arg);
}

struct expiry *expiry_new(struct daemon *d)
{
	struct expiry *e = mem_xalloc(sizeof(*e));

	e->d = d;
	e->look = loop_timer_new(d->loop, on_look, e);
	return e;
}

void expiry_free(struct expiry *e)
{
	if (e == NULL)
		return;
	loop_timer_free(e->look);
	free(e);
}
