/* SPDX-License-Identifier: Apache-2.0 */
/* explain: shows a row of the table of messages, or lists them all. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/msg.h"
#include "cli.h"
#include "families.h"

#define WIDTH 78

/* Columns that n bytes of UTF-8 take. */
static size_t columns(const char *s, size_t n)
{
	size_t c = 0;

	for (size_t i = 0; i < n; i++)
		c += ((unsigned char)s[i] & 0xc0) != 0x80;
	return c;
}

static void print_paragraph(const char *title, const char *s)
{
	size_t at = 0;

	printf("\n%s\n", title);
	while (*s != '\0') {
		size_t n = strcspn(s, " "), wide = columns(s, n);

		if (at > 0 && at + 1 + wide > WIDTH) {
			putchar('\n');
			at = 0;
		}
		printf("%s%.*s", at > 0 ? " " : "  ", (int)n, s);
		at += (at > 0 ? 1 : 2) + wide;
		s += n + (s[n] == ' ');
	}
	putchar('\n');
}

static json_t *row_json(const struct msg *m)
{
	return json_pack(
	    "{s:s, s:s, s:s, s:s}", "code", m->code, "text", m->text, "cause", m->cause, "remedy", m->remedy);
}

static int explain_one(struct cli *c, const char *code)
{
	const struct msg *m = msg_find(code);

	if (m == NULL)
		return err_set(KC_ENOENT, "%s: there is no such message code", code);
	if (c->json)
		return cli_print_json(row_json(m));
	printf("%s  %s\n", m->code, m->text);
	print_paragraph("What happened", m->cause);
	print_paragraph("What to do", m->remedy);
	return KC_OK;
}

static int explain_all(struct cli *c)
{
	json_t *all = json_array();

	for (enum msg_id i = 0; i < MSG_COUNT; i++) {
		if (c->json)
			json_array_append_new(all, row_json(msg_get(i)));
		else
			printf("%-11s %s\n", msg_get(i)->code, msg_get(i)->text);
	}
	if (c->json)
		return cli_print_json(all);
	json_decref(all);
	return KC_OK;
}

static int cmd_explain(struct cli *c)
{
	int rc = cli_args(c, 0, 1);

	if (rc < 0)
		return rc;
	return c->argc == 1 ? explain_one(c, c->argv[0]) : explain_all(c);
}

const struct cli_command cmd_explain_commands[] = {
	{ "explain", "[CODE]", "show cause and remedy of a message code, or list all codes", NULL, 0, cmd_explain },
	{ NULL },
};
