/* SPDX-License-Identifier: Apache-2.0 */
/* alert: the list of what is raised, kept in memory and in the state database. */
#include "alert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"
#include "daemon/daemon.h"

#define ALERTS_MAX 200 /* twenty clones have five each at the most */

struct raised {
	struct raised *next;
	enum alert_kind kind;
	struct state_alert a;
};

struct alerts {
	struct state *state;
	alert_told_fn told;
	void *arg;
	struct raised *list; /* oldest first */
	unsigned count;
};

static const struct kind {
	const char *name;
	enum log_level level;
	const char *title;
} kinds[] = {
#define A(constant, name, level, text) { name, level, text },
	ALERT_TABLE(A)
#undef A
};

static const enum alert_kind clone_kinds[] = {
	ALERT_CLONE_FAILED,
	ALERT_CLONE_UNREACHABLE,
	ALERT_CLONE_REFUSED,
	ALERT_CLONE_DIVERGED,
};
#define CLONE_KINDS (sizeof(clone_kinds) / sizeof(clone_kinds[0]))

const char *alert_name(enum alert_kind kind)
{
	return kinds[kind].name;
}

void alert_title(char *out, size_t size, enum alert_kind kind, const char *subject)
{
	const char *title = kinds[kind].title, *at = strstr(title, "%s");

	if (at == NULL)
		snprintf(out, size, "%s", title);
	else
		snprintf(out, size, "%.*s%s%s", (int)(at - title), title, subject, at + 2);
}

static struct raised **find(struct alerts *as, enum alert_kind kind, const char *subject)
{
	struct raised **at = &as->list;

	while (*at != NULL && !((*at)->kind == kind && strcmp((*at)->a.subject, subject) == 0))
		at = &(*at)->next;
	return at;
}

static void append(struct alerts *as, struct raised *r)
{
	struct raised **at = &as->list;

	while (*at != NULL)
		at = &(*at)->next;
	r->next = NULL;
	*at = r;
	as->count++;
}

/* Kinds of a later version are left in the database. */
static int load(void *alert, void *arg)
{
	const struct state_alert *a = alert;
	struct alerts *as = arg;
	struct raised *r;

	for (int k = 0; k < ALERT_COUNT; k++) {
		if (strcmp(kinds[k].name, a->kind) != 0 || as->count >= ALERTS_MAX)
			continue;
		r = mem_xalloc(sizeof(*r));
		r->kind = (enum alert_kind)k;
		r->a = *a;
		append(as, r);
	}
	return KC_OK;
}

int alerts_new(struct alerts **out, struct state *s, alert_told_fn told, void *arg)
{
	struct alerts *as = mem_xalloc(sizeof(*as));
	int rc;

	as->state = s;
	as->told = told;
	as->arg = arg;
	rc = state_each_alert(s, load, as);
	if (rc < 0) {
		alerts_free(as);
		return rc;
	}
	*out = as;
	return KC_OK;
}

void alerts_free(struct alerts *as)
{
	if (as == NULL)
		return;
	while (as->list != NULL) {
		struct raised *r = as->list;

		as->list = r->next;
		free(r);
	}
	free(as);
}

static void keep(struct alerts *as, const struct raised *r)
{
	int rc = state_put_alert(as->state, &r->a);

	if (rc < 0)
		log_err("an alert cannot be kept: %s", err_text(rc));
}

static void say(const struct raised *r, bool raised)
{
	char title[400];

	alert_title(title, sizeof(title), r->kind, r->a.subject);
	if (!raised)
		log_info("alert over: %s: %s", title, r->a.text);
	else if (kinds[r->kind].level == LOG_LVL_WARN)
		log_warn("alert: %s: %s", title, r->a.text);
	else
		log_info("alert: %s: %s", title, r->a.text);
}

static void raise_it(struct daemon *d, enum alert_kind kind, const char *subject, const char *text, bool again)
{
	struct alerts *as = d->alerts;
	struct raised *r = as != NULL ? *find(as, kind, subject) : NULL;
	bool known = r != NULL;

	if (as == NULL || (!known && as->count >= ALERTS_MAX))
		return;
	if (known && !again && strncmp(r->a.text, text, sizeof(r->a.text) - 1) == 0)
		return;
	if (!known) {
		r = mem_xalloc(sizeof(*r));
		r->kind = kind;
		STR_COPY(r->a.kind, kinds[kind].name);
		STR_COPY(r->a.subject, subject);
		r->a.since = time(NULL);
		append(as, r);
	}
	STR_COPY(r->a.text, text);
	str_printable(r->a.text);
	if (again)
		r->a.told = false;
	keep(as, r);
	if (known && !again)
		return;
	say(r, true);
	if (as->told != NULL)
		as->told(kind, &r->a, true, as->arg);
}

void alert_raise(struct daemon *d, enum alert_kind kind, const char *subject, const char *text)
{
	raise_it(d, kind, subject, text, false);
}

void alert_raise_again(struct daemon *d, enum alert_kind kind, const char *subject, const char *text)
{
	raise_it(d, kind, subject, text, true);
}

static struct raised *take(struct alerts *as, enum alert_kind kind, const char *subject)
{
	struct raised **at = find(as, kind, subject), *r = *at;
	int rc;

	if (r == NULL)
		return NULL;
	*at = r->next;
	as->count--;
	rc = state_forget_alert(as->state, r->a.kind, r->a.subject);
	if (rc < 0)
		log_err("an alert that is over cannot be forgotten: %s", err_text(rc));
	return r;
}

static void over(struct alerts *as, struct raised *r, const char *text)
{
	STR_COPY(r->a.text, text);
	str_printable(r->a.text);
	say(r, false);
	if (as->told != NULL)
		as->told(r->kind, &r->a, false, as->arg);
}

void alert_clear(struct daemon *d, enum alert_kind kind, const char *subject, const char *text)
{
	struct raised *r = d->alerts != NULL ? take(d->alerts, kind, subject) : NULL;

	if (r == NULL)
		return;
	over(d->alerts, r, text);
	free(r);
}

bool alert_is_raised(const struct daemon *d, enum alert_kind kind, const char *subject)
{
	return d->alerts != NULL && *find(d->alerts, kind, subject) != NULL;
}

static void drop_others(struct daemon *d, const char *clone, int but)
{
	for (size_t i = 0; d->alerts != NULL && i < CLONE_KINDS; i++)
		if ((int)clone_kinds[i] != but)
			free(take(d->alerts, clone_kinds[i], clone));
}

void alert_raise_clone(struct daemon *d, enum alert_kind kind, const char *clone, const char *text)
{
	drop_others(d, clone, (int)kind);
	alert_raise(d, kind, clone, text);
}

void alert_clear_clone(struct daemon *d, const char *clone, const char *text)
{
	for (size_t i = 0; i < CLONE_KINDS; i++)
		if (alert_is_raised(d, clone_kinds[i], clone))
			alert_clear(d, clone_kinds[i], clone, text);
}

void alert_forget_clone(struct daemon *d, const char *clone)
{
	drop_others(d, clone, -1);
	if (d->alerts != NULL)
		free(take(d->alerts, ALERT_CERT_EXPIRING, clone));
}

void alert_mark_told(struct daemon *d, enum alert_kind kind, const char *subject)
{
	struct raised *r = d->alerts != NULL ? *find(d->alerts, kind, subject) : NULL;

	if (r == NULL || r->a.told)
		return;
	r->a.told = true;
	keep(d->alerts, r);
}

void alert_each(struct daemon *d, alert_each_fn each, void *arg)
{
	for (struct raised *r = d->alerts->list, *next; r != NULL; r = next) {
		next = r->next;
		each(r->kind, &r->a, arg);
	}
}

static void clear_of_other_role(enum alert_kind kind, const struct state_alert *a, void *arg)
{
	struct daemon *d = arg;
	bool of_clone = kind == ALERT_RESTORE_FAILED || kind == ALERT_DIVERGED || kind == ALERT_MASTER_SILENT;
	bool of_both = kind == ALERT_TASK_STOPPED || kind == ALERT_CERT_EXPIRING || kind == ALERT_CRL_STALE ||
		       kind == ALERT_CRL_FAILED;
	char subject[sizeof(a->subject)];

	if (of_both || of_clone == (d->master == NULL))
		return;
	STR_COPY(subject, a->subject);
	alert_clear(
	    d, kind, subject, d->master != NULL ? "this machine is a master now" : "this machine is a clone now");
}

void alert_clear_other_role(struct daemon *d)
{
	if (d->alerts != NULL)
		alert_each(d, clear_of_other_role, d);
}

json_t *alerts_json(const struct daemon *d)
{
	json_t *list = json_array();
	char title[400];

	for (const struct raised *r = d->alerts != NULL ? d->alerts->list : NULL; r != NULL; r = r->next) {
		alert_title(title, sizeof(title), r->kind, r->a.subject);
		json_array_append_new(
		    list, json_pack("{s:s, s:s, s:s, s:s, s:o}", "alert", r->a.kind, "subject", r->a.subject, "title",
			      title, "text", r->a.text, "since", member_time(r->a.since)));
	}
	return list;
}
