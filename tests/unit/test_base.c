/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of base: err, buf, file, loop, ipc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/ipc.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"

static char dir[64];

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/kc-test-base.XXXXXX");
	return mem_init() == KC_OK && mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	return file_remove_tree(dir) == KC_OK ? 0 : -1;
}

static void err__message_of_another_code__is_not_shown(void **state)
{
	(void)state;
	assert_int_equal(err_set(KC_EBUSY, "database %s is locked", "k"), KC_EBUSY);
	assert_string_equal(err_text(KC_EBUSY), "database k is locked");
	assert_string_equal(err_text(KC_ENOSPC), "no room");
	assert_int_equal(err_exit_status(KC_EPASSWORD), 65);
	assert_true(err_retryable(KC_EBUSY));
	assert_false(err_retryable(KC_EDAMAGED));
	assert_int_equal(err_from_name("KC_EDIVERGED"), KC_EDIVERGED);
}

static void err__prefix__keeps_the_reason(void **state)
{
	(void)state;
	err_set(KC_ENET, "refused");
	assert_int_equal(err_prefix(KC_ENET, "10.0.0.5:%d", 2222), KC_ENET);
	assert_string_equal(err_text(KC_ENET), "10.0.0.5:2222: refused");
}

static void err__control_characters__become_harmless(void **state)
{
	(void)state;
	err_set(KC_EPROTO, "peer said %s", "a\nb\x1b[2J");
	assert_string_equal(err_text(KC_EPROTO), "peer said a?b?[2J");
}

static void str__what_terminals_obey__becomes_harmless(void **state)
{
	static const struct {
		const char *from, *to;
	} cases[] = {
		{ "plain text", "plain text" },
		{ "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x94\x91",
		    "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x94\x91" },
		{ "\033[31mred\007", "?[31mred?" },
		{ "csi \xc2\x9b"
		  "31m",
		    "csi ??31m" }, /* C1 in UTF-8 */
		{ "csi \x9b"
		  "31m",
		    "csi ?31m" },			 /* and alone */
		{ "line\xe2\x80\xa8two", "line???two" }, /* U+2028 */
		{ "\xe2\x80\xaegpj.exe", "???gpj.exe" }, /* right to left */
		{ "cut \xe2\x82", "cut ??" },
		{ "\xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80", "?? ??? ????" }, /* overlong, surrogate, beyond */
	};
	char text[64];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		STR_COPY(text, cases[i].from);
		assert_string_equal(str_printable(text), cases[i].to);
	}
	/* a message is cut at its end, not within a character */
	err_set(KC_EFAIL, "%s\xe2\x80\xae", "name");
	assert_string_equal(err_text(KC_EFAIL), "name???");
}

static void buf__over_its_cap__fails_and_sticks(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 8);
	buf_put_u32(&b, 1);
	buf_put_u32(&b, 2);
	assert_int_equal(buf_status(&b), KC_OK);
	buf_put_u8(&b, 3);
	assert_int_equal(buf_status(&b), KC_ELIMIT);
	buf_put_u8(&b, 4);
	assert_int_equal(buf_status(&b), KC_ELIMIT);
	buf_fini(&b);
}

static void buf__reads_past_the_end__give_zero(void **state)
{
	struct buf b;

	(void)state;
	buf_view(&b, "\0\0\1\2\3", 5);
	assert_int_equal(buf_get_u32(&b), 0x102);
	assert_int_equal(buf_get_u32(&b), 0);
	assert_int_equal(buf_get_u8(&b), 0);
	assert_int_equal(buf_status(&b), KC_ELIMIT);
}

static void buf__consume_and_refill__keeps_order(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b, 300);
	for (int i = 0; i < 1000; i++) {
		buf_putf(&b, "%03d,", i);
		if (i >= 50)
			assert_memory_equal(buf_get(&b, 1), (char[]){ (char)('0' + (i - 50) / 100) }, 1),
			    buf_consume(&b, 3);
	}
	assert_int_equal(buf_status(&b), KC_OK);
	assert_int_equal(buf_len(&b), 200);
	buf_fini(&b);
}

static void file__replace__leaves_no_litter_and_the_mode(void **state)
{
	char *path = file_join(dir, "a");
	struct file_new f = FILE_NEW_EMPTY;
	struct stat st;
	struct buf b;

	(void)state;
	assert_int_equal(file_replace(path, "one", 3, 0600), KC_OK);
	assert_int_equal(file_new_begin(&f, path, 0600), KC_OK);
	file_new_write(&f, "two", 3);
	file_new_abort(&f);
	buf_init(&b, 2);
	assert_int_equal(file_read(&b, path), KC_ELIMIT);
	buf_fini(&b);
	buf_init(&b, 100);
	assert_int_equal(file_read_secret(&b, path), KC_OK);
	assert_string_equal(buf_str(&b), "one");
	buf_fini(&b);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(chmod(path, 0640), 0);
	buf_init(&b, 100);
	assert_int_equal(file_read_secret(&b, path), KC_EPERM);
	buf_fini(&b);
	assert_int_equal(file_new_begin(&f, path, 0600), KC_OK);
	assert_int_equal(file_new_commit_excl(&f), KC_EEXIST);
	assert_int_equal(file_remove(path), KC_OK);
	assert_int_equal(file_remove(path), KC_OK);
	assert_int_equal(rmdir(dir), 0); /* no litter */
	assert_int_equal(mkdir(dir, 0700), 0);
	free(path);
}

static void file__lock_held__is_refused_with_the_holder(void **state)
{
	char *path = file_join(dir, "lock");
	int a = -1, b = -1;
	char pid[16];

	(void)state;
	snprintf(pid, sizeof(pid), "%d", getpid());
	assert_int_equal(file_lock(&a, path), KC_OK);
	assert_int_equal(file_lock(&b, path), KC_ELOCKED);
	assert_non_null(strstr(err_text(KC_ELOCKED), pid));
	close(a);
	assert_int_equal(file_lock(&b, path), KC_OK);
	close(b);
	free(path);
}

/* What somebody else may have prepared in his directory, before root comes along. */
static void file__own__takes_no_link_and_no_second_name(void **state)
{
	char *victim = file_join(dir, "victim"), *path = file_join(dir, "mine");
	struct stat st;
	int fd = -1;

	(void)state;
	assert_int_equal(file_replace(victim, "precious", 8, 0644), KC_OK);
	assert_int_equal(symlink(victim, path), 0);
	assert_int_not_equal(file_open_own(&fd, path, O_RDWR | O_CREAT), KC_OK);
	assert_int_not_equal(file_lock(&fd, path), KC_OK);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(link(victim, path), 0);
	assert_int_equal(file_open_own(&fd, path, O_RDWR | O_CREAT), KC_EPERM);
	assert_int_equal(file_lock(&fd, path), KC_EPERM);
	assert_int_equal(stat(victim, &st), 0);
	assert_int_equal(st.st_size, 8);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_not_equal(file_open_own(&fd, path, O_RDWR | O_CREAT), KC_OK); /* and does not wait */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(file_open_own(&fd, path, O_RDWR | O_CREAT), KC_OK);
	close(fd);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(unlink(victim), 0);
	free(victim);
	free(path);
}

static void ipc__listen__has_its_mode_from_the_beginning(void **state)
{
	char *path = file_join(dir, "control.sock");
	struct stat st;
	mode_t before = umask(022);
	int fd = -1;

	(void)state;
	assert_int_equal(ipc_listen(&fd, path, 0660), KC_OK);
	assert_int_equal(umask(before), 022);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0660);
	close(fd);
	assert_int_equal(unlink(path), 0);
	free(path);
}

static void count(void *arg)
{
	++*(int *)arg;
}

static void loop__fake_clock__fires_in_order_and_only_when_due(void **state)
{
	struct loop *l = loop_new();
	int a = 0, b = 0;
	struct loop_timer *ta = loop_timer_new(l, count, &a), *tb = loop_timer_new(l, count, &b);

	(void)state;
	loop_fake_clock(l, 1000);
	loop_timer_set(ta, 100);
	loop_timer_set(tb, 50);
	loop_turn(l, 0);
	assert_int_equal(a + b, 0);
	loop_fake_advance(l, 60);
	loop_turn(l, 0);
	assert_int_equal(b, 1);
	assert_int_equal(a, 0);
	loop_timer_set(tb, 1000000);
	loop_fake_advance(l, 60);
	loop_turn(l, 0);
	assert_int_equal(a, 1);
	assert_true(loop_timer_is_set(tb));
	loop_timer_free(ta);
	loop_timer_free(tb);
	loop_free(l);
}

struct echo {
	struct ipc_peer *peer;
	int messages;
	int closed;
};

static void on_msg(struct ipc_peer *p, enum ipc_type type, json_t *body, void *arg)
{
	struct echo *e = arg;

	assert_int_equal(type, IPC_REQUEST);
	e->messages++;
	ipc_peer_send(p, IPC_RESULT, body);
}

static void on_close(struct ipc_peer *p, void *arg)
{
	struct echo *e = arg;

	e->closed++;
	ipc_peer_free(p);
}

static void ipc__messages_and_close__arrive(void **state)
{
	struct loop *l = loop_new();
	struct echo e = { 0 };
	enum ipc_type type;
	json_t *j = json_pack("{s:s}", "verb", "status"), *back = NULL;
	int fds[2];

	(void)state;
	assert_int_equal(ipc_pair(fds), KC_OK);
	e.peer = ipc_peer_new(l, fds[0], on_msg, on_close, &e);
	assert_int_equal(ipc_send(fds[1], IPC_REQUEST, j), KC_OK);
	assert_int_equal(ipc_send(fds[1], IPC_REQUEST, j), KC_OK);
	loop_turn(l, 100);
	assert_int_equal(e.messages, 2);
	assert_int_equal(ipc_recv(&type, &back, fds[1], 1000), KC_OK);
	assert_true(json_equal(back, j));
	json_decref(back);
	close(fds[1]);
	for (int i = 0; i < 10 && !e.closed; i++)
		loop_turn(l, 100);
	assert_int_equal(e.closed, 1);
	json_decref(j);
	loop_free(l);
}

static void ipc__garbage__closes(void **state)
{
	struct loop *l = loop_new();
	struct echo e = { 0 };
	int fds[2];

	(void)state;
	assert_int_equal(ipc_pair(fds), KC_OK);
	e.peer = ipc_peer_new(l, fds[0], on_msg, on_close, &e);
	assert_int_equal(write(fds[1], "\xff\xff\xff\xffQ{}", 7), 7);
	for (int i = 0; i < 10 && !e.closed; i++)
		loop_turn(l, 100);
	assert_int_equal(e.closed, 1);
	assert_int_equal(e.messages, 0);
	close(fds[1]);
	loop_free(l);
}

/* A request of 1000 bytes is answered by as much. Answers are not read. */
static void ipc__limits__end_who_takes_nothing_and_who_says_too_much(void **state)
{
	struct loop *l = loop_new();
	struct echo e = { 0 };
	char text[1000];
	json_t *j, *large;
	int fds[2];

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	j = json_pack("{s:s}", "verb", text);
	assert_int_equal(ipc_pair(fds), KC_OK);
	e.peer = ipc_peer_new(l, fds[0], on_msg, on_close, &e);
	ipc_peer_limit(e.peer, 2000, 100000);
	for (int i = 0; i < 2000 && !e.closed; i++) {
		if (ipc_send(fds[1], IPC_REQUEST, j) < 0)
			break;
		loop_turn(l, 0);
	}
	for (int i = 0; i < 10 && !e.closed; i++)
		loop_turn(l, 100);
	assert_int_equal(e.closed, 1);
	assert_in_range(e.messages, 100, 1999);
	close(fds[1]);
	e = (struct echo){ 0 };
	assert_int_equal(ipc_pair(fds), KC_OK);
	e.peer = ipc_peer_new(l, fds[0], on_msg, on_close, &e);
	ipc_peer_limit(e.peer, 2000, 100000);
	large = json_pack("{s:s, s:s, s:s}", "a", text, "b", text, "c", text);
	assert_int_equal(ipc_send(fds[1], IPC_REQUEST, large), KC_OK);
	for (int i = 0; i < 10 && !e.closed; i++)
		loop_turn(l, 100);
	assert_int_equal(e.closed, 1);
	assert_int_equal(e.messages, 0);
	close(fds[1]);
	json_decref(large);
	json_decref(j);
	loop_free(l);
}

static void hex__all_bytes__are_two_lower_case_digits(void **state)
{
	uint8_t bytes[256];
	char hex[513], expected[3];

	(void)state;
	for (unsigned i = 0; i < 256; i++)
		bytes[i] = (uint8_t)i;
	hex_encode(hex, bytes, sizeof(bytes));
	assert_int_equal(strlen(hex), 512);
	for (unsigned i = 0; i < 256; i++) {
		snprintf(expected, sizeof(expected), "%02x", i);
		assert_memory_equal(hex + 2 * i, expected, 2);
	}
	hex_encode(hex, bytes, 0);
	assert_string_equal(hex, "");
}

static void clock__utc__comes_back(void **state)
{
	static const int64_t moments[] = { 0, 1, 951782400, 1781880659, 253402300799 };
	static const char *const wrong[] = { "", "2026-06-19", "2026-06-19T14:50:59", "2026-06-19 14:50:59Z",
		"2026-02-31T00:00:00Z", "2026-6-19T14:50:59Z", " 2026-06-19T14:50:59Z", "2026-06-19T14:50:59Zx",
		"1969-12-31T23:59:58Z" };
	char span[CLOCK_SPAN_SIZE];
	char text[CLOCK_UTC_SIZE];
	int64_t t = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
		assert_int_equal(clock_parse_utc(&t, clock_utc(text, moments[i])), KC_OK);
		assert_int_equal(t, moments[i]);
	}
	assert_string_equal(clock_utc(text, 1781880659), "2026-06-19T14:50:59Z");
	assert_string_equal(clock_utc(text, INT64_MAX), "-");
	assert_string_equal(clock_span(span, 1), "1 second");
	assert_string_equal(clock_span(span, -119), "119 seconds");
	assert_string_equal(clock_span(span, 120), "2 minutes");
	assert_string_equal(clock_span(span, 7200), "2 hours");
	assert_string_equal(clock_span(span, -31536000), "365 days");
	assert_string_equal(clock_span(span, INT64_MIN), "106751991167300 days");
	t = 7;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(clock_parse_utc(&t, wrong[i]), KC_EFORMAT);
	assert_int_equal(t, 7);
}

static void clock__lap__begins_anew(void **state)
{
	uint64_t since = clock_ms() - 5000;

	(void)state;
	assert_in_range(clock_lap(&since), 5000, 60000);
	assert_in_range(clock_lap(&since), 0, 4000);
}

static void member__missing_or_of_another_type__is_nothing(void **state)
{
	json_t *o = json_pack("{s:s, s:i, s:i, s:n}", "text", "a", "number", 7, "negative", -1, "null");

	(void)state;
	assert_string_equal(member_text(o, "text"), "a");
	assert_string_equal(member_text(o, "number"), "");
	assert_string_equal(member_text(o, "null"), "");
	assert_string_equal(member_text(NULL, "text"), "");
	assert_int_equal(member_int(o, "negative"), -1);
	assert_int_equal(member_int(o, "text"), 0);
	assert_int_equal(member_u64(o, "number"), 7);
	assert_int_equal(member_u64(o, "negative"), 0);
	json_decref(o);
}

static void base64__what_is_not_strict__is_refused(void **state)
{
	static const char *const wrong[] = { "YQ", "YQ=", "Y Q=", "YQ==\n", "YQ==x", "\xc3\xa9==", "YR==" };
	char out[8], *text = base64_encode("a", 1);
	size_t n = 0;

	(void)state;
	assert_string_equal(text, "YQ==");
	assert_int_equal(base64_decode(out, &n, sizeof(out), "YQ==YQ==", 4), KC_OK);
	assert_int_equal(n, 1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(base64_decode(out, &n, sizeof(out), wrong[i], strlen(wrong[i])), KC_EFORMAT);
	assert_int_equal(base64_decode(out, &n, 2, "YWJjZGVm", 8), KC_ELIMIT);
	free(text);
}

static void file__no_room__says_both_figures(void **state)
{
	(void)state;
	assert_int_equal(file_need_space("/tmp", 1, "a test"), KC_OK);
	assert_int_equal(file_need_space("/tmp", UINT64_MAX, "a test"), KC_ENOSPC);
	assert_non_null(strstr(err_text(KC_ENOSPC), "/tmp: a test needs 18446744073709551615 bytes, "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(err__message_of_another_code__is_not_shown),
		cmocka_unit_test(err__prefix__keeps_the_reason),
		cmocka_unit_test(err__control_characters__become_harmless),
		cmocka_unit_test(str__what_terminals_obey__becomes_harmless),
		cmocka_unit_test(buf__over_its_cap__fails_and_sticks),
		cmocka_unit_test(buf__reads_past_the_end__give_zero),
		cmocka_unit_test(buf__consume_and_refill__keeps_order),
		cmocka_unit_test(file__replace__leaves_no_litter_and_the_mode),
		cmocka_unit_test(file__lock_held__is_refused_with_the_holder),
		cmocka_unit_test(file__own__takes_no_link_and_no_second_name),
		cmocka_unit_test(ipc__listen__has_its_mode_from_the_beginning),
		cmocka_unit_test(loop__fake_clock__fires_in_order_and_only_when_due),
		cmocka_unit_test(ipc__messages_and_close__arrive),
		cmocka_unit_test(ipc__garbage__closes),
		cmocka_unit_test(ipc__limits__end_who_takes_nothing_and_who_says_too_much),
		cmocka_unit_test(hex__all_bytes__are_two_lower_case_digits),
		cmocka_unit_test(clock__utc__comes_back),
		cmocka_unit_test(clock__lap__begins_anew),
		cmocka_unit_test(member__missing_or_of_another_type__is_nothing),
		cmocka_unit_test(base64__what_is_not_strict__is_refused),
		cmocka_unit_test(file__no_room__says_both_figures),
	};

	return cmocka_run_group_tests_name("base", tests, setup, teardown);
}
