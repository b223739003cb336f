/* SPDX-License-Identifier: Apache-2.0 */
/*
 * msg: the table of messages: code, text, cause, remedy.
 *
 * A code is what an audit record, a status line or an error carries; `keyclone explain CODE` and the manual page
 * keyclone-messages(7) show the row. KCnnnnS: 00xx what a command ends with, 01xx what any operation can meet, 02xx
 * replication, 03xx peers and certificates, 04xx backups and restores, 05xx the service. S: I information, W warning,
 * E error. CTGKMnnnnS are the original product's codes, with its meaning.
 *
 * Every result code (err.h) has a row; err_msg_code(rc) gives its code. Where more is known, name the row:
 *     .code = msg_code(MSG_CLONE_DISK_FULL)
 */
#ifndef KC_MSG_H
#define KC_MSG_H

#include "buf.h"
#include "msg_table.h"

enum msg_id {
#define M(id, code, text, cause, remedy) MSG_##id,
	MSG_TABLE(M)
#undef M
	    MSG_COUNT
};

struct msg {
	const char *code;
	const char *text;   /* one line */
	const char *cause;  /* what happened */
	const char *remedy; /* what to do next */
};

const char *msg_code(enum msg_id id);
const struct msg *msg_get(enum msg_id id);
/* The row of a code, in either case of letters, with or without its last letter; NULL: there is none. */
const struct msg *msg_find(const char *code);
/* The rows as the source of the manual page keyclone-messages(7). */
void msg_man_page(struct buf *b, const char *version);

#endif
