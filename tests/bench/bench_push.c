/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_push: clones × megabytes over loopback, both sides of each session in this one process and thread:
 *     bench_push [CLONES [MEGABYTES]]
 * Prints the time of the clock and of the processor, for handshakes and for the transfer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"
#include "tests/loop/rig.h"

#define MOST 20

static double wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double cpu(struct timeval *user, struct timeval *sys)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	*user = r.ru_utime;
	*sys = r.ru_stime;
	return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
	       (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void report(const char *what, double *at, double *spent, size_t bytes)
{
	struct timeval user, sys;
	double now = wall(), used = cpu(&user, &sys);

	printf("%-10s %7.3f s, processor %7.3f s", what, now - *at, used - *spent);
	if (bytes > 0)
		printf(", %.0f MB/s", (double)bytes / 1e6 / (now - *at));
	printf("\n");
	*at = now;
	*spent = used;
}

int main(int argc, char **argv)
{
	static struct rig_clone clones[MOST];
	static struct rig_master masters[MOST];
	unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : MOST;
	size_t bytes = (size_t)(argc > 2 ? atoi(argv[2]) : 15) * 1000000;
	struct timeval user, sys;
	struct rig_backup b;
	struct rig *rig;
	void *state;
	double at, spent;

	if (n > MOST || rig_setup(&state) != 0)
		return 1;
	rig = state;
	rig_backup_init(&b, rig, 1, bytes);
	rig_backup_finish(&b);
	for (unsigned i = 0; i < n; i++) {
		char name[16];

		snprintf(name, sizeof(name), "clone%u", i);
		rig_clone_start(&clones[i], rig, name);
	}
	at = wall();
	spent = cpu(&user, &sys);
	for (unsigned i = 0; i < n; i++)
		rig_master_start(&masters[i], rig, receive_port(clones[i].receive));
	for (unsigned i = 0; i < n; i++)
		if (!rig_until(rig, &masters[i].ready))
			return 1;
	report("greeted", &at, &spent, 0);
	for (unsigned i = 0; i < n; i++)
		if (push_offer(masters[i].push, &b.file) < 0 || push_end(masters[i].push, &b.end) < 0)
			return 1;
	for (unsigned i = 0; i < n; i++)
		if (!rig_until(rig, &masters[i].results))
			return 1;
	report("stored", &at, &spent, bytes * n);
	for (unsigned i = 0; i < n; i++) {
		rig_master_stop(&masters[i]);
		rig_clone_stop(&clones[i]);
	}
	rig_backup_fini(&b);
	return rig_teardown(&state);
}
