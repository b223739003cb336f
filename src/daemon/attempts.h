/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attempts: closes in the audit log what a crash interrupted (invariant 4): every record `started` since the last start
 * of the daemon whose end is missing gets one, outcome failure, "interrupted".
 */
#ifndef KC_ATTEMPTS_H
#define KC_ATTEMPTS_H

struct audit;

/* `path`: of the audit log. Call before this start's own first record. */
int attempts_close(struct audit *a, const char *path);

#endif
