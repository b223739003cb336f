/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nth_call: the n-th of the wrapped calls fails with EIO, or the process ends there. A test wraps the calls that change
 * something (NTH_WRAP here, -Wl,--wrap in Makefile.inc), and takes an act through n = 0, 1, 2… with nth_run().
 */
#ifndef KC_TESTS_NTH_CALL_H
#define KC_TESTS_NTH_CALL_H

#include <errno.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#define NTH_KILLED 9 /* exit status of a process that ended at the call */

static int nth_countdown = -1; /* 0: the next call; negative: off */
static bool nth_fired, nth_killing;

static bool nth_hit(void)
{
	if (nth_countdown < 0 || nth_countdown-- > 0)
		return false;
	nth_fired = true;
	if (nth_killing)
		_exit(NTH_KILLED);
	errno = EIO;
	return true;
}

#define NTH_WRAP(type, name, params, args)                  \
	type __real_##name params;                          \
	type __wrap_##name params;                          \
	type __wrap_##name params                           \
	{                                                   \
		return nth_hit() ? -1 : __real_##name args; \
	}

/* `act` returns 0 when it is through. With nth_killing it is done by a child. True: the fault was not reached any
 * more. */
static bool nth_run(int (*act)(void *arg), void *arg, int n)
{
	int status = 0;
	pid_t child;

	nth_fired = false;
	if (!nth_killing) {
		nth_countdown = n;
		(void)act(arg);
		nth_countdown = -1;
		return !nth_fired;
	}
	child = fork();
	if (child == 0) {
		nth_countdown = n;
		_exit(act(arg) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == NTH_KILLED));
	return WEXITSTATUS(status) == 0;
}

#endif
