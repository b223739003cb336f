/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore: a backup into the live key database, in five steps. After a crash at any instruction the database is
 * the old one or the new one.
 *
 *   1 open      the backup is unpacked into staging and proved (image.h)
 *   2 intent    the caller writes down durably what is about to happen, and says go
 *   3 lock      the write lock is taken (bounded), and under it the database is proved to be what was last applied
 *   4 write     the master key file, which must be there before the commit; one transaction, by the backup API or, of
 * an increment, row by row; checkpoint; then the other companion files, each in one step 5 done      the caller writes
 * down the result and forgets the intent
 *
 * Readers see the old rows, then the new ones, and never reconnect (in WAL mode they are not even blocked). The live
 * file is never renamed over, and no second descriptor of it is ever closed here (that would drop SQLite's locks).
 */
#ifndef KC_BACKUP_RESTORE_H
#define KC_BACKUP_RESTORE_H

#include <stdbool.h>
#include <stdint.h>

#include "backup/companions.h"
#include "backup/diverged.h"
#include "backup/image.h"
#include "backup/source.h"

/* Where a restore is: for progress, and the points at which tests kill it. */
enum restore_phase {
	RESTORE_OPEN,	   /* 1: percent of the file */
	RESTORE_CHECKED,   /* 1 done */
	RESTORE_INTENT,	   /* 2 done */
	RESTORE_LOCK,	   /* 3: waiting, also recounting */
	RESTORE_PROVED,	   /* 3 done: lock held, nothing written */
	RESTORE_COMPANION, /* companion files are in place, nothing else */
	RESTORE_WRITE,	   /* 4: percent of the pages */
	RESTORE_COMMITTED, /* the database is the new one; companions are still the old ones */
	RESTORE_DONE	   /* checkpointed */
};
const char *restore_phase_name(enum restore_phase phase);

struct restore_intent {
	const char *lineage;
	const struct lineage_list *ancestors;
	uint64_t generation;
	const char *old_content; /* digest of the database as it is */
	const char *content;	 /* digests of what it will be */
	const char *schema;
	const char *files; /* what the companions will be (companions_text) */
	const char *own;   /* the same as content, without local tables (source_set_local) */
	uint64_t chain;	   /* the full whose increments build on it, or that it is; 0: none will */
};

struct restore_options {
	struct image_options image; /* its progress, arg and staging are set by restore */
	struct source *live;
	/*
	 * Content digest of what was last applied here: anything else in the database is divergence. NULL: first
	 * contact, or by hand: rows that the backup lacks are divergence.
	 */
	const char *applied;
	/* The same as its master has it: other than `applied` where there are local tables. For increments. */
	const char *applied_content;
	/*
	 * What is followed here: the lineage last applied, its ancestors and the generation. A backup of another
	 * lineage is taken by the rule of lineage.h, judged by its signed manifest: KC_EFOREIGN, KC_EFENCED; one of a
	 * child that began before `own_generation` as if nothing had been applied: rows that it lacks are divergence.
	 * NULL: any.
	 */
	const char *own_lineage;
	const struct lineage_list *own_ancestors;
	uint64_t own_generation;
	/* How to open what was last applied, for the list of rows; file NULL: the new backup is compared instead. */
	struct image_options applied_image;
	bool discard; /* divergence does not stop it: `safety` is called, then it goes on */
	/* Must make a backup of the live database. Only called with discard, if rows would vanish. */
	int (*safety)(void *arg);
	const char *master_key_file; /* where companion MasterKeyFile goes; NULL: a backup that has it is refused
					(KC_ECONF) */
	/* Where the other companions go, and what was last applied of them (companions_text; NULL or "": nothing was).
	 */
	struct companion_paths companions;
	const char *files_applied;
	const char *files_beside; /* instead: each is "<this>.<NAME>"; NULL: no */
	/* The commit is durable in the write-ahead log; bringing that into the database file can wait until somebody
	 * has been told: the caller calls source_checkpoint() afterwards. */
	bool defer_checkpoint;
	/* The backup is proved: increments that build on this full are opened with that identity (borrowed). A failure
	 * stops. May be NULL. */
	int (*chain_key)(void *arg, const struct manifest *m, const struct age_identity *identity);
	int lock_ms; /* longest wait for the write lock; 0 = SOURCE_BUSY_MS */
	int (*intent)(void *arg, const struct restore_intent *i); /* step 2; failure stops; may be NULL (by hand) */
	int (*progress)(void *arg, enum restore_phase phase, unsigned percent); /* failure before the commit cancels */
	void *arg;								/* of safety, intent, progress */
};

struct restore_result {
	bool same; /* the database has these digests already: nothing was written (companions apart) */
	char lineage[MANIFEST_LINEAGE_LEN + 1];
	struct lineage_list ancestors; /* of the lineage */
	uint64_t generation;
	char content[SOURCE_DIGEST_LEN + 1];
	char schema[SOURCE_DIGEST_LEN + 1];
	char files[COMPANIONS_TEXT]; /* digests of the companions */
	bool files_pending;	     /* with a failure: the database is the new one, the companions are not all */
	char
	    own[SOURCE_DIGEST_LEN + 1]; /* the content of this database, local tables left out: `applied` of the next */
	uint64_t rows;
	uint64_t chain;			     /* as in the intent */
	char changes[MANIFEST_CHANGES_TEXT]; /* of an increment; "" */
	bool take_over;			     /* with KC_EDIVERGED: of a companion that was never applied here */
	char found[SOURCE_DIGEST_LEN + 1];   /* with KC_EDIVERGED: what the database is instead */
	struct diverged_list diverged;	     /* with KC_EDIVERGED, or what was discarded */
	char *warning;			     /* heap or NULL: e.g. the journal mode could not be made the master's */
	unsigned open_ms, lock_ms, write_ms, checkpoint_ms;
};
void restore_result_fini(struct restore_result *r);

/*
 * An increment (image.increments) is taken on exactly the generation that it was made from, own_generation, and only
 * where that was applied here. KC_ENEEDFULL: it is not, or the changes do not fit; nothing was written.
 *
 * The intent is asked for again if the database was changed by somebody else meanwhile. A failure after the intent
 * means that nothing was written, but for a disk that failed within the commit: restore_resolve tells; and for
 * companions that could not be put in their places after it (files_pending): restore_files_finish goes on.
 *
 * KC_EDIVERGED: nothing was written, result->diverged says which rows. KC_EBUSY: the lock was not to be had in lock_ms.
 * Otherwise the codes of image.h and of the file system. *result must be given to restore_result_fini in any case.
 */
int backup_restore(struct restore_result *result, const struct restore_options *o);

/* After a crash between intent and result: which of the two is the database? */
enum restore_outcome { RESTORE_NOT_APPLIED, RESTORE_APPLIED, RESTORE_NEITHER };
int restore_resolve(enum restore_outcome *outcome, struct source *live, const char *old_content, const char *content,
    const char *schema);

#endif
