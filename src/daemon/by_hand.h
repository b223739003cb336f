/* SPDX-License-Identifier: Apache-2.0 */
/*
 * by_hand: `backup restore FILE`, the same for the worker and for the command line without a daemon: which backup may
 * be taken, the work, the result as it is printed, and what it leaves in the state database.
 *
 * Rows that would vanish are refused, or, with `discard`, saved in a safety backup first. `merge` adds the rows that
 * are missing and touches nothing else. On a master a restore begins a child lineage; on a clone what was restored is
 * what its master's next backup replaces.
 */
#ifndef KC_BY_HAND_H
#define KC_BY_HAND_H

#include <jansson.h>

#include "backup/diverged.h"
#include "backup/image.h"
#include "backup/restore.h"
#include "daemon/secrets.h"
#include "daemon/state.h"

struct by_hand {
	struct source *live;
	const char *target;	    /* what the database is called in messages */
	struct image_options image; /* the file, what opens it, the pins */
	/* A backup of a history that has nothing to do with this one is refused (KC_EFOREIGN) unless `force`; NULL or
	 * "": this machine has none. */
	const char *lineage;
	const struct lineage_list *ancestors;
	bool merge, discard, force;
	const char *master_key_file;
	struct companion_paths companions;     /* where the other companions go … */
	const char *files_beside;	       /* … or "<this>.<NAME>"; NULL: no */
	int (*safety)(void *arg, char **path); /* make a backup of the live database; *path on the heap */
	int (*intent)(void *arg, const struct restore_intent *i); /* as restore_options; may be NULL */
	int (*progress)(void *arg, const char *phase, unsigned percent);
	void *arg;
};

/*
 * Members of *result, set on success and on failure as far as they are known:
 *   restored (bool), same, lineage, ancestors, generation, rows, digest, schema, files, discarded, safety_backup,
 *   warning
 *   would_vanish, rows [{table, key, only}]     with KC_EDIVERGED
 *   merged (bool), added, differ, refused, tables [{table, added, same, differ, refused}], rows [{table, key, why}]
 */
int by_hand_run(json_t *result, const struct by_hand *b);

/* The pinned signers, and this machine itself: what it signed (safety backups) is its own. End with sign_pins_fini. */
int by_hand_pins(struct sign_pins *pins, const struct secrets *s);

/* What is about to be written, for state_put_intent. `self`: what this machine has. A backup outside of any lineage
 * keeps that of `self`. */
void by_hand_intent(
    struct state_intent *i, const struct state_self *self, const struct restore_intent *r, const char *file);
/*
 * It was written: *self is what this machine (with the configuration `c`) has now, and durable, the intent gone. On a
 * master a child lineage of the backup's, at its generation. On a clone the backup's lineage, one generation before the
 * backup's, so that the master sends its own again, and without a digest that it would take for its own.
 */
int by_hand_applied(struct state_self *self, struct state *s, const struct state_intent *i, const struct conf *c);

/* replication.LocalTables in one line, for state_self.own_tables. */
void by_hand_local_tables(char *text, size_t size, const struct conf *c);
/* [{table, key, only: here | master | changed}] */
json_t *by_hand_rows(const struct diverged_list *l);

#endif
