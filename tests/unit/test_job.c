/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job: the queue and the supervision of the worker. The starter here makes a child that does nothing; the test itself
 * speaks for it at the other end of its socket, and kills it.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/ipc.h"
#include "base/loop.h"
#include "daemon/job.h"
#include "daemon/starter.h"

#define STALL_MS 60000

static struct world {
	struct loop *loop;
	struct jobs *jobs;
	int fd; /* the worker's end */
	pid_t pid;
	unsigned spawned;
	int spawn_rc; /* of the next start */
	unsigned events, fatal;
	char why[200];
} w;

int starter_spawn(int *fd, pid_t *pid, struct starter *s, enum starter_kind kind)
{
	int pair[2];

	(void)s;
	assert_int_equal(kind, STARTER_WORKER);
	if (w.spawn_rc < 0)
		return err_set(w.spawn_rc, "no worker today");
	assert_int_equal(ipc_pair(pair), KC_OK);
	if (w.fd >= 0)
		close(w.fd);
	w.pid = fork();
	if (w.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(pair[0]);
		close(pair[1]);
		for (;;)
			pause();
	}
	w.fd = pair[1];
	w.spawned++;
	*fd = pair[0];
	*pid = w.pid;
	return KC_OK;
}

static void on_event(const char *why, bool fatal, void *arg)
{
	(void)arg;
	w.events++;
	w.fatal += fatal;
	snprintf(w.why, sizeof(w.why), "%s", why);
}

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	w.fd = -1;
	w.loop = loop_new();
	loop_fake_clock(w.loop, 1000);
	assert_int_equal(jobs_new(&w.jobs, w.loop, NULL, STALL_MS), KC_OK);
	jobs_on_event(w.jobs, on_event, NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	jobs_free(w.jobs, 0);
	if (w.fd >= 0)
		close(w.fd);
	loop_free(w.loop);
	return 0;
}

static void pump(void)
{
	for (int i = 0; i < 5; i++)
		loop_turn(w.loop, 0);
}

/* What the worker was asked to do; NULL: nothing. */
static const char *asked(void)
{
	static char verb[40];
	enum ipc_type type;
	json_t *body = NULL;
	int rc;

	pump();
	rc = ipc_recv(&type, &body, w.fd, 0);
	if (rc == KC_ETIMEOUT)
		return NULL;
	assert_int_equal(rc, KC_OK);
	assert_int_equal(type, IPC_REQUEST);
	snprintf(verb, sizeof(verb), "%s", json_string_value(json_object_get(body, "verb")));
	json_decref(body);
	return verb;
}

static void say(enum ipc_type type, json_t *body)
{
	assert_int_equal(ipc_send(w.fd, type, body), KC_OK);
	json_decref(body);
	pump();
}

static void die(void)
{
	siginfo_t info;

	kill(w.pid, SIGKILL);
	assert_int_equal(
	    waitid(P_PID, (id_t)w.pid, &info, WEXITED | WNOWAIT), 0); /* its copies of our end are closed */
	close(w.fd);						      /* as the kernel does for a dead process */
	w.fd = -1;
	pump();
}

struct note {
	unsigned done, progress, asks;
	int rc;
	char text[200];
	json_t *then; /* a job to add from the done function */
	struct note *then_note;
};

static void on_done(int rc, const json_t *result, void *arg);

static void on_progress(const json_t *progress, void *arg)
{
	struct note *n = arg;

	assert_true(json_is_object(progress));
	n->progress++;
}

static json_t *on_ask(const json_t *ask, void *arg)
{
	struct note *n = arg;

	n->asks++;
	if (json_object_get(ask, "refuse") != NULL)
		return NULL;
	return json_pack("{s:s, s:i}", "rc", "KC_OK", "generation", 7);
}

static void add(struct note *n, const char *verb)
{
	jobs_add(w.jobs, json_pack("{s:s}", "verb", verb), on_progress, on_ask, on_done, n);
}

static void on_done(int rc, const json_t *result, void *arg)
{
	struct note *n = arg;

	assert_non_null(json_object_get(result, "rc"));
	n->done++;
	n->rc = rc;
	snprintf(n->text, sizeof(n->text), "%s", err_text(rc));
	if (n->then != NULL) {
		jobs_add(w.jobs, n->then, NULL, NULL, on_done, n->then_note);
		n->then = NULL;
	}
}

/* --- the queue --- */

static void jobs__several__run_one_at_a_time_in_order(void **state)
{
	struct note a = { 0 }, b = { 0 }, c = { 0 };

	(void)state;
	add(&a, "one");
	add(&b, "two");
	jobs_add_first(w.jobs, json_pack("{s:s}", "verb", "urgent"), NULL, NULL, on_done, &c);
	assert_string_equal(asked(), "one");
	assert_null(asked());
	say(IPC_PROGRESS, json_pack("{s:s}", "phase", "half"));
	assert_int_equal(a.progress, 1);
	say(IPC_RESULT, json_pack("{s:s}", "rc", "KC_OK"));
	assert_int_equal(a.done, 1);
	assert_int_equal(a.rc, KC_OK);
	assert_string_equal(asked(), "urgent");
	say(IPC_RESULT, json_pack("{s:s, s:s}", "rc", "KC_ENOSPC", "error", "no room at all"));
	assert_int_equal(c.rc, KC_ENOSPC);
	assert_string_equal(c.text, "no room at all");
	assert_string_equal(asked(), "two");
	assert_false(jobs_idle(w.jobs));
	say(IPC_RESULT, json_pack("{s:s}", "rc", "KC_OK"));
	assert_int_equal(b.done, 1);
	assert_true(jobs_idle(w.jobs));
}

static void jobs__added_by_a_done_function__runs_next(void **state)
{
	struct note after = { 0 }, a = { .then = json_pack("{s:s}", "verb", "after"), .then_note = &after };

	(void)state;
	add(&a, "one");
	assert_string_equal(asked(), "one");
	say(IPC_RESULT, json_pack("{s:s}", "rc", "KC_OK"));
	assert_string_equal(asked(), "after");
	say(IPC_RESULT, json_pack("{s:s}", "rc", "KC_OK"));
	assert_int_equal(after.done, 1);
}

static void ask__in_the_middle__is_answered(void **state)
{
	struct note a = { 0 };
	enum ipc_type type;
	json_t *body = NULL;

	(void)state;
	add(&a, "one");
	assert_string_equal(asked(), "one");
	say(IPC_ASK, json_pack("{s:s}", "ask", "generation"));
	assert_int_equal(ipc_recv(&type, &body, w.fd, 0), KC_OK);
	assert_int_equal(type, IPC_ANSWER);
	assert_int_equal(json_integer_value(json_object_get(body, "generation")), 7);
	json_decref(body);
	say(IPC_ASK, json_pack("{s:s}", "refuse", "this"));
	assert_int_equal(ipc_recv(&type, &body, w.fd, 0), KC_OK);
	assert_int_equal(ipc_result_code(body), KC_EFAIL);
	json_decref(body);
	assert_int_equal(a.asks, 2);
	assert_int_equal(a.done, 0);
	jobs_cancel(w.jobs); /* before what it tells is gone */
}

static void result__without_a_job__is_dropped(void **state)
{
	struct note a = { 0 };

	(void)state;
	say(IPC_RESULT, json_pack("{s:s}", "rc", "KC_OK"));
	add(&a, "one");
	assert_string_equal(asked(), "one");
	assert_int_equal(a.done, 0);
	jobs_cancel(w.jobs);
}

/* --- deaths --- */

static void death__between_ask_and_result__fails_that_job_only(void **state)
{
	struct note a = { 0 }, b = { 0 };

	(void)state;
	add(&a, "one");
	add(&b, "two");
	assert_string_equal(asked(), "one");
	say(IPC_ASK, json_pack("{s:s}", "ask", "intent"));
	die();
	assert_int_equal(a.done, 1);
	assert_int_equal(a.rc, KC_EWORKER);
	assert_non_null(strstr(a.text, "signal 9"));
	assert_int_equal(b.done, 0);
	assert_int_equal(w.events, 1);
	assert_int_equal(w.fatal, 0);
	loop_fake_advance(w.loop, 100);
	pump();
	assert_int_equal(w.spawned, 2);
	assert_string_equal(asked(), "two");
	say(IPC_RESULT, json_pack("{s:s}", "rc", "KC_OK"));
	assert_int_equal(b.rc, KC_OK);
}

static void death__while_idle__costs_no_job(void **state)
{
	struct note a = { 0 };

	(void)state;
	die();
	assert_int_equal(w.events, 1);
	add(&a, "one"); /* waits for the new worker */
	assert_int_equal(a.done, 0);
	loop_fake_advance(w.loop, 100);
	assert_string_equal(asked(), "one");
	jobs_cancel(w.jobs);
}

static void death__again_and_again_without_work__backs_off(void **state)
{
	uint64_t wait = 100;

	(void)state;
	for (unsigned i = 0; i < 12; i++) {
		die();
		loop_fake_advance(w.loop, wait - 1);
		pump();
		assert_int_equal(w.spawned, i + 1);
		loop_fake_advance(w.loop, 1);
		pump();
		assert_int_equal(w.spawned, i + 2);
		wait = wait * 2 > 30000 ? 30000 : wait * 2;
	}
}

static void death__after_work__is_made_good_at_once(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		struct note a = { 0 };

		add(&a, "one");
		assert_string_equal(asked(), "one");
		say(IPC_RESULT, json_pack("{s:s}", "rc", "KC_OK"));
		die();
		loop_fake_advance(w.loop, 100);
		pump();
		assert_int_equal(w.spawned, i + 2);
	}
}

static void restart__that_fails__is_fatal(void **state)
{
	(void)state;
	die();
	w.spawn_rc = KC_EWORKER;
	loop_fake_advance(w.loop, 100);
	pump();
	assert_int_equal(w.fatal, 1);
	assert_string_equal(w.why, "no worker today");
}

/* --- stalls --- */

static void stall__no_progress__kills_and_says_so(void **state)
{
	struct note a = { 0 };

	(void)state;
	add(&a, "one");
	assert_string_equal(asked(), "one");
	loop_fake_advance(w.loop, STALL_MS - 1);
	pump();
	say(IPC_PROGRESS, json_pack("{s:b}", "alive", 1));
	loop_fake_advance(w.loop, STALL_MS - 1);
	pump();
	assert_int_equal(a.done, 0);
	assert_int_equal(kill(w.pid, 0), 0);
	loop_fake_advance(w.loop, 1);
	pump();
	die();
	assert_int_equal(a.done, 1);
	assert_int_equal(a.rc, KC_ETIMEOUT);
	assert_non_null(strstr(a.text, "no progress for 60 s"));
}

static void stall__idle_worker__is_left_alone(void **state)
{
	struct note a = { 0 };

	(void)state;
	add(&a, "one");
	assert_string_equal(asked(), "one");
	say(IPC_RESULT, json_pack("{s:s}", "rc", "KC_OK"));
	loop_fake_advance(w.loop, 100 * STALL_MS);
	pump();
	assert_int_equal(w.events, 0);
	assert_int_equal(kill(w.pid, 0), 0);
}

/* --- the end --- */

static void cancel__everything_queued__is_done_once(void **state)
{
	struct note late = { 0 };
	struct note a = { .then = json_pack("{s:s}", "verb", "late"), .then_note = &late }, b = { 0 };

	(void)state;
	add(&a, "one");
	add(&b, "two");
	assert_string_equal(asked(), "one");
	jobs_cancel(w.jobs);
	assert_int_equal(a.done, 1);
	assert_int_equal(a.rc, KC_ECANCELED);
	assert_int_equal(b.done, 1);
	assert_int_equal(late.done, 1);
	assert_int_equal(late.rc, KC_ECANCELED);
	say(IPC_RESULT, json_pack("{s:s}", "rc", "KC_OK")); /* too late: nobody hears it */
	assert_int_equal(a.done, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(jobs__several__run_one_at_a_time_in_order),
		T(jobs__added_by_a_done_function__runs_next),
		T(ask__in_the_middle__is_answered),
		T(result__without_a_job__is_dropped),
		T(death__between_ask_and_result__fails_that_job_only),
		T(death__while_idle__costs_no_job),
		T(death__again_and_again_without_work__backs_off),
		T(death__after_work__is_made_good_at_once),
		T(restart__that_fails__is_fatal),
		T(stall__no_progress__kills_and_says_so),
		T(stall__idle_worker__is_left_alone),
		T(cancel__everything_queued__is_done_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
