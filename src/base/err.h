/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err: result codes and the one message that explains a failure.
 *
 * Functions that can fail return int: KC_OK (0) or one of the negative codes below. Out-parameters
 * come first and are written only on success. Whoever detects the failure calls err_set() (or
 * err_errno()) once, with what its caller cannot know; everyone above only propagates the code; the
 * boundary (end of a session, result of a job, main of the command line) prints err_text() once.
 *
 *     if (header->version != 1)
 *             return err_set(KC_EFORMAT, "%s: age version %d is not supported", path, header->version);
 *
 * The text is one line, lower case, without advice; advice belongs to the message table (msg.h).
 * Text and code are kept for each thread.
 */
#ifndef KC_ERR_H
#define KC_ERR_H

#include <stdarg.h>
#include <stdbool.h>

/*
 * code, exit status of the command line, worth a retry without an operator, message code (msg.h), text
 * The scheduler asks the table and has no special cases.
 */
#define ERR_TABLE(E)                                                                 \
	E(KC_EFAIL, -1, 1, false, "KC0001E", "failed")                               \
	E(KC_EFOUND, -2, 2, false, "KC0002W", "something is wrong")                  \
	E(KC_EUSAGE, -3, 64, false, "KC0064E", "usage")                              \
	E(KC_EFORMAT, -4, 65, false, "KC0065E", "not in the expected format")        \
	E(KC_EPASSWORD, -5, 65, false, "KC0066E", "wrong password")                  \
	E(KC_EDAMAGED, -6, 65, false, "KC0067E", "damaged")                          \
	E(KC_ETRUNCATED, -7, 65, false, "KC0068E", "truncated")                      \
	E(KC_ESIGNATURE, -8, 65, false, "KC0070E", "not signed by the installation") \
	E(KC_EFOREIGN, -9, 65, false, "KC0071E", "of another installation")          \
	E(KC_EDAEMON, -10, 69, true, "KC0069E", "daemon not reachable")              \
	E(KC_ECREATE, -11, 73, false, "KC0073E", "cannot create")                    \
	E(KC_EPERM, -12, 77, false, "KC0077E", "not permitted")                      \
	E(KC_ECONF, -13, 78, false, "KC0078E", "configuration error")                \
	E(KC_ESYS, -14, 1, true, "KC0101E", "system error")                          \
	E(KC_ENOSPC, -15, 1, true, "KC0102E", "no room")                             \
	E(KC_EBUSY, -16, 1, true, "KC0103E", "busy")                                 \
	E(KC_ENET, -17, 1, true, "KC0104E", "network error")                         \
	E(KC_ETIMEOUT, -18, 1, true, "KC0105E", "timed out")                         \
	E(KC_EREFUSED, -19, 1, true, "KC0106E", "refused")                           \
	E(KC_EPROTO, -20, 1, true, "KC0107E", "protocol error")                      \
	E(KC_EDIVERGED, -21, 2, false, "KC0108E", "diverged")                        \
	E(KC_ESTALE, -22, 1, false, "KC0109E", "older than what is there")           \
	E(KC_ENOENT, -23, 1, false, "KC0110E", "not found")                          \
	E(KC_EEXIST, -24, 73, false, "KC0111E", "exists already")                    \
	E(KC_ELOCKED, -25, 1, false, "KC0112E", "in use by another process")         \
	E(KC_EWORKER, -26, 1, true, "KC0113E", "the worker ended")                   \
	E(KC_ECANCELED, -27, 1, true, "KC0114E", "canceled")                         \
	E(KC_ELIMIT, -28, 1, false, "KC0115E", "over a limit")                       \
	E(KC_ECERT, -29, 1, false, "KC0116E", "certificate not usable")              \
	E(KC_EAGAIN, -30, 1, true, "KC0117E", "not yet")                             \
	E(KC_EFENCED, -31, 1, false, "KC0221E", "replaced by another master")        \
	E(KC_ENEEDFULL, -32, 1, false, "KC0223E", "a full backup is needed")

enum err_code {
	KC_OK = 0,
#define E(name, code, status, retry, msg, text) name = code,
	ERR_TABLE(E)
#undef E
};

/* Record the message of a failure and return `code`, so that a failure is one line. errno survives. */
int err_set(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int err_vset(int code, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* The same with ": strerror(errno)" appended. Maps errno: ENOSPC and EDQUOT to KC_ENOSPC, EACCES and EPERM to
 * KC_EPERM, ENOENT to KC_ENOENT, EEXIST to KC_EEXIST, everything else to KC_ESYS. */
int err_errno(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Put "prefix: " before the present message (for a boundary that knows which of many it was). Returns `code`. */
int err_prefix(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The message last set in this thread, never NULL; the table's text of `code` where none was set. */
const char *err_text(int code);
void err_clear(void);

const char *err_name(int code);	    /* "KC_EBUSY" */
const char *err_msg_code(int code); /* "KC0103E", for the audit log and `keyclone explain` */
int err_exit_status(int code);	    /* 0, 1, 2, 64, 65, 69, 73, 77, 78 */
bool err_retryable(int code);
/* The code of "KC_EBUSY", KC_EFAIL for an unknown name: for results that cross processes. */
int err_from_name(const char *name);

#endif
