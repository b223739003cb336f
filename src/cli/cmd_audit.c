/* SPDX-License-Identifier: Apache-2.0 */
/* audit: shows the audit log, follows it, and verifies its chain. Needs no daemon and never writes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/audit_read.h"
#include "base/err.h"
#include "base/msg.h"
#include "base/str.h"
#include "cli.h"
#include "daemon/state.h"
#include "families.h"

#define TEXT_MAX (4 * AUDIT_LINE_MAX)

/* The head that the last deleted file ended with, and the last record that the daemon knows to be on disk. Where the
 * state does not say so, or there is none, the hash is empty. */
static int remembered(struct audit_point *start, struct audit_point *newest, const struct conf *conf)
{
	struct state *s = NULL;
	struct state_self self;
	int rc = state_open(&s, conf->state_dir, false);

	if (rc == KC_OK && (rc = state_get_audit_head(&start->seq, start->hash, s)) == KC_ENOENT)
		rc = KC_OK;
	if (rc == KC_OK && (rc = state_get_self(&self, s)) == KC_OK && self.audit_seq > 0 &&
	    strcmp(self.audit_log, conf->audit_log) == 0) {
		newest->seq = self.audit_seq;
		STR_COPY(newest->hash, self.audit_hash);
	}
	state_close(s);
	return rc == KC_ENOENT ? KC_OK : rc;
}

static int print_verdict_json(const struct audit_verdict *v)
{
	json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:i, s:i}", "verdict", audit_problem_name(v->problem), "records",
	    (json_int_t)v->records, "first", (json_int_t)v->first, "last", (json_int_t)v->last, "files", (int)v->files,
	    "torn", (int)v->torn);

	if (v->problem != AUDIT_SOUND) {
		json_object_set_new(o, "file", json_string(v->file));
		json_object_set_new(o, "line", json_integer((json_int_t)v->line));
		json_object_set_new(o, "detail", json_string(v->text));
		json_object_set_new(
		    o, "code", json_string(msg_code(v->problem == AUDIT_TORN ? MSG_AUDIT_TORN : MSG_AUDIT_TAMPERED)));
	}
	return cli_print_json(o);
}

static void print_verdict(const struct audit_verdict *v, const char *path)
{
	printf("%s: sound, %" PRIu64 " records", path, v->records);
	if (v->records > 0)
		printf(" (%" PRIu64 " to %" PRIu64 ")", v->first, v->last);
	printf(" in %u %s", v->files, v->files == 1 ? "file" : "files");
	if (v->torn > 0)
		printf(", %u %s cut short by a crash (%s)", v->torn, v->torn == 1 ? "line" : "lines",
		    msg_code(MSG_AUDIT_TORN));
	putchar('\n');
}

static int verify(struct cli *c)
{
	struct audit_point start = { .hash = "" }, newest = { .hash = "" };
	struct audit_verdict v = { .problem = AUDIT_SOUND };
	int rc = remembered(&start, &newest, c->conf), prc = KC_OK;

	if (rc < 0)
		return rc;
	rc = audit_verify(&v, c->conf->audit_log, &start, &newest);
	if (c->json && (rc == KC_OK || rc == KC_EFOUND))
		prc = print_verdict_json(&v);
	else if (rc == KC_OK)
		print_verdict(&v, c->conf->audit_log);
	audit_verdict_fini(&v);
	return rc < 0 ? rc : prc;
}

static int print_line(struct cli *c, struct audit_table *t, const struct audit_line *line)
{
	struct buf b;
	size_t n;

	if (c->json)
		return puts(line->text) < 0 ? err_errno("standard output") : KC_OK;
	buf_init(&b, TEXT_MAX);
	audit_format(&b, t, line);
	n = buf_len(&b);
	if (fwrite(buf_data(&b), 1, n, stdout) != n) {
		buf_fini(&b);
		return err_errno("standard output");
	}
	buf_fini(&b);
	return KC_OK;
}

static int print_matching(struct cli *c, struct audit_table *t, struct audit_reader *r, const struct audit_filter *f)
{
	struct audit_line line;
	int got, rc = KC_OK;

	while (rc == KC_OK && (got = audit_reader_next(r, &line)) != 0) {
		if (got < 0)
			return got;
		if (audit_filter_match(f, &line))
			rc = print_line(c, t, &line);
	}
	return rc == KC_OK && fflush(stdout) != 0 ? err_errno("standard output") : rc;
}

/* Colours where they are seen and wanted (no-color.org). */
static void look_at_terminal(struct audit_table *t)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
	struct winsize w;

	if (!isatty(STDOUT_FILENO))
		return;
	t->colour = (no == NULL || no[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
		t->width = w.ws_col;
}

static int show(struct cli *c, const struct audit_filter *f)
{
	struct audit_table t = { .width = 0 };
	struct audit_reader *r = NULL;
	struct buf heading;
	int rc = audit_reader_open(&r, c->conf->audit_log);

	if (rc < 0)
		return rc;
	look_at_terminal(&t);
	if (!c->json) {
		buf_init(&heading, TEXT_MAX);
		audit_format_heading(&heading, &t);
		fputs(buf_str(&heading), stdout);
		buf_fini(&heading);
	}
	rc = print_matching(c, &t, r, f);
	while (rc == KC_OK && cli_flag(c, "follow")) {
		rc = audit_reader_wait(r, -1);
		if (rc == KC_OK)
			rc = print_matching(c, &t, r, f);
	}
	audit_reader_free(r);
	return rc;
}

/* A misspelt event would look like a quiet log. */
static int check_event(const struct cli *c, const char *event)
{
	for (enum audit_event e = 0; event != NULL && e < AUDIT_EVENT_COUNT; e++)
		if (strncmp(audit_event_name(e), event, strlen(event)) == 0)
			return KC_OK;
	return event == NULL ? KC_OK : cli_usage(c, "--event: no event is called '%s' or begins so", event);
}

static int cmd_audit(struct cli *c)
{
	struct audit_filter f = {
		.peer = cli_string(c, "clone"), .event = cli_string(c, "event"), .failed = cli_flag(c, "failed")
	};
	const char *since = cli_string(c, "since");
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK && cli_flag(c, "verify")) {
		if (c->given_count > 1)
			return cli_usage(c, "--verify looks at the whole log and goes with no other option");
		return verify(c);
	}
	if (rc == KC_OK)
		rc = check_event(c, f.event);
	if (rc == KC_OK && since != NULL)
		rc = audit_parse_since(&f.since_ms, since, time(NULL));
	return rc == KC_OK ? show(c, &f) : rc;
}

static const struct cli_option audit_options[] = {
	{ "follow", 'f', CLI_FLAG, NULL, "wait for new records" },
	{ "since", 0, CLI_STRING, "TIME", "2026-06-19, 2026-06-19T14:50:59Z, 14:50 or an age: 90s, 15m, 2h, 7d" },
	{ "clone", 0, CLI_STRING, "HOST[:PORT]", "only records about this peer" },
	{ "event", 0, CLI_STRING, "EVENT", "only this event, or all that begin so: push, restore.end" },
	{ "failed", 0, CLI_FLAG, NULL, "only failures" },
	{ "verify", 0, CLI_FLAG, NULL, "check that nothing was edited, removed or reordered; exit status 2 if so" },
	{ NULL },
};

const struct cli_command cmd_audit_commands[] = {
	{ "audit", "", "show the audit log", audit_options, CLI_CONF, cmd_audit },
	{ NULL },
};
