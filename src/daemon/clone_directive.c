/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clone_directive: the clone's daemon between its master, which directs a step of a rotation, and the worker, which
 * judges and takes it. Credentials that have changed are in force before the master has its answer.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"
#include "clone_int.h"

struct direction {
	struct clone_role *clone;
	char peer[300];
	char step[40];
	char detail[200];
	json_t *answer;
	int rc; /* of the step, and why */
	char why[300];
	bool begun; /* the start is in the audit log */
};

static void audit(struct direction *x, int rc)
{
	struct audit_record r = { .event = AUDIT_CERT_ROTATE, .peer = x->peer, .detail = x->detail };

	audit_result(x->clone->d->audit, &r, rc);
}

static void fill(struct proto_directed *to, const json_t *answer, int rc)
{
	char *text = NULL;

	if (rc < 0) {
		STR_COPY(to->error, err_name(rc));
		snprintf(to->message, sizeof(to->message), "%s", err_text(rc));
		return;
	}
	text = json_dumps(answer, JSON_COMPACT);
	if (text == NULL || strlen(text) > sizeof(to->answer)) {
		STR_COPY(to->error, err_name(KC_ELIMIT));
		STR_COPY(to->message, "the answer is too long");
	} else {
		to->answer_size = strlen(text);
		memcpy(to->answer, text, to->answer_size);
	}
	free(text);
}

static void finish(struct direction *x, int rc)
{
	struct proto_directed *to = mem_xalloc(sizeof(*to));

	fill(to, x->answer, rc);
	if (rc == KC_OK && strcmp(x->step, "verify") != 0)
		log_info("rotation of certificates: %s is done", x->step);
	else if (rc < 0 && rc != KC_ECANCELED)
		log_warn("rotation of certificates: %s: %s", x->step[0] != '\0' ? x->step : "refused", err_text(rc));
	if (rc != KC_ECANCELED && (x->begun || rc < 0))
		audit(x, rc);
	if (rc != KC_ECANCELED)
		receive_directed(x->clone->receive, to);
	free(to);
	json_decref(x->answer);
	free(x);
}

static void on_reloaded(int rc, const json_t *result, void *arg)
{
	struct direction *x = arg;

	(void)result;
	finish(x, x->rc < 0 && rc != KC_ECANCELED ? err_set(x->rc, "%s", x->why) : rc);
}

static void on_done(int rc, const json_t *result, void *arg)
{
	struct direction *x = arg;

	STR_COPY(x->step, member_text(result, "step"));
	x->answer = json_incref(json_object_get(result, "answer"));
	x->rc = rc;
	if (rc < 0)
		STR_COPY(x->why, err_text(rc));
	/* What was changed before a failure counts, too. */
	if (json_is_true(json_object_get(result, "reload")) && rc != KC_ECANCELED)
		daemon_reload(x->clone->d, on_reloaded, x);
	else
		finish(x, rc);
}

static json_t *on_ask(const json_t *ask, void *arg)
{
	struct direction *x = arg;
	struct audit_record r = {
		.event = AUDIT_CERT_ROTATE, .outcome = AUDIT_STARTED, .peer = x->peer, .detail = x->detail
	};
	int rc;

	snprintf(x->detail, sizeof(x->detail), "%.40s, rotation %.40s", member_text(ask, "step"),
	    member_text(ask, "rotation"));
	if (strcmp(member_text(ask, "step"), "verify") == 0)
		return ipc_result_new(KC_OK);
	rc = daemon_audit(x->clone->d, &r);
	x->begun = rc == KC_OK;
	return ipc_result_new(rc);
}

void clone_on_directive(struct receive_session *s, const struct proto_directive *d, void *arg)
{
	struct direction *x = mem_xalloc(sizeof(*x));
	json_t *request = json_pack("{s:s, s:s%, s:s%}", "verb", "directive", "body", (const char *)d->body,
	    d->body_size, "signature", (const char *)d->signature, d->signature_size);

	x->clone = arg;
	STR_COPY(x->peer, receive_session_name(s));
	if (request == NULL)
		finish(x, err_set(KC_EPROTO, "the directive is no text"));
	else
		jobs_add(x->clone->d->jobs, request, NULL, on_ask, on_done, x);
}
