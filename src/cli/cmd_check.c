/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_check: `check`: the order in which things are looked at, and how they are shown. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"
#include "check.h"
#include "columns.h"
#include "families.h"

#define WIDTH	 80
#define HANG	 6
#define TEXT_MAX 1200

static const char *const outcomes[] = { "ok", "warn", "fail" };
static const char *const shown[] = { "ok", "WARN", "FAIL" };

void check_say(struct check *k, enum check_outcome outcome, const char *what, const char *advice, const char *fmt, ...)
{
	char text[TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	str_printable(text);
	k->found = k->found || outcome != CHECK_OK;
	json_array_append_new(k->lines, json_pack("{s:s, s:s, s:s, s:s?}", "check", what, "outcome", outcomes[outcome],
					    "text", text, "advice", outcome == CHECK_OK ? NULL : advice));
}

/* Words into lines of at most WIDTH columns, all but the first behind `hang` blanks; `at` columns are used already. */
static void print_wrapped(const char *text, unsigned at, unsigned hang)
{
	while (*text != '\0') {
		size_t n = columns_cut(text, WIDTH - at), end = n;

		if (text[n] != '\0') {
			while (end > 0 && text[end] != ' ')
				end--;
			if (end == 0) /* a word that is longer than a line */
				end = n + strcspn(text + n, " ");
		}
		printf("%.*s\n", (int)end, text);
		text += end;
		text += strspn(text, " ");
		if (*text != '\0')
			printf("%*s", (int)hang, "");
		at = hang;
	}
}

static void print_line(const json_t *l)
{
	const char *outcome = member_text(l, "outcome"), *advice = member_text(l, "advice");
	size_t i = 0;
	char *text;

	while (i < 2 && strcmp(outcomes[i], outcome) != 0)
		i++;
	text = mem_xasprintf("%s: %s", member_text(l, "check"), member_text(l, "text"));
	printf("%-*s", HANG, shown[i]);
	print_wrapped(text, HANG, HANG);
	free(text);
	if (advice[0] == '\0')
		return;
	printf("%*s> ", HANG, "");
	print_wrapped(advice, HANG + 2, HANG + 2);
}

static void print_all(const struct check *k)
{
	unsigned warnings = 0, failures = 0;
	size_t i;
	json_t *l;

	json_array_foreach(k->lines, i, l) {
		warnings += strcmp(member_text(l, "outcome"), "warn") == 0;
		failures += strcmp(member_text(l, "outcome"), "fail") == 0;
		print_line(l);
	}
	if (warnings + failures == 0)
		puts("\nEverything that can be seen from here is right.");
	else
		printf("\n%u failed, %u warning%s.\n", failures, warnings, warnings == 1 ? "" : "s");
	if (k->c->conf != NULL && k->c->conf->role == CONF_MASTER && k->c->conf->clone_count > 0)
		print_wrapped(
		    "The way back, from each clone to this master, is checked by 'keyclone check' there.", 0, 0);
}

static int cmd_check(struct cli *c)
{
	struct check k = { .c = c, .lines = json_array() };
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK) {
		rc = check_configuration(&k);
		if (rc == KC_OK)
			rc = check_ask_peers(&k, cli_string(c, "clone"));
		if (rc == KC_OK) {
			check_here(&k);
			check_files(&k);
			check_peers(&k);
		}
	}
	if (rc == KC_OK || rc == KC_ECONF) {
		if (c->json)
			cli_print_json(json_pack("{s:b, s:O}", "ok", (int)!k.found, "checks", k.lines));
		else
			print_all(&k);
		rc = k.found ? cli_quiet(c, err_set(KC_EFOUND, "something is wrong")) : KC_OK;
	}
	json_decref(k.lines);
	json_decref(k.peers);
	json_decref(k.status);
	return rc;
}

static const struct cli_option check_options[] = {
	{ "clone", 0, CLI_STRING, "HOST:PORT", "on a master: contact only this clone" },
	{ NULL },
};

const struct cli_command cmd_check_commands[] = {
	{ "check", "", "look at everything that must be right before replication can work", check_options,
	    CLI_CONF_LENIENT, cmd_check },
	{ NULL },
};
