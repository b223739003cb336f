/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_daemon: what is asked of a running daemon: start, stop, replicate-now, status, reload, diverged. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bars.h"
#include "base/err.h"
#include "base/member.h"
#include "base/msg.h"
#include "base/str.h"
#include "cli.h"
#include "daemon_client.h"
#include "families.h"
#include "status_text.h"

#define WATCH_S 2

#define PHASE_SIZE 33

/* Without the code between the processes: for others there is the exit status. */
static void print_answer(json_t *result)
{
	json_object_del(result, "rc");
	cli_print_json(json_incref(result));
}

static int show_status(struct cli *c)
{
	json_t *result = NULL;
	const json_t *status;
	int rc = daemon_call(&result, c, json_pack("{s:s}", "verb", "status"), NULL, NULL);

	if (rc < 0)
		return rc;
	status = json_object_get(result, "status");
	rc = status_verdict(status);
	if (cli_flag(c, "watch") && isatty(STDOUT_FILENO))
		fputs("\033[H\033[J", stdout);
	if (c->json)
		cli_print_json(json_deep_copy(status));
	else
		status_print(status);
	json_decref(result);
	return rc < 0 ? cli_quiet(c, rc) : KC_OK;
}

static int cmd_status(struct cli *c)
{
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = show_status(c);
	/* Until it is interrupted, or the daemon ends. */
	while (cli_flag(c, "watch") && (rc == KC_OK || rc == KC_EFOUND)) {
		if (!isatty(STDOUT_FILENO) && !c->json)
			putchar('\n');
		if (fflush(stdout) != 0)
			return err_errno("standard output");
		nanosleep(&(struct timespec){ .tv_sec = WATCH_S }, NULL);
		rc = show_status(c);
	}
	return rc;
}

static int set_task(struct cli *c, const char *verb, enum msg_id done, enum msg_id already, bool want)
{
	json_t *result = NULL;
	bool was_up;
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = daemon_call(&result, c, json_pack("{s:s}", "verb", verb), NULL, NULL);
	if (rc < 0)
		return rc;
	was_up = json_is_true(json_object_get(result, "was_up"));
	json_decref(result);
	if (was_up == want)
		done = already;
	if (c->json)
		return cli_print_json(json_pack("{s:s, s:s}", "code", msg_code(done), "message", msg_get(done)->text));
	printf("%s %s\n", msg_code(done), msg_get(done)->text);
	return KC_OK;
}

static int cmd_start(struct cli *c)
{
	return set_task(c, "start", MSG_TASK_STARTED, MSG_TASK_ALREADY_UP, true);
}

static int cmd_stop(struct cli *c)
{
	return set_task(c, "stop", MSG_TASK_STOPPED, MSG_TASK_ALREADY_DOWN, false);
}

static void on_progress(const json_t *progress, void *arg)
{
	bars_update(arg, progress);
}

static int cmd_replicate_now(struct cli *c)
{
	json_t *request = json_pack("{s:s, s:b, s:b, s:b, s:b}", "verb", "replicate-now", "full",
	    (int)cli_flag(c, "full"), "restore_now", (int)cli_flag(c, "restore-now"), "allow_deletes",
	    (int)cli_flag(c, "allow-deletes"), "wait", (int)!cli_flag(c, "no-wait"));
	json_t *result = NULL, *clones = json_array();
	struct bars *bars = NULL;
	const char *name;
	int rc = cli_args(c, 0, 0);

	for (int i = 0; (name = cli_many(c, "clone", i)) != NULL; i++)
		json_array_append_new(clones, json_string(name));
	json_object_set_new(request, "clones", clones);
	if (rc < 0) {
		json_decref(request);
		return rc;
	}
	bars = bars_new(stdout, c->json);
	rc = daemon_call(&result, c, request, on_progress, bars);
	if (result != NULL && json_object_get(result, "clones") != NULL) {
		bars_finish(bars, result, cli_flag(c, "no-wait"));
		if (c->json)
			print_answer(result);
	}
	bars_free(bars);
	json_decref(result);
	return rc;
}

/* Off a terminal the phases alone. */
static void on_restoring(const json_t *progress, void *arg)
{
	char *phase = arg;

	if (isatty(STDOUT_FILENO))
		printf("\r%-16s %3d %%\033[K", member_text(progress, "phase"), (int)member_int(progress, "percent"));
	else if (strcmp(phase, member_text(progress, "phase")) != 0)
		puts(member_text(progress, "phase"));
	str_copy(phase, PHASE_SIZE, member_text(progress, "phase"));
	fflush(stdout);
}

static int cmd_restore_now(struct cli *c)
{
	json_t *result = NULL;
	char phase[PHASE_SIZE] = "";
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = daemon_call(
		    &result, c, json_pack("{s:s}", "verb", "restore-now"), c->json ? NULL : on_restoring, phase);
	if (phase[0] != '\0' && isatty(STDOUT_FILENO))
		fputs("\r\033[K", stdout);
	if (rc == KC_OK && c->json)
		print_answer(result);
	else if (rc == KC_OK && json_is_true(json_object_get(result, "restored")))
		printf("Generation %lld is restored: %lld rows.\n", member_int(result, "generation"),
		    member_int(result, "rows"));
	else if (rc == KC_OK && member_int(result, "generation") > 0)
		printf("Nothing waits to be restored; the database has generation %lld.\n",
		    member_int(result, "generation"));
	else if (rc == KC_OK)
		puts("Nothing waits to be restored; nothing was received from a master yet.");
	json_decref(result);
	return rc;
}

static int cmd_reload(struct cli *c)
{
	json_t *result = NULL, *e;
	size_t i;
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = daemon_call(&result, c, json_pack("{s:s}", "verb", "reload"), NULL, NULL);
	json_array_foreach(json_object_get(result, "errors"), i, e)
		fprintf(stderr, "keyclone: %s\n", json_string_value(e));
	if (rc == KC_OK && c->json) {
		print_answer(result);
	} else if (rc == KC_OK) {
		puts("The configuration and the credentials were read anew.");
		json_array_foreach(json_object_get(result, "changed"), i, e)
			printf("  changed: %s\n", json_string_value(e));
		if (json_array_size(json_object_get(result, "changed")) == 0)
			puts("  nothing has changed");
		json_array_foreach(json_object_get(result, "restart"), i, e)
			printf("  changed in the file, needs a restart of keycloned: %s\n", json_string_value(e));
	}
	json_decref(result);
	return rc;
}

static void print_diverged(const json_t *result, unsigned long long all)
{
	const json_t *rows = json_object_get(result, "rows_here"), *row;
	size_t i;

	json_array_foreach(rows, i, row)
		printf("%-8s %-24s %s\n", member_text(row, "only"), member_text(row, "table"), member_text(row, "key"));
	if (all > json_array_size(rows))
		printf("… and %llu more\n", all - json_array_size(rows));
	printf("Rows only here: %llu, here with other values (changed): %llu, only in the master's backup: %llu.\n"
	       "'keyclone diverged discard' lets the next restore replace them, after a safety backup.\n",
	    (unsigned long long)member_u64(result, "only_here"), (unsigned long long)member_u64(result, "changed"),
	    (unsigned long long)member_u64(result, "only_master"));
}

static int cmd_diverged_list(struct cli *c)
{
	json_t *result = NULL;
	unsigned long long all;
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = daemon_call(&result, c, json_pack("{s:s}", "verb", "diverged-list"), NULL, NULL);
	if (rc < 0)
		return rc;
	all = member_u64(result, "only_here") + member_u64(result, "changed") + member_u64(result, "only_master");
	if (c->json)
		print_answer(result);
	else if (all == 0)
		puts("This clone has not diverged: its database is what was last restored.");
	else
		print_diverged(result, all);
	json_decref(result);
	return all > 0 ? cli_quiet(c, KC_EFOUND) : KC_OK;
}

static int cmd_diverged_discard(struct cli *c)
{
	const char *clone = cli_string(c, "clone");
	json_t *result = NULL;
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = daemon_call(
		    &result, c, json_pack("{s:s, s:s*}", "verb", "diverged-discard", "clone", clone), NULL, NULL);
	json_decref(result);
	if (rc == KC_OK && c->json)
		return cli_print_json(json_pack("{s:b}", "discard", 1));
	if (rc == KC_OK && clone != NULL)
		printf("%s gets the newest backup, which replaces the rows that only it has. They are kept in a safety "
		       "backup "
		       "in its\nbackup folder.\n",
		    clone);
	else if (rc == KC_OK)
		puts("The next restore, which follows at once if a backup is there or the master answers, replaces the "
		     "rows that only\n"
		     "this clone has. They are kept in a safety backup in the backup folder.");
	return rc;
}

static const struct cli_option discard_options[] = {
	{ "clone", 0, CLI_STRING, "HOST:PORT", "on the master: this clone's rows" },
	{ NULL },
};
static const struct cli_option status_options[] = {
	{ "watch", 'w', CLI_FLAG, NULL, "show it again every two seconds, until interrupted" },
	{ NULL },
};

static const struct cli_option replicate_options[] = {
	{ "clone", 0, CLI_MANY, "HOST:PORT", "only this clone (may be given several times)" },
	{ "full", 0, CLI_FLAG, NULL, "make and send a full backup even if nothing has changed" },
	{ "allow-deletes", 0, CLI_FLAG, NULL, "also what would delete more than backup.MaxDeletePercent, this once" },
	{ "restore-now", 0, CLI_FLAG, NULL, "restore at once on clones that have an hour for it" },
	{ "no-wait", 0, CLI_FLAG, NULL, "begin, and do not wait for the clones" },
	{ NULL },
};

const struct cli_command cmd_daemon_commands[] = {
	{ "replicate-now", "", "replicate to all clones, or some, and wait until they have restored", replicate_options,
	    CLI_CONF, cmd_replicate_now },
	{ "restore-now", "", "on a clone: restore what is stored, without waiting for its hour or its master", NULL,
	    CLI_CONF, cmd_restore_now },
	{ "status", "", "show the task and each clone (exit status 2: something needs attention)", status_options,
	    CLI_CONF, cmd_status },
	{ "start", "", "set the replication task up", NULL, CLI_CONF, cmd_start },
	{ "stop", "", "set the replication task down; what is being pushed is finished", NULL, CLI_CONF, cmd_stop },
	{ "reload", "", "read configuration and credentials anew", NULL, CLI_CONF, cmd_reload },
	{ "diverged list", "", "list the rows of this clone that are not from its master", NULL, CLI_CONF,
	    cmd_diverged_list },
	{ "diverged discard", "", "let the next restore replace the rows that only this clone has", discard_options,
	    CLI_CONF, cmd_diverged_discard },
	{ NULL },
};
