/* SPDX-License-Identifier: Apache-2.0 */
/* main of keycloned: its options, its first line, its loop. What it starts with is in start.h. */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "daemon/alert.h"
#include "daemon/clone.h"
#include "daemon/daemon.h"
#include "daemon/expiry.h"
#include "daemon/hook.h"
#include "daemon/master.h"
#include "daemon/master_schedule.h"
#include "daemon/renew.h"
#include "daemon/revocation.h"
#include "daemon/start.h"
#include "daemon/starter.h"
#include "daemon/worker.h"

/* The first line: what an administrator compares with what he meant. */
static void announce(const struct daemon *d)
{
	const struct conf *c = d->conf;
	char schedule[300] = "", looks[MASTER_SCHEDULE_TEXT], zone[32];
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	strftime(zone, sizeof(zone), "%Z", &tm);
	if (d->master != NULL)
		snprintf(schedule, sizeof(schedule), "%zu clone%s, %s", c->clone_count, c->clone_count == 1 ? "" : "s",
		    master_schedule_in_force(d->master, looks));
	else
		snprintf(
		    schedule, sizeof(schedule), "restores at %s", c->restore_time != NULL ? c->restore_time : "once");
	log_info("keycloned " PACKAGE_VERSION
		 " is up: role %s, port %d, TLS %s, certificate %s (SHA-256 %.16s…, %lld days left), "
		 "%s, time zone %s",
	    d->master != NULL ? "master" : "clone", d->master != NULL ? c->master_listen_port : c->listen_port,
	    c->tls_minimum == CONF_TLS_1_2 ? "1.2 and 1.3" : "1.3",
	    json_string_value(json_object_get(d->certificate, "alias")),
	    json_string_value(json_object_get(d->certificate, "sha256")),
	    (long long)json_integer_value(json_object_get(d->certificate, "days_left")), schedule, zone);
}

static void on_turn(void *arg)
{
	struct daemon *d = arg;

	if (d->master != NULL)
		master_end_turn(d->master);
	(void)daemon_sync_audit(d);
}

static int run_daemon(const char *conf_path, bool check_only)
{
	struct daemon d = { .conf_path = conf_path, .lock_fd = -1, .checking = check_only };
	size_t done = 0;
	int rc;

	if (gethostname(d.host, sizeof(d.host) - 1) < 0)
		snprintf(d.host, sizeof(d.host), "localhost");
	d.loop = loop_new();
	rc = start_all(&d, &done);
	if (rc == KC_OK && !check_only) {
		announce(&d);
		hooks_start(d.hooks);
		alert_clear_other_role(&d);
		expiry_look(d.expiry);
		revocation_look(d.revocation);
		renew_look(d.renew);
		rc = d.master != NULL ? master_start(d.master) : clone_start(d.clone);
	}
	if (rc < 0) {
		if (!d.explained)
			fprintf(stderr, "keycloned: %s\n", err_text(rc));
		d.exit_status = err_exit_status(rc);
	} else if (check_only) {
		puts(d.taken ? "keycloned: configuration, directories and credentials are right; a keycloned runs here "
			       "and has the rest"
			     : "keycloned: everything that can be checked without starting is right");
	} else {
		loop_set_turn_hook(d.loop, on_turn, &d);
		proc_notify_ready();
		loop_run(d.loop);
		loop_set_turn_hook(d.loop, NULL, NULL);
	}
	d.ending = true;
	start_undo(&d, done);
	loop_timer_free(d.deadline);
	loop_free(d.loop);
	return d.exit_status;
}

static int wrong_usage(const char *argument)
{
	const char *what = strcmp(argument, "-c") == 0 || strcmp(argument, "--config") == 0 ? "no file behind"
			   : argument[0] == '-'						    ? "unknown option"
											    : "unexpected argument";

	fprintf(stderr, "keycloned: %s %s (see 'keycloned --help')\n", what, argument);
	return err_exit_status(KC_EUSAGE);
}

static int usage(void)
{
	puts("usage: keycloned [-c FILE] [--check]\n\n"
	     "Runs in the foreground as master or clone, as the configuration says; see keycloned(8).\n\n"
	     "  -c, --config FILE  configuration (else $KEYCLONE_CONFIG, else " SYSCONFDIR
	     "/keyclone/keyclone.properties)\n"
	     "  --check            say whether it would start, and end\n"
	     "  --debug            log more\n"
	     "  --version          print the version");
	return 0;
}

#ifdef KC_WITH_SANITIZER
/* Leaks are looked for at the end by way of /proc, which a confined process cannot open. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}
#endif

int main(int argc, char **argv)
{
	const char *given = NULL;
	enum { DAEMON, STARTER, WORKER, HOOK } mode = DAEMON;
	bool check_only = false;
	char *conf_path;
	int status, rc;
	enum log_level level = LOG_LVL_INFO;

	setlocale(LC_TIME, "");
	for (int i = 1; i < argc; i++) {
		if ((strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0) && i + 1 < argc)
			given = argv[++i];
		else if (strcmp(argv[i], "--check") == 0)
			check_only = true;
		else if (strcmp(argv[i], "--debug") == 0)
			level = LOG_LVL_DEBUG;
		else if (strcmp(argv[i], "--starter") == 0)
			mode = STARTER;
		else if (strcmp(argv[i], "--worker") == 0)
			mode = WORKER;
		else if (strcmp(argv[i], "--hook") == 0)
			mode = HOOK;
		else if (strcmp(argv[i], "--help") == 0)
			return usage();
		else if (strcmp(argv[i], "--version") == 0)
			return puts("keycloned " PACKAGE_VERSION) < 0;
		else
			return wrong_usage(argv[i]);
	}
	log_init("keycloned", level);
	rc = mem_init();
	if (rc == KC_OK)
		rc = proc_harden();
	if (rc < 0) {
		fprintf(stderr, "keycloned: %s\n", err_text(rc));
		return err_exit_status(rc);
	}
	/* Whoever started us may have left something open that is not ours to hold, or to hand on. */
	if (mode == DAEMON)
		proc_close_inherited(NULL, 0);
	conf_path = conf_default_path(given);
	status = mode == STARTER  ? starter_main(conf_path)
		 : mode == WORKER ? worker_main(conf_path)
		 : mode == HOOK	  ? hook_main(conf_path)
				  : run_daemon(conf_path, check_only);
	free(conf_path);
	return status;
}
