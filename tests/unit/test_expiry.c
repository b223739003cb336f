/* SPDX-License-Identifier: Apache-2.0 */
/* expiry: what is said of the end of a certificate, and when, by clocks that the test holds. */
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
#include "base/file.h"
#include "base/mem.h"
#include "base/member.h"
#include "daemon/alert.h"
#include "daemon/daemon.h"
#include "daemon/expiry.h"
#include "daemon/master.h"

#define DAY   ((int64_t)86400)
#define START ((int64_t)1800000000)

static struct world {
	char dir[64];
	struct daemon d;
	struct conf conf;
	unsigned audited, raised, cleared, warnings;
	char detail[800], last[800];
	int64_t clone; /* the end of a clone's certificate */
	int64_t now;
} w;

time_t __wrap_time(time_t *t);
time_t __wrap_time(time_t *t)
{
	if (t != NULL)
		*t = (time_t)w.now;
	return (time_t)w.now;
}

int daemon_audit(struct daemon *d, const struct audit_record *r)
{
	(void)d;
	assert_int_equal(r->event, AUDIT_CERT_EXPIRING);
	w.audited++;
	snprintf(w.detail, sizeof(w.detail), "%s", r->detail);
	return KC_OK;
}

void master_each_certificate(
    const struct master *m, void (*each)(const char *name, int64_t not_after, void *arg), void *arg)
{
	(void)m;
	each("10.0.0.5:2222", w.clone, arg);
}

static void told(enum alert_kind kind, const struct state_alert *a, bool raised, void *arg)
{
	(void)arg;
	assert_int_equal(kind, ALERT_CERT_EXPIRING);
	if (raised)
		w.raised++;
	else
		w.cleared++;
	snprintf(w.last, sizeof(w.last), "%s: %s", a->subject, a->text);
}

static void sink(enum log_level level, const char *text, void *arg)
{
	(void)text, (void)arg;
	w.warnings += level == LOG_LVL_WARN;
}

static void own_until(int64_t end)
{
	json_decref(w.d.certificate);
	w.d.certificate = json_pack("{s:s, s:s, s:o}", "alias", "tls", "sha256", "ab", "not_after", member_time(end));
}

static void begin(void)
{
	assert_int_equal(state_open(&w.d.state, w.dir, true), KC_OK);
	assert_int_equal(alerts_new(&w.d.alerts, w.d.state, told, NULL), KC_OK);
	w.d.expiry = expiry_new(&w.d);
}

static void end(void)
{
	expiry_free(w.d.expiry);
	alerts_free(w.d.alerts);
	state_close(w.d.state);
}

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	w.now = START;
	snprintf(w.dir, sizeof(w.dir), "/tmp/kc-expiry.XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	assert_int_equal(mem_init(), KC_OK);
	log_set_sink(sink, NULL);
	w.conf.truststore_dir = mem_xasprintf("%s/truststore", w.dir);
	w.d.conf = &w.conf;
	w.d.loop = loop_new();
	loop_fake_clock(w.d.loop, 1000);
	own_until(START + 365 * DAY);
	w.d.master = (struct master *)&w; /* it is only asked by the function above */
	begin();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	end();
	loop_free(w.d.loop);
	json_decref(w.d.certificate);
	free(w.conf.truststore_dir);
	log_set_sink(NULL, NULL);
	return file_remove_tree(w.dir);
}

/* Both clocks go on, an hour at a time. */
static void pass(int64_t seconds)
{
	while (seconds > 0) {
		int64_t step = seconds < 3600 ? seconds : 3600;

		w.now += step;
		seconds -= step;
		loop_fake_advance(w.d.loop, (uint64_t)step * 1000);
		loop_turn(w.d.loop, 0);
	}
}

static void each_step__is_said_once(void **state)
{
	static const int64_t days[] = { 60, 30, 15, 7, 3, 1, 0 };
	int64_t ends = START + 62 * DAY;

	(void)state;
	own_until(ends);
	expiry_look(w.d.expiry);
	assert_int_equal(w.audited, 0);
	for (unsigned i = 0; i < 7; i++) {
		pass(ends - days[i] * DAY - w.now - 3600);
		assert_int_equal(w.audited, i);
		pass(3660);
		assert_int_equal(w.audited, i + 1);
		assert_int_equal(w.raised, i + 1);
		assert_int_equal(w.warnings, i + 1);
	}
	assert_string_equal(w.detail, "this machine (tls): it ended at 2027-03-18T08:00:00Z, 60 seconds ago");
	pass(90 * DAY);
	assert_int_equal(w.audited, 7);
	assert_int_equal(w.cleared, 0);
}

static void restart__says_nothing_again(void **state)
{
	(void)state;
	w.clone = START + 20 * DAY;
	expiry_look(w.d.expiry);
	assert_int_equal(w.raised, 1);
	assert_string_equal(w.last, "10.0.0.5:2222: it ends at 2027-02-04T08:00:00Z, in 20 days");
	end();
	begin();
	expiry_look(w.d.expiry);
	assert_int_equal(w.raised, 1);
	pass(6 * DAY);
	assert_int_equal(w.raised, 2);
	assert_int_equal(w.audited, 2);
}

static void another_certificate__clears_it(void **state)
{
	json_t *list;

	(void)state;
	w.clone = START + 2 * DAY;
	expiry_look(w.d.expiry);
	assert_int_equal(w.raised, 1);
	list = expiry_json(w.d.expiry);
	assert_int_equal(json_array_size(list), 1);
	assert_int_equal(member_int(json_array_get(list, 0), "days_left"), 2);
	json_decref(list);
	w.clone = START + 400 * DAY;
	expiry_look(w.d.expiry);
	assert_int_equal(w.cleared, 1);
	/* One that ends soon as well is another one. */
	w.clone = START + 3 * DAY;
	expiry_look(w.d.expiry);
	w.clone = START + 2 * DAY;
	expiry_look(w.d.expiry);
	assert_int_equal(w.raised, 3);
}

static void shared__is_said_once(void **state)
{
	(void)state;
	own_until(START + 10 * DAY);
	w.clone = START + 10 * DAY;
	expiry_look(w.d.expiry);
	assert_int_equal(w.audited, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_step__is_said_once, setup, teardown),
		cmocka_unit_test_setup_teardown(restart__says_nothing_again, setup, teardown),
		cmocka_unit_test_setup_teardown(another_certificate__clears_it, setup, teardown),
		cmocka_unit_test_setup_teardown(shared__is_said_once, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
