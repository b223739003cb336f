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
	char *p12_password;   /* secret memory */
	char *alias;	      /* of the certificate, NULL: none yet */
	char *sealed;	      /* the password */
	const char *external; /* absolute: where the certificate comes from, and its successors (tls.ExternalCertDir) */

	/* The last step of init_make(), in place of making a certificate: everything else is there. Sets alias. */
	int (*join)(struct init *in, void *arg);
	void *join_arg;

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

/* cmd_init.c: the steps that `init` and `enroll join` share. */
char *init_absolute(const char *path);
void init_fini(struct init *in);
/* The paths of the new configuration, before there is a file: sets c->conf. */
int init_plan(struct init *in);
/* After a failure with `rc`, which is the present error afterwards as well. */
void init_take_back(struct init *in, int rc);
void init_print_made(const struct init *in);
void init_print_units(const struct init *in);

/* A master's certificate for all names of this machine, into the keystore. */
struct issue_authority;
int init_issue_master(const struct issue_authority *authority, const char *keystore_dir, const char *alias,
    const char *host, bool replace);

/* The folders outside the system's that a confined service must be allowed to write. The caller ends the list. */
void init_write_paths(struct conf_list *paths, const struct init *in);

#endif
