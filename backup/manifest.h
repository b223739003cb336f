/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest: what a backup says about itself; the first member, manifest.json. FORMAT.md describes every member.
 *
 * Parsing is strict and safe against hostile input: types, required members, bounds and the form of every string are
 * checked; unknown members are skipped; a format version above ours is refused by that name. It is believed only after
 * the signature over SHA256SUMS was checked.
 */
#ifndef KC_BACKUP_MANIFEST_H
#define KC_BACKUP_MANIFEST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "backup/tree.h"
#include "base/buf.h"
#include "base/lineage.h"

#define MANIFEST_FORMAT	       3  /* the highest that is read; the lowest that does is written (FORMAT.md) */
#define MANIFEST_LINEAGE_LEN   32 /* hex digits */
#define MANIFEST_DIGEST_LEN    64
#define MANIFEST_RECIPIENT_LEN 62
#define MANIFEST_MAX_TABLES    4096
#define MANIFEST_MAX_COMPANION 256
#define MANIFEST_MAX_TREES     32

/* Rows of one table of the snapshot; the changes are those since the base, 0 where there is none. */
struct manifest_table {
	char *name;
	uint64_t rows;
	uint64_t inserted;
	uint64_t updated;
	uint64_t deleted;
	/* Of an increment: what its changes add to the content digest; "": nothing. */
	char delta[MANIFEST_DIGEST_LEN + 1];
};

/* A row of sqlite_sequence: the largest rowid that AUTOINCREMENT has given in a table. */
struct manifest_sequence {
	char *table;
	int64_t value;
};

/* A companion file: member files/<name>/<file>. */
struct manifest_companion {
	char *name; /* [A-Za-z][A-Za-z0-9_-]*, at most 64 */
	char *file; /* its base name: no slash, not "." or ".." */
	uint64_t size;
	mode_t mode; /* permission bits */
};

struct manifest_database {
	uint64_t size;	    /* of keydb.sqlite */
	uint32_t page_size; /* 512..65536, a power of two */
	char encoding[12];  /* "UTF-8", "UTF-16le", "UTF-16be" */
	int auto_vacuum;    /* 0 none, 1 full, 2 incremental */
	int32_t user_version;
	int32_t application_id;
	char journal_mode[12]; /* "delete", "truncate", "persist", "memory", "wal", "off": the live database's */
	char schema_digest[MANIFEST_DIGEST_LEN + 1];
	char content_digest[MANIFEST_DIGEST_LEN + 1];
};

enum manifest_kind { MANIFEST_FULL, MANIFEST_INCREMENTAL };

/* All pointers are heap and owned. manifest_init gives an empty one; fill the members in, with the adders below for
 * the lists. Database kind is always "sqlite" as this program knows it; another one, or another kind of backup, is
 * refused with the value in the message. */
struct manifest {
	enum manifest_kind kind;
	char lineage[MANIFEST_LINEAGE_LEN + 1];
	/* Nearest first: the first is the parent and the parent's generation at which the lineage began. */
	struct lineage_list ancestors;
	uint64_t generation; /* 0: made before the lineage's first */
	uint64_t
	    base; /* generation that the changes are counted from; 0: none; of an increment what it is applied to */
	/* Full: the age recipient of the increments that build on it, whose identity is the member increments.key; "":
	 * none will. Incremental: empty. */
	char increments[MANIFEST_RECIPIENT_LEN + 1];
	/* Incremental: the full that its chain begins with; content digest of the base; bytes of the changeset; digests
	 * of all companions as they are then (companions.h), heap. Where they are not what the base had, all of them
	 * are in `trees`; else none is. */
	uint64_t chain;
	char base_digest[MANIFEST_DIGEST_LEN + 1];
	uint64_t changeset_size;
	char *files;
	int64_t time; /* seconds since 1970, UTC */
	char *host;
	char *product; /* "keyclone 0.1.0" */
	struct manifest_database db;
	struct manifest_table *tables;
	size_t n_tables;
	struct manifest_sequence *sequences;
	size_t n_sequences;
	struct manifest_companion *companions;
	size_t n_companions;
	struct tree *trees; /* what replication.File.NAME names, sorted by name */
	size_t n_trees;
};

void manifest_init(struct manifest *m);
void manifest_fini(struct manifest *m); /* frees; the struct may be initialised again */

/* Copy their strings. */
struct manifest_table *manifest_add_table(struct manifest *m, const char *name, uint64_t rows);
void manifest_add_sequence(struct manifest *m, const char *table, int64_t value);
void manifest_add_companion(struct manifest *m, const char *name, const char *file, uint64_t size, mode_t mode);

/* Takes it: *t is empty afterwards. */
void manifest_add_tree(struct manifest *m, struct tree *t);

/* Appends the JSON text. Checks the same bounds as the parser, so that nothing is written that cannot be read:
 * KC_EFORMAT, KC_ELIMIT. */
int manifest_build(struct buf *json, const struct manifest *m);

/* Fills *m (not initialised before; on failure left empty). KC_EFORMAT names the member that is wrong. */
int manifest_parse(struct manifest *m, const void *json, size_t n);

/* "keys +10 ~2 -0, groups +1 ~0 -0": tables with rows inserted, updated, deleted since the base, as many as fit. */
#define MANIFEST_CHANGES_TEXT 256
char *manifest_changes_text(char out[MANIFEST_CHANGES_TEXT], const struct manifest *m);

/* The tar member of a companion file, heap. */
char *manifest_companion_member(const struct manifest_companion *c);

/* The members that follow the manifest, in order, for archive_reader_expect. Heap, *n of them; free with
 * manifest_members_free. */
struct archive_member;
struct archive_member *manifest_members(const struct manifest *m, size_t *n);
void manifest_members_free(struct archive_member *members, size_t n);

#endif
