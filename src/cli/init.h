/* SPDX-License-Identifier: Apache-2.0 */
/*
 * init: a ready configuration, made whole or not at all. init_text.c writes the properties, init_make.c makes what they
 * name and takes it back when a later step fails, cmd_init.c is the command.
 *
 * The properties file comes last: where it is, the rest is there too.
 */
#ifndef KC_CLI_INIT_H
#define KC_CLI_INIT_H

#include <stdbool.h>

#include "base/conf.h"

struct cli;

struct init {
	struct cli *c;
	bool master;
	int port;
	char *dir;	   /* absolute */
	char *path;	   /* the properties file */
	char *master_host; /* clone: where it reports; NULL: not said */
	int master_port;
	char *keydb;	/* absolute, NULL: the built-in one in dir */
	char *password; /* secret memory; NULL on a clone without one */
	const char *p12;
	char *p12_password; /* secret memory */
	char *alias;	    /* of the certificate, NULL: none yet */
	char *sealed;	    /* the password */

	/* what was made, in this order */
	struct conf_list made; /* files, and trees that did not exist */
	struct conf_list kept; /* directories that were there: each is followed in `before` by what was in it */
	struct conf_list before;
};

/* The text of the properties file as far as it is known: the alias and the sealed password may still be missing. Heap.
 */
char *init_text(const struct init *in);

/* Make everything but the properties file, whose paths are c->conf's; sets alias and sealed. On a failure call
 * init_undo. */
int init_make(struct init *in);
/* Write the properties file. KC_EEXIST if there is one. */
int init_write(struct init *in);
/* Remove everything that was made, in reverse. */
void init_undo(struct init *in);

/* A master's certificate for all names of this machine, into the keystore. */
struct issue_authority;
int init_issue_master(const struct issue_authority *authority, const char *keystore_dir, const char *alias,
    const char *host, bool replace);

/* The folders outside the system's that a confined service must be allowed to write. The caller ends the list. */
void init_write_paths(struct conf_list *paths, const struct init *in);

#endif
