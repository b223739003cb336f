/* SPDX-License-Identifier: Apache-2.0 */
/* err: the table of result codes, and the last message of each thread. */
#include "err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "str.h"

#define ERR_TEXT_MAX 1024

static _Thread_local char message[ERR_TEXT_MAX];
static _Thread_local int message_code;

static const struct err_row {
	const char *name;
	const char *msg;
	const char *text;
	int code;
	int status;
	bool retry;
} rows[] = {
#define E(name, code, status, retry, msg, text) { #name, msg, text, code, status, retry },
	ERR_TABLE(E)
#undef E
};

static const struct err_row *row_of(int code)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (rows[i].code == code)
			return &rows[i];
	return &rows[0];
}

int err_vset(int code, const char *fmt, va_list ap)
{
	int saved = errno;
	char text[ERR_TEXT_MAX];

	/* By way of a copy: an argument may be the present message. */
	vsnprintf(text, sizeof(text), fmt, ap);
	str_printable(text); /* one line, whatever a file name or a peer put into it */
	memcpy(message, text, sizeof(text));
	message_code = code;
	errno = saved;
	return code;
}

int err_set(int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_vset(code, fmt, ap);
	va_end(ap);
	return code;
}

static int code_of_errno(int e)
{
	switch (e) {
	case ENOSPC:
	case EDQUOT:
		return KC_ENOSPC;
	case EACCES:
	case EPERM:
		return KC_EPERM;
	case ENOENT:
		return KC_ENOENT;
	case EEXIST:
		return KC_EEXIST;
	default:
		return KC_ESYS;
	}
}

int err_errno(const char *fmt, ...)
{
	int saved = errno;
	char what[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return err_set(code_of_errno(saved), "%.900s: %s", what, strerror(saved));
}

int err_prefix(int code, const char *fmt, ...)
{
	char prefix[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(prefix, sizeof(prefix), fmt, ap);
	va_end(ap);
	return err_set(code, "%s: %.700s", prefix, err_text(code));
}

const char *err_text(int code)
{
	if (message[0] != '\0' && message_code == code)
		return message;
	return code == KC_OK ? "done" : row_of(code)->text;
}

void err_clear(void)
{
	message[0] = '\0';
	message_code = KC_OK;
}

const char *err_name(int code)
{
	return code == KC_OK ? "KC_OK" : row_of(code)->name;
}

const char *err_msg_code(int code)
{
	return code == KC_OK ? "KC0000I" : row_of(code)->msg;
}

int err_exit_status(int code)
{
	return code == KC_OK ? 0 : row_of(code)->status;
}

bool err_retryable(int code)
{
	return code != KC_OK && row_of(code)->retry;
}

int err_from_name(const char *name)
{
	if (strcmp(name, "KC_OK") == 0)
		return KC_OK;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strcmp(rows[i].name, name) == 0)
			return rows[i].code;
	return KC_EFAIL;
}
