/* SPDX-License-Identifier: Apache-2.0 */
/*
 * increment_fixture: a master that makes a chain, and a clone that applies it: both remember from one backup to the
 * next what the daemons and their workers do.
 */
#ifndef KC_TEST_INCREMENT_FIXTURE_H
#define KC_TEST_INCREMENT_FIXTURE_H

#include "backup_fixture.h"

struct fix_master {
	struct fixture *f;
	struct source *s;
	/* To be set by a test, before any backup. */
	struct companion_paths companions;
	const char *master_key_file;
	unsigned max_delete;
	const struct changelog *log;
	const struct lineage_list *ancestors;
	int (*progress)(void *arg, const struct create_progress *p);
	/* What it knows of the newest generation; base.content "": it has to make a full. */
	char lineage[33];
	uint64_t generation, chain;
	struct source_digest base;
	char content[SOURCE_DIGEST_LEN + 1], schema[SOURCE_DIGEST_LEN + 1], files[COMPANIONS_TEXT];
	char master_key_sum[SOURCE_DIGEST_LEN + 1];
	struct changelog_mark mark;
	bool held;
	struct age_identity *key; /* of the chain */
	char *travel;		  /* of its full, for the clone */
	struct age_recipient recipient;
	int begin_chain;   /* what this is to return */
	bool lost;	   /* the next backups are whole, but nobody hears of them */
	uint64_t reserved; /* newest generation that a backup was begun with */
	unsigned full_made;
};
void fix_master_init(struct fix_master *m, struct fixture *f);
void fix_master_fini(struct fix_master *m);
/* The next backup: an increment if there is something to build on and `full` does not say otherwise. On success (and
 * not held) it is what the next one builds on. The caller ends *r where this is KC_OK. */
int fix_master_make(struct fix_master *m, struct create_result *r, bool full);
/* Asserts that it was made, and of which kind. */
void fix_master_full(struct fix_master *m, struct create_result *r);
void fix_master_increment(struct fix_master *m, struct create_result *r);
/* What worker and daemon do when they start again: nothing of the base is believed before it was counted. KC_OK, or why
 * a full is needed. */
int fix_master_restart(struct fix_master *m);
char *fix_master_base(const struct fix_master *m); /* path, heap */

struct fix_clone {
	struct fixture *f;
	struct source *live;
	struct companion_paths companions;
	const char *master_key_file;
	int (*progress)(void *arg, enum restore_phase phase, unsigned percent);
	void *arg;
	/* What it has applied. */
	char lineage[33];
	uint64_t generation, chain;
	char content[SOURCE_DIGEST_LEN + 1], own[SOURCE_DIGEST_LEN + 1], schema[SOURCE_DIGEST_LEN + 1];
	char files[COMPANIONS_TEXT];
	struct age_identity *key; /* of the chain */
};
void fix_clone_init(struct fix_clone *c, struct fixture *f);
void fix_clone_fini(struct fix_clone *c);
/* Options to restore that; `m` has what opens it. */
void fix_clone_options(
    struct fix_clone *c, struct restore_options *o, const struct fix_master *m, const struct create_result *r);
/* Restores; on success the clone has applied it. The caller ends *result. */
int fix_clone_run(struct fix_clone *c, struct restore_result *result, const struct restore_options *o);
/* Both, and asserts that it went well and led to what the master has. */
void fix_clone_apply(struct fix_clone *c, const struct fix_master *m, const struct create_result *r);

#endif
