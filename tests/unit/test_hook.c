/* SPDX-License-Identifier: Apache-2.0 */
/* hook_run: a command from its start to its end, with times made short at compile time (0.4 s, then 0.3 s). */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/ipc.h"
#include "base/member.h"
#include "daemon/hook.h"

static struct world {
	char dir[64];
	char *conf;
	int fd;
	pid_t pid;
	json_t *result;
} w;

static int setup(void **state)
{
	(void)state;
	memset(&w, 0, sizeof(w));
	w.fd = -1;
	snprintf(w.dir, sizeof(w.dir), "/tmp/kc-hook.XXXXXX");
	assert_non_null(mkdtemp(w.dir));
	w.conf = file_join(w.dir, "keyclone.properties");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (w.fd >= 0)
		close(w.fd);
	json_decref(w.result);
	free(w.conf);
	return file_remove_tree(w.dir);
}

/* The helper as the starter starts it, with a command in its configuration. */
static void start(const char *command, json_t *values)
{
	char text[1000];
	int fds[2];
	json_t *request = json_pack("{s:s, s:o}", "hook", "restored", "values", values);

	snprintf(text, sizeof(text), "replication.role=clone\n%s%s\n",
	    command[0] != '\0' ? "restore.AfterCommand=" : "", command);
	assert_int_equal(file_replace(w.conf, text, strlen(text), 0600), KC_OK);
	assert_int_equal(ipc_pair(fds), KC_OK);
	w.pid = fork();
	if (w.pid == 0) {
		close(fds[0]);
		dup2(fds[1], 3);
		if (fds[1] != 3)
			close(fds[1]);
		_exit(hook_main(w.conf));
	}
	close(fds[1]);
	w.fd = fds[0];
	assert_int_equal(ipc_send(w.fd, IPC_REQUEST, request), KC_OK);
	json_decref(request);
}

static int result(void)
{
	enum ipc_type type;

	json_decref(w.result);
	w.result = NULL;
	assert_int_equal(ipc_recv(&type, &w.result, w.fd, 10000), KC_OK);
	assert_int_equal(type, IPC_RESULT);
	assert_int_equal(waitpid(w.pid, NULL, 0), w.pid);
	return ipc_result_code(w.result);
}

static const char *output(size_t i)
{
	const char *line = json_string_value(json_array_get(json_object_get(w.result, "output"), i));

	return line != NULL ? line : "";
}

static void command__ends_well__its_first_lines(void **state)
{
	(void)state;
	start("/bin/sh -c 'printf \"a\\\\033[1m\\\\tb\\\\n\\\\n\\\\377\\\\n\"; echo 3 >&2; seq 4 9'", json_object());
	assert_int_equal(result(), KC_OK);
	assert_string_equal(output(0), "a?[1m b");
	assert_string_equal(output(1), "?");
	assert_string_equal(output(2), "3");
	assert_int_equal(json_array_size(json_object_get(w.result, "output")), 5);
}

static void command__more_output_than_fits__does_not_wait(void **state)
{
	(void)state;
	start("/bin/sh -c 'head -c 1000000 /dev/zero'", json_object());
	assert_int_equal(result(), KC_OK);
}

static void command__fails__says_how(void **state)
{
	(void)state;
	start("/bin/sh -c 'exit 7'", json_object());
	assert_int_equal(result(), KC_EFAIL);
	assert_string_equal(err_text(KC_EFAIL), "it ended with exit status 7");
}

static void command__killed__says_so(void **state)
{
	(void)state;
	start("/bin/sh -c 'kill -SEGV $$'", json_object());
	assert_int_equal(result(), KC_EFAIL);
	assert_non_null(strstr(err_text(KC_EFAIL), "signal 11"));
}

static void command__hangs__term_then_kill(void **state)
{
	uint64_t began = clock_ms();

	(void)state;
	start("/bin/sh -c 'sleep 977'", json_object());
	assert_int_equal(result(), KC_ETIMEOUT);
	assert_null(strstr(err_text(KC_ETIMEOUT), "by force"));
	teardown(NULL);
	setup(NULL);
	start("/bin/sh -c 'trap \"\" TERM; while :; do sleep 0.05; done'", json_object());
	assert_int_equal(result(), KC_ETIMEOUT);
	assert_non_null(strstr(err_text(KC_ETIMEOUT), "by force"));
	assert_true(clock_ms() - began < 5000);
}

static void command__leaves_a_child__it_is_ended(void **state)
{
	pid_t child;

	(void)state;
	start("/bin/sh -c 'sleep 977 & echo $!'", json_object());
	assert_int_equal(result(), KC_OK);
	child = atoi(output(0));
	assert_true(child > 0);
	for (int i = 0; i < 100 && kill(child, 0) == 0; i++)
		usleep(20000);
	assert_int_not_equal(kill(child, 0), 0);
}

static void daemon__gone__the_command_is_ended(void **state)
{
	char *path = file_join(w.dir, "pid"), command[300];
	struct buf b;

	(void)state;
	snprintf(
	    command, sizeof(command), "/bin/sh -c 'echo $$ >%s.part; mv %s.part %s; exec sleep 977'", path, path, path);
	start(command, json_object());
	for (int i = 0; i < 200 && !file_exists(path); i++)
		usleep(20000);
	close(w.fd);
	w.fd = -1;
	assert_int_equal(waitpid(w.pid, NULL, 0), w.pid);
	buf_init(&b, 100);
	assert_int_equal(file_read(&b, path), KC_OK);
	assert_int_not_equal(kill(atoi(buf_str(&b)), 0), 0);
	buf_fini(&b);
	free(path);
}

static void values__of_the_table_only__cut_and_printable(void **state)
{

	(void)state;
	start("/usr/bin/env", json_pack("{s:s, s:s, s:s, s:s}", "GENERATION", "4\n1", "LD_PRELOAD", "/tmp/evil.so",
				  "PATH", "/tmp", "ROWS", "5"));
	assert_int_equal(result(), KC_OK);
	assert_string_equal(output(0), "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
	assert_int_equal(strncmp(output(1), "LANG=", 5), 0);
	assert_string_equal(output(2), "KEYCLONE_HOOK=restored");
	assert_int_equal(strncmp(output(3), "KEYCLONE_CONFIG=/", 17), 0);
	assert_string_equal(output(4), "KEYCLONE_ROLE=clone");
	teardown(NULL);
	setup(NULL);
	start("/bin/sh -c 'echo \"$KEYCLONE_GENERATION,$KEYCLONE_ROWS,$KEYCLONE_LD_PRELOAD,$LD_PRELOAD\"'",
	    json_pack("{s:s, s:s, s:s}", "GENERATION", "4\n1", "LD_PRELOAD", "/tmp/evil.so", "ROWS", "5"));
	assert_int_equal(result(), KC_OK);
	assert_string_equal(output(0), "4?1,5,,");
}

static void command__not_there__or_none__says_so(void **state)
{
	(void)state;
	start("/nowhere/program", json_object());
	assert_int_equal(result(), KC_ENOENT);
	teardown(NULL);
	setup(NULL);
	start("", json_object());
	assert_int_equal(result(), KC_ENOENT);
	assert_string_equal(err_text(KC_ENOENT), "no command is configured any more");
}

static void program__where_the_daemon_writes__is_not_run(void **state)
{
	char *dir = file_join(w.dir, "state"), *program = file_join(dir, "tell");

	(void)state;
	assert_int_equal(file_make_dirs(dir), KC_OK);
	assert_int_equal(file_replace(program, "#!/bin/sh\n", 10, 0755), KC_OK);
	start(program, json_object());
	assert_int_equal(result(), KC_EPERM);
	free(dir);
	free(program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(command__ends_well__its_first_lines, setup, teardown),
		cmocka_unit_test_setup_teardown(command__more_output_than_fits__does_not_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(command__fails__says_how, setup, teardown),
		cmocka_unit_test_setup_teardown(command__killed__says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(command__hangs__term_then_kill, setup, teardown),
		cmocka_unit_test_setup_teardown(command__leaves_a_child__it_is_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(daemon__gone__the_command_is_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(values__of_the_table_only__cut_and_printable, setup, teardown),
		cmocka_unit_test_setup_teardown(command__not_there__or_none__says_so, setup, teardown),
		cmocka_unit_test_setup_teardown(program__where_the_daemon_writes__is_not_run, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
