/* SPDX-License-Identifier: Apache-2.0 */
/* renew: when which source is tried, how often, and what is said of it, by clocks that the test holds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "daemon/clone.h"
#include "daemon/control.h"
#include "daemon/daemon.h"
#include "daemon/renew_int.h"
#include "daemon/rotate.h"

#define DAY   ((int64_t)86400)
#define START ((int64_t)1800000000)

static struct world {
	struct daemon d;
	struct conf conf;
	int64_t now;
	int64_t not_before, not_after;
	bool authority, role, rotating;
	const char *shared;
	struct renew *r;
	/* what comes of the next tries of each source, and how many there were */
	int rc[RENEW_SOURCES];
	unsigned tried[RENEW_SOURCES];
	unsigned warnings, audited, failures, taken, greeted, answers;
	char warning[600];
	int answer_rc;
} w;

/* --- what is beside it --- */

time_t __wrap_time(time_t *t);
time_t __wrap_time(time_t *t)
{
	if (t != NULL)
		*t = (time_t)w.now;
	return (time_t)w.now;
}

int own_cert_load(struct own_cert *own, const struct conf *c)
{
	(void)c;
	*own = (struct own_cert){ .alias = mem_xstrdup("tls"), .authority = w.authority, .role = w.role };
	own->info.not_before = (time_t)w.not_before;
	own->info.not_after = (time_t)w.not_after;
	snprintf(own->info.sha256, sizeof(own->info.sha256), "%064llx", (unsigned long long)w.not_after);
	return KC_OK;
}

void own_cert_fini(struct own_cert *own)
{
	free(own->alias);
	*own = (struct own_cert){ 0 };
}

const char *own_cert_obstacle(const struct own_cert *own)
{
	return !own->authority ? "it is not of the installation's own authority" : !own->role ? "it is shared" : NULL;
}

int64_t own_cert_due(const struct cert_info *info)
{
	return (int64_t)info->not_after - ((int64_t)info->not_after - (int64_t)info->not_before) / 3;
}

const char *renew_shared_with(const struct renew *r)
{
	(void)r;
	return w.shared;
}

void renew_step(struct renew *r)
{
	json_t *result = json_pack("{s:s, s:s}", "sha256", "ab", "not_after", "2030-01-01T00:00:00Z");
	int rc = w.rc[r->source];

	w.tried[r->source]++;
	if (rc == KC_OK) {
		w.not_before = w.now;
		w.not_after = w.now + 90 * DAY;
	} else {
		err_set(rc, "no luck");
	}
	renew_over(r, rc, result);
	json_decref(result);
}

int daemon_audit(struct daemon *d, const struct audit_record *r)
{
	(void)d;
	assert_int_equal(r->event, AUDIT_CERT_RENEW);
	w.audited++;
	w.failures += r->outcome == AUDIT_FAILURE;
	return KC_OK;
}

int daemon_reload_credentials(struct daemon *d, const char *why)
{
	(void)d, (void)why;
	w.taken++;
	return KC_OK;
}

void clone_greet_anew(struct clone_role *c)
{
	(void)c;
	w.greeted++;
}

bool rotate_is_active(const struct rotate *x)
{
	(void)x;
	return w.rotating;
}

void control_answer(struct control_client *c, json_t *result)
{
	(void)c;
	w.answers++;
	w.answer_rc = err_from_name(member_text(result, "rc"));
	json_decref(result);
}

void control_on_gone(struct control_client *c, void (*gone)(struct control_client *c, void *arg), void *arg)
{
	(void)c, (void)gone, (void)arg;
}

static void sink(enum log_level level, const char *text, void *arg)
{
	(void)arg;
	if (level != LOG_LVL_WARN)
		return;
	w.warnings++;
	snprintf(w.warning, sizeof(w.warning), "%s", text);
}

/* --- the world --- */

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	assert_int_equal(mem_init(), KC_OK);
	log_set_sink(sink, NULL);
	w.now = START;
	w.not_before = START;
	w.not_after = START + 90 * DAY;
	w.authority = w.role = true;
	w.rc[RENEW_DEPOT] = w.rc[RENEW_EXTERNAL] = KC_ENOENT;
	w.conf.retry_min_ms = 5000;
	w.d.conf = &w.conf;
	w.d.clone = (struct clone_role *)&w; /* only the functions above are asked */
	w.d.loop = loop_new();
	loop_fake_clock(w.d.loop, 1000);
	w.d.renew = w.r = renew_new(&w.d);
	renew_look(w.r);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	renew_free(w.r);
	loop_free(w.d.loop);
	log_set_sink(NULL, NULL);
	return 0;
}

static void turn(void)
{
	for (unsigned i = 0; i < 10; i++) {
		loop_fake_advance(w.d.loop, 0);
		loop_turn(w.d.loop, 0);
	}
}

/* Both clocks go on, at most an hour at a time. */
static void pass(int64_t seconds)
{
	turn();
	while (seconds > 0) {
		int64_t step = seconds < 3600 ? seconds : 3600;

		w.now += step;
		seconds -= step;
		loop_fake_advance(w.d.loop, (uint64_t)step * 1000);
		turn();
	}
}

/* --- tests --- */

static void authority__at_two_thirds_of_the_life__and_again(void **state)
{
	(void)state;
	pass(60 * DAY - 7200);
	assert_int_equal(w.tried[RENEW_AUTHORITY], 0);
	pass(7200 + 60);
	assert_int_equal(w.tried[RENEW_AUTHORITY], 1);
	assert_int_equal(w.taken, 1);
	pass(59 * DAY);
	assert_int_equal(w.tried[RENEW_AUTHORITY], 1);
	pass(DAY + 3600);
	assert_int_equal(w.tried[RENEW_AUTHORITY], 2);
	assert_int_equal(w.warnings, 0);
	assert_int_equal(w.tried[RENEW_DEPOT], 0);
	assert_int_equal(w.tried[RENEW_EXTERNAL], 0);
}

static void authority__of_a_life_of_a_minute__in_time(void **state)
{
	(void)state;
	w.not_after = START + 60;
	for (unsigned i = 0; i < 39; i++)
		pass(1);
	assert_int_equal(w.tried[RENEW_AUTHORITY], 0);
	pass(1);
	pass(1);
	assert_int_equal(w.tried[RENEW_AUTHORITY], 1);
}

static void authority__that_refuses__is_told_once_a_day(void **state)
{
	(void)state;
	w.rc[RENEW_AUTHORITY] = KC_EPERM;
	pass(61 * DAY);
	assert_int_equal(w.warnings, 1);
	assert_int_equal(w.failures, 1);
	assert_non_null(
	    strstr(w.warning, "certificate tls is not renewed by the own authority: no luck; it ends in 30 days"));
	assert_true(w.tried[RENEW_AUTHORITY] > 5);
	assert_true(w.tried[RENEW_AUTHORITY] < 30);
	assert_non_null(renew_warning(w.r, 0));
	assert_null(renew_warning(w.r, 1));
	pass(2 * DAY);
	assert_true(w.warnings >= 2 && w.warnings <= 4);
	w.rc[RENEW_AUTHORITY] = KC_OK;
	pass(2 * DAY);
	assert_int_equal(w.taken, 1);
	assert_null(renew_warning(w.r, 0));
}

static void master__away__is_no_news_and_tried_when_heard(void **state)
{
	(void)state;
	w.rc[RENEW_AUTHORITY] = KC_ENET;
	pass(60 * DAY + 1);
	assert_int_equal(w.tried[RENEW_AUTHORITY], 1);
	assert_int_equal(w.warnings, 0);
	w.rc[RENEW_AUTHORITY] = KC_OK;
	renew_heard(w.r);
	turn();
	assert_int_equal(w.taken, 1);
}

static void shared_or_rotated__is_left_alone(void **state)
{
	(void)state;
	w.shared = "clone 10.0.0.5:2222 shows it as well";
	pass(70 * DAY);
	assert_int_equal(w.tried[RENEW_AUTHORITY], 0);
	w.shared = NULL;
	w.rotating = true;
	w.d.rotate = (struct rotate *)&w;
	pass(DAY);
	assert_int_equal(w.tried[RENEW_AUTHORITY], 0);
	renew_now(w.r, (struct control_client *)&w);
	assert_int_equal(w.answer_rc, KC_EBUSY);
	w.rotating = false;
	pass(3600);
	assert_int_equal(w.taken, 1);
}

static void external__from_sixty_days_daily(void **state)
{
	static char dir[] = "/x";

	(void)state;
	w.authority = false;
	w.conf.external_cert_dir = dir;
	w.not_after = START + 100 * DAY;
	renew_look(w.r);
	pass(39 * DAY);
	assert_int_equal(w.tried[RENEW_EXTERNAL], 1); /* the start */
	assert_int_equal(w.warnings, 0);
	pass(DAY + 3600);
	assert_int_equal(w.tried[RENEW_EXTERNAL], 2);
	assert_int_equal(w.warnings, 1);
	pass(10 * DAY);
	assert_int_equal(w.tried[RENEW_EXTERNAL], 12);
	assert_int_equal(w.warnings, 11);
	assert_int_equal(w.greeted, 11);
	w.rc[RENEW_EXTERNAL] = KC_OK;
	renew_look(w.r);
	turn();
	assert_int_equal(w.taken, 1);
	assert_null(renew_warning(w.r, 0));
}

static void depot__from_fifteen_days__is_quiet(void **state)
{
	(void)state;
	w.authority = false;
	pass(74 * DAY);
	assert_int_equal(w.tried[RENEW_DEPOT], 0);
	pass(3 * DAY);
	assert_true(w.tried[RENEW_DEPOT] >= 2);
	assert_int_equal(w.warnings + w.audited, 0);
}

static void asked_for__is_tried_at_once_and_answered(void **state)
{
	(void)state;
	renew_now(w.r, (struct control_client *)&w);
	turn();
	assert_int_equal(w.tried[RENEW_AUTHORITY], 1);
	assert_int_equal(w.answers, 1);
	assert_int_equal(w.answer_rc, KC_OK);
	renew_fetch(w.r, (struct control_client *)&w);
	turn();
	assert_int_equal(w.answers, 2);
	assert_int_equal(w.answer_rc, KC_ENOENT);
	w.authority = false;
	renew_now(w.r, (struct control_client *)&w);
	assert_int_equal(w.answers, 3);
	assert_int_equal(w.answer_rc, KC_ECERT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(authority__at_two_thirds_of_the_life__and_again, setup, teardown),
		cmocka_unit_test_setup_teardown(authority__of_a_life_of_a_minute__in_time, setup, teardown),
		cmocka_unit_test_setup_teardown(authority__that_refuses__is_told_once_a_day, setup, teardown),
		cmocka_unit_test_setup_teardown(master__away__is_no_news_and_tried_when_heard, setup, teardown),
		cmocka_unit_test_setup_teardown(shared_or_rotated__is_left_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(external__from_sixty_days_daily, setup, teardown),
		cmocka_unit_test_setup_teardown(depot__from_fifteen_days__is_quiet, setup, teardown),
		cmocka_unit_test_setup_teardown(asked_for__is_tried_at_once_and_answered, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
