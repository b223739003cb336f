/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revocation: see revocation.h. The file is looked at by its name, not watched: it is replaced by rename, by a mount,
 * or on another machine of a network file system.
 */
#include "revocation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"
#include "daemon/alert.h"
#include "daemon/daemon.h"
#include "keystore/trust.h"

#define LOOK_MS	    1000  /* at the file */
#define LOOK_AGE_MS 60000 /* at the lists' dates, where there is no file */

/* What tells one content of the file from another; all zero: it is not there. */
struct stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec written, changed;
};

struct revocation {
	struct daemon *d;
	struct loop_timer *look;
	struct stamp taken; /* as it was when it was last read */
	struct stamp seen;  /* … looked at: a file that is still being written is left alone */
};

static struct stamp stamp_of(const struct conf *c)
{
	struct stamp s;
	struct stat st;

	memset(&s, 0, sizeof(s));
	if (c->crl_file == NULL || stat(c->crl_file, &st) < 0)
		return s;
	s.dev = st.st_dev;
	s.ino = st.st_ino;
	s.size = st.st_size;
	s.written = st.st_mtim;
	s.changed = st.st_ctim;
	return s;
}

static bool same(const struct stamp *a, const struct stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size && a->written.tv_sec == b->written.tv_sec &&
	       a->written.tv_nsec == b->written.tv_nsec && a->changed.tv_sec == b->changed.tv_sec &&
	       a->changed.tv_nsec == b->changed.tv_nsec;
}

/* --- age --- */

static bool is_stale(const struct trust_crl *c)
{
	return c->next_update != 0 && c->next_update < time(NULL);
}

static void over(enum alert_kind kind, const struct state_alert *a, void *arg)
{
	struct daemon *d = arg;
	const struct trust *trust = tls_creds_trust(d->creds);
	char subject[sizeof(a->subject)];

	if (kind != ALERT_CRL_STALE)
		return;
	STR_COPY(subject, a->subject);
	for (size_t i = 0; i < trust_crl_count(trust); i++) {
		struct trust_crl c = trust_crl_at(trust, i);

		if (is_stale(&c) && strncmp(c.issuer, subject, sizeof(subject) - 1) == 0)
			return;
	}
	alert_clear(d, kind, subject, "a newer one is in force");
}

static void look_at_age(struct daemon *d)
{
	const struct trust *trust = tls_creds_trust(d->creds);
	char text[300], at[CLOCK_UTC_SIZE], subject[256];

	for (size_t i = 0; i < trust_crl_count(trust); i++) {
		struct trust_crl c = trust_crl_at(trust, i);

		if (!is_stale(&c))
			continue;
		clock_utc(at, c.next_update);
		snprintf(text, sizeof(text),
		    "a newer one was due at %s; what it revokes stays revoked, what was revoked since then is not "
		    "known "
		    "here",
		    at);
		STR_COPY(subject, c.issuer);
		alert_raise(d, ALERT_CRL_STALE, subject, text);
	}
	alert_each(d, over, d);
}

/* --- the file --- */

static void take(struct revocation *r)
{
	int rc = daemon_reload_credentials(r->d, "tls.CRLFile has changed");
	if (rc < 0) {
		log_warn("%s; what was in force before stays in force", err_text(rc));
		alert_raise(r->d, ALERT_CRL_FAILED, "", err_text(rc));
	}
}

static void on_look(void *arg)
{
	struct revocation *r = arg;
	struct stamp now = stamp_of(r->d->conf);
	bool settled = same(&now, &r->seen);

	r->seen = now;
	loop_timer_set(r->look, r->d->conf->crl_file != NULL ? LOOK_MS : LOOK_AGE_MS);
	if (settled && !same(&now, &r->taken))
		take(r);
	else
		look_at_age(r->d);
}

void revocation_note(struct revocation *r, const struct conf *c)
{
	r->taken = r->seen = stamp_of(c);
}

void revocation_missed(struct revocation *r)
{
	memset(&r->taken, 0, sizeof(r->taken));
}

void revocation_look(struct revocation *r)
{
	alert_clear(r->d, ALERT_CRL_FAILED, "", "the credentials were read anew");
	look_at_age(r->d);
	loop_timer_set(r->look, r->d->conf->crl_file != NULL ? LOOK_MS : LOOK_AGE_MS);
}

struct revocation *revocation_new(struct daemon *d)
{
	struct revocation *r = mem_xalloc(sizeof(*r));

	r->d = d;
	r->look = loop_timer_new(d->loop, on_look, r);
	revocation_note(r, d->conf);
	return r;
}

void revocation_free(struct revocation *r)
{
	if (r == NULL)
		return;
	loop_timer_free(r->look);
	free(r);
}

/* --- revoking --- */

struct revoking {
	struct daemon *d;
	char serial[48], clone[300];
};

static void on_revoked(int rc, const json_t *result, void *arg)
{
	struct revoking *v = arg;
	char detail[400];
	struct audit_record a = { .event = AUDIT_CERT_REVOKE, .peer = v->clone, .detail = detail };

	snprintf(detail, sizeof(detail), "serial number %s, the clone was removed", v->serial);
	/* The command that removed it has done it already. */
	if (rc < 0 || member_u64(result, "added") > 0)
		audit_result(v->d->audit, &a, rc);
	if (rc < 0 && rc != KC_ECANCELED)
		log_err("the certificate of the removed clone %s (serial number %s) is not revoked: %s", v->clone,
		    v->serial, err_text(rc));
	else if (rc == KC_OK && member_u64(result, "added") > 0) {
		log_info("the certificate of the removed clone %s is revoked, serial number %s", v->clone, v->serial);
		rc = daemon_reload_credentials(v->d, "a certificate was revoked");
		if (rc < 0)
			log_err("what was revoked is not in force: %s", err_text(rc));
	}
	free(v);
}

void revocation_revoke(struct daemon *d, const char *serial, const char *clone)
{
	struct revoking *v = mem_xalloc(sizeof(*v));

	v->d = d;
	STR_COPY(v->serial, serial);
	STR_COPY(v->clone, clone);
	jobs_add_first(
	    d->jobs, json_pack("{s:s, s:[s]}", "verb", "revoke", "serials", serial), NULL, NULL, on_revoked, v);
}

json_t *revocation_json(const struct daemon *d)
{
	const struct trust *trust = tls_creds_trust(d->creds);
	json_t *list = json_array();

	for (size_t i = 0; i < trust_crl_count(trust); i++) {
		struct trust_crl c = trust_crl_at(trust, i);

		json_array_append_new(list,
		    json_pack("{s:s, s:s, s:o, s:o, s:I, s:b}", "issuer", c.issuer, "number", c.number, "this_update",
			member_time((int64_t)c.this_update), "next_update", member_time((int64_t)c.next_update),
			"revoked", (json_int_t)c.revoked, "stale", (int)is_stale(&c)));
	}
	return list;
}
