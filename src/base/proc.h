/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proc: what a process does to itself at its start, and what it tells systemd.
 */
#ifndef KC_PROC_H
#define KC_PROC_H

#include <stddef.h>

/*
 * Harden this process, early in main of every program: descriptors 0–2 exist; no core dumps (RLIMIT_CORE 0 and not
 * dumpable, so that no other process of the same user may trace it or read its memory); no new privileges; umask 077;
 * SIGPIPE ignored. Inherited by children, but for "not dumpable", which exec resets: each calls it again.
 * Built with a sanitizer it stays dumpable (the sanitizers trace themselves).
 */
int proc_harden(void);

/* Close every descriptor above 2 but the `n` in `keep`. */
void proc_close_inherited(const int *keep, size_t n);

/*
 * sd_notify(3). Without $NOTIFY_SOCKET nothing happens; failures are logged once at debug level and never matter.
 * Paths and abstract sockets. May be called while confined (confine.h).
 */
void proc_notify_ready(void);
void proc_notify_reloading(void); /* follow it with proc_notify_ready, whether the reload worked or not */
void proc_notify_stopping(void);

#endif
