/* SPDX-License-Identifier: Apache-2.0 */
/* expiry: an hourly look at the ends of certificates. */
#include "expiry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/msg.h"
#include "base/str.h"
#include "daemon/alert.h"
#include "daemon/daemon.h"
#include "daemon/master.h"
#include "keystore/cert.h"

#define LOOK_MS	     3600000
#define SUBJECTS_MAX 32

struct expiry {
	struct daemon *d;
	struct loop_timer *look;
};

/* The subjects that are near their end at this look. */
struct near {
	struct daemon *d;
	char subjects[SUBJECTS_MAX][300];
	size_t n;
	int64_t own; /* a shared certificate is said once */
};

static void audit_near(struct daemon *d, const char *subject, const char *text)
{
	char detail[700];
	struct audit_record r = { .event = AUDIT_CERT_EXPIRING,
		.outcome = AUDIT_SUCCESS,
		.code = msg_code(MSG_CERT_EXPIRES_SOON),
		.detail = detail };

	snprintf(detail, sizeof(detail), "%s: %s", subject, text);
	daemon_audit(d, &r);
}

static void judge(struct near *l, const char *subject, int64_t not_after)
{
	int64_t left = not_after - time(NULL), days = left / 86400;
	char text[200], at[CLOCK_UTC_SIZE];

	if (not_after == 0 || days > CERT_NEAR_END_DAYS || l->n >= SUBJECTS_MAX)
		return;
	STR_COPY(l->subjects[l->n], subject);
	l->n++;
	clock_utc(at, not_after);
	if (left < 0)
		snprintf(text, sizeof(text), "it ended at %s", at);
	else
		snprintf(text, sizeof(text), "it ends at %s, in %lld day%s", at, (long long)days, days == 1 ? "" : "s");
	if (!alert_is_raised(l->d, ALERT_CERT_EXPIRING, subject))
		audit_near(l->d, subject, text);
	alert_raise(l->d, ALERT_CERT_EXPIRING, subject, text);
}

static void judge_clone(const char *name, int64_t not_after, void *arg)
{
	struct near *l = arg;

	if (not_after != l->own)
		judge(l, name, not_after);
}

static void judge_own(struct near *l)
{
	json_t *cert = l->d->certificate;
	char subject[300];

	if (clock_parse_utc(&l->own, member_text(cert, "not_after")) < 0)
		return;
	json_object_set_new(cert, "days_left", json_integer((json_int_t)((l->own - time(NULL)) / 86400)));
	snprintf(subject, sizeof(subject), "this machine (%.200s)", member_text(cert, "alias"));
	judge(l, subject, l->own);
}

static void drop_others(enum alert_kind kind, const struct state_alert *a, void *arg)
{
	struct near *l = arg;
	char subject[300];

	if (kind != ALERT_CERT_EXPIRING)
		return;
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->subjects[i], a->subject) == 0)
			return;
	STR_COPY(subject, a->subject);
	alert_clear(l->d, kind, subject, "another certificate is in its place");
}

void expiry_look(struct expiry *e)
{
	struct near *l = mem_xalloc(sizeof(*l));
	struct daemon *d = e->d;
	char subject[300];

	l->d = d;
	judge_own(l);
	if (d->master != NULL) {
		master_each_certificate(d->master, judge_clone, l);
	} else if (d->self.master_not_after != l->own) {
		snprintf(subject, sizeof(subject), "the master (%.200s)", d->self.master_host);
		judge(l, subject, d->self.master_not_after);
	}
	alert_each(d, drop_others, l);
	free(l);
	loop_timer_set(e->look, LOOK_MS);
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
