/* SPDX-License-Identifier: Apache-2.0 */
/* msg: looks rows of the table of messages up, and writes them as a manual page. */
#include "msg.h"

#include <assert.h>
#include <string.h>
#include <strings.h>

static const struct msg rows[] = {
#define M(id, code, text, cause, remedy) { code, text, cause, remedy },
	MSG_TABLE(M)
#undef M
};

const struct msg *msg_get(enum msg_id id)
{
	assert((size_t)id < MSG_COUNT);
	return &rows[id];
}

const char *msg_code(enum msg_id id)
{
	return msg_get(id)->code;
}

const struct msg *msg_find(const char *code)
{
	size_t n = strlen(code);

	for (size_t i = 0; i < MSG_COUNT; i++) {
		size_t len = strlen(rows[i].code);

		if ((n == len || n == len - 1) && strncasecmp(rows[i].code, code, n) == 0)
			return &rows[i];
	}
	return NULL;
}

/* A `command` in bold, what roff would take for its own made harmless. */
static void put_roff(struct buf *b, const char *s)
{
	bool bold = false;

	for (; *s != '\0'; s++) {
		switch (*s) {
		case '`':
			bold = !bold;
			buf_put_str(b, bold ? "\\fB" : "\\fR");
			break;
		case '\\':
			buf_put_str(b, "\\e");
			break;
		case '-':
			buf_put_str(b, "\\-");
			break;
		case '\'':
			buf_put_str(b, "\\(aq");
			break;
		default:
			buf_put(b, s, 1);
		}
	}
	buf_put_str(b, "\n");
}

void msg_man_page(struct buf *b, const char *version)
{
	buf_putf(b, ".\\\" SPDX-License-Identifier: Apache-2.0\n.\\\" Made from the table of messages; do not edit.\n");
	buf_putf(b, ".TH KEYCLONE\\-MESSAGES 7 \"\" \"keyclone %s\"\n", version);
	buf_put_str(b,
	    ".SH NAME\nkeyclone\\-messages \\- messages of keyclone, their causes and remedies\n"
	    ".SH DESCRIPTION\nA code stands in the audit log, in\n.B keyclone status\n"
	    "and in the log of the service. The same text is shown by\n.BR \"keyclone explain\" \" \"\\fICODE\\fR.\n"
	    "The last letter says how bad it is: I information, W warning, E error.\n"
	    "CTGKM codes are those of the product that this one is modelled on.\n.SH MESSAGES\n");
	for (size_t i = 0; i < MSG_COUNT; i++) {
		buf_putf(b, ".TP\n.B %s\n", rows[i].code);
		put_roff(b, rows[i].text);
		buf_put_str(b, ".RS\n.PP\n");
		put_roff(b, rows[i].cause);
		buf_put_str(b, ".PP\n");
		put_roff(b, rows[i].remedy);
		buf_put_str(b, ".RE\n");
	}
	buf_put_str(b, ".SH SEE ALSO\n.BR keyclone (1),\n.BR keycloned (8),\n.BR keyclone.properties (5)\n");
}
