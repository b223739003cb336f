/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check: everything that must be right before replication can work, one line each: what was looked at, "ok", "WARN"
 * (it works now, and will not for long, or not for everything) or "FAIL", what was found, and what to do.
 */
#ifndef KC_CHECK_CLI_H
#define KC_CHECK_CLI_H

#include "backup/age.h"
#include "cli.h"
#include "daemon/state.h"

enum check_outcome { CHECK_OK, CHECK_WARN, CHECK_FAIL };

struct check {
	struct cli *c;
	json_t *lines;		/* [{"check", "outcome", "text", "advice"}] */
	json_t *peers;		/* contact.h */
	json_t *status;		/* of the daemon; NULL: none runs */
	struct state_self self; /* without a daemon */
	uid_t service;		/* whom the service's files belong to */
	bool running;
	bool found;	/* something is not ok */
	char good[400]; /* what is right of the peer that is looked at: one line in the end */
};

/* One line. `advice` may be NULL. */
void check_say(struct check *k, enum check_outcome outcome, const char *what, const char *advice, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* check_files.c: folders, secrets, the key database, room. */
void check_files(struct check *k);
/* check_here.c: what is true of this machine. */
int check_configuration(struct check *k); /* KC_ECONF: it does not load, nothing else can be looked at */
void check_here(struct check *k);
/* check_peers.c: the other machines; `only` is a HOST:PORT or NULL. KC_ENOENT: no such clone. */
int check_ask_peers(struct check *k, const char *only);
void check_peers(struct check *k);

#endif
