/* SPDX-License-Identifier: Apache-2.0 */
/*
 * restore_files: the companion files of a restore: the rule of divergence, and what restore.c does with them at each of
 * its steps.
 *
 *   open      every companion of the backup has a path here
 *   judge     what is there is what was last applied, or what the backup has, or nothing; else diverged
 *   stage     contents beside their targets (before the intent: nothing has changed yet)
 *   unmoved   under the lock of the database: nobody wrote since judge
 *   commit    after the database's commit
 */
#ifndef KC_BACKUP_RESTORE_FILES_H
#define KC_BACKUP_RESTORE_FILES_H

#include "backup/companions.h"
#include "backup/diverged.h"
#include "backup/image.h"

/* Rows of files in a list of what has diverged: table "replication.File.NAME", key the path in it. */
#define RESTORE_FILES_TABLE "replication.File."

struct restore_files_options {
	struct companion_paths paths;
	const char *beside;  /* instead of paths: "<beside>.<NAME>", for a database that is nobody's; NULL: no */
	const char *applied; /* text of companions_text that was last applied; "" or NULL: first contact, or by hand */
	const char *keydb_path; /* beside it is the list of what was last applied */
	bool resume;		/* a crash interrupted a commit: each file may be old or new */
	int (*alive)(void *arg);
	void *arg;
};

struct restore_files;
/* KC_ECONF: the backup has a companion that has no path here. All is borrowed. */
int restore_files_new(struct restore_files **f, const struct image *img, const struct restore_files_options *o);
void restore_files_free(struct restore_files *f); /* NULL is a no-op */

/* The text of what the backup has. */
const char *restore_files_text(const struct restore_files *f);

/* *same: all is as the backup has it. What has diverged is added to `list` (never emptied here), *diverged says so. */
int restore_files_judge(struct restore_files *f, bool *same, bool *diverged, struct diverged_list *list);
/* Has one diverged that was never applied here? */
bool restore_files_take_over(const struct restore_files *f);
int restore_files_stage(struct restore_files *f);
int restore_files_unmoved(struct restore_files *f, bool *unmoved);
/* *warning (heap, appended to or made): owners that could not be set. */
int restore_files_commit(struct restore_files *f, char **warning);

/* Nothing is under way: what a crash left beside the companions goes. */
void restore_files_clean(const struct companion_paths *paths);

/* Without a backup at hand: is each of them still what `applied` says? Adds to `list`. */
int restore_files_check(const struct restore_files_options *o, struct diverged_list *list);

/* After a crash between intent and result, the database being the new one: does the rest of the backup's companions.
 * What somebody else changed meanwhile is left to the next look. */
int restore_files_finish(const struct image_options *image, const struct restore_files_options *o);

#endif
