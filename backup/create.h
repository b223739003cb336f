/* SPDX-License-Identifier: Apache-2.0 */
/*
 * create: a backup: snapshot → digest, or what changed since the base → companions → tar → zstd → age → `<name>.part`,
 * which grows and then gets its name.
 *
 * scrypt runs in a thread beside the pipeline (or ran before, see backup_prepare); so does quick_check. A backup that
 * fails leaves nothing behind. Blocking; memory is bounded and does not depend on the database's size.
 */
#ifndef KC_BACKUP_CREATE_H
#define KC_BACKUP_CREATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backup/age.h"
#include "backup/changelog.h"
#include "backup/companions.h"
#include "backup/deleted.h"
#include "backup/manifest.h"
#include "backup/source.h"
#include "backup/store.h"
#include "keystore/sign.h"

enum create_phase { CREATE_SNAPSHOT, CREATE_DIGEST, CREATE_WRITE, CREATE_FINISH };
const char *create_phase_name(enum create_phase phase); /* "snapshot", … */

struct create_progress {
	enum create_phase phase;
	unsigned percent;     /* of the whole, never falls */
	const char *path;     /* CREATE_WRITE and later: the .part file, which others may read as far as `bytes` */
	const char *name;     /* its name to be, without directory */
	uint64_t bytes;	      /* size of the file so far, header region included */
	uint64_t header_size; /* H: where the payload begins */
	const char *file_id;  /* hex of the payload's nonce */
	const char *content;  /* content digest of the snapshot */
	uint64_t generation;
	uint64_t base, chain;	/* of an increment; 0: a full */
	uint64_t database_size; /* bytes of the snapshot, or of the changes: a clone needs about as much again in
				   staging and in its WAL */
};

/* A file key with its recovery header, made ahead of time so that the hot path does not wait for scrypt; good for one
 * backup. prepare starts a thread and returns at once. */
struct create_prepared;
int backup_prepare(struct create_prepared **p, const char *password, int logn);
void create_prepared_free(struct create_prepared *p); /* waits for the thread; NULL is a no-op */

/* The lineage of a backup that belongs to none: a safety backup, or one before the first replication. */
#define CREATE_NO_LINEAGE "00000000000000000000000000000000"

/* What an increment is made from. All is borrowed. */
struct create_increment {
	uint64_t chain;			       /* generation of the full that it builds on */
	const struct age_recipient *recipient; /* of the increments of that full */
	const struct source_digest *base;      /* of the base, known to be right */
	const char *files;		       /* companions of the base (companions_text) */
	const char *master_key_sum; /* create_result.master_key_sum of a backup of the chain; "": not known */
	/* The change log of the database, and how far it was read when the base was made: where it goes on there
	 * nothing is copied. NULL: there is none. */
	const struct changelog *log;
	const struct changelog_mark *mark;
};

struct create_result;
struct diff_table;

struct create_options {
	struct source *source;
	const char *dir;     /* the backup folder; exists */
	const char *output;  /* or: exactly this file, KC_EEXIST if it is there (its `.part` grows beside it) */
	const char *lineage; /* 32 hex digits */
	const struct lineage_list *ancestors; /* of the lineage; NULL: none */
	/* The generation, or 0 with a function that reserves it once it is clear that a backup will be made (after the
	 * digest); `kind` is what it will be. Without a function 0 is the generation (a backup before the first
	 * replication). */
	uint64_t generation;
	int (*reserve)(void *arg, uint64_t *generation, enum store_kind kind);
	enum store_kind kind; /* STORE_FULL also where it may become an increment */
	/* Make an increment on base_generation (with keep_base), if that can carry what changed; NULL: a full. */
	const struct create_increment *increment;
	/* A full, whose generation is reserved: what will increments that build on it be encrypted for? *identity is
	 * borrowed until the backup is made. NULL: none will build on it. */
	int (*begin_chain)(void *arg, const struct age_identity **identity, uint64_t generation);
	const char *host;     /* name of this machine; NULL or "": localhost */
	const char *product;  /* "keyclone 0.1.0" */
	int level;	      /* zstd, 1..19 */
	int logn;	      /* scrypt, 15..20 */
	const char *password; /* secret memory */
	struct create_prepared *
	    *prepared; /* of the same password; NULL: none. Taken, and set to NULL, if it was used */
	const struct sign_key *key;
	const char *master_key_file; /* companion file MasterKeyFile, NULL: none */
	/* What replication.File.NAME names: copied into the staging folder beside the database after its snapshot, so
	 * that what the database speaks of is in them. A missing one is KC_ENOENT; with `safety` it is left out, as are
	 * links. */
	struct companion_paths companions;
	bool safety;
	/* Make nothing if the database has these digests and the companions this text (all given): result->unchanged.
	 * unless_files NULL: as "". */
	const char *unless_content, *unless_schema, *unless_files;
	/* The snapshot is kept as the base (base.h) of its generation. It is first compared with the base of the newest
	 * generation, 0: there is none, whose content is `base_digest` (NULL: that was looked at before). If more than
	 * `max_delete_percent` (0: any number may) of a table's rows are gone nothing is made: result->held; likewise
	 * if it was held before and the base cannot be read. */
	bool keep_base;
	uint64_t base_generation;
	const char *base_digest;
	unsigned max_delete_percent;
	bool was_held;
	/* A backup that has exactly what is in the file `snapshot` is whole: this one, or (result->unchanged) that of
	 * base_generation. May be NULL. */
	void (*made)(void *arg, const char *snapshot, uint64_t generation);
	int (*progress)(void *arg, const struct create_progress *p); /* a failure cancels; may be NULL */
	/* The file of an increment is complete, and others may read all of it: what follows is that it is on disk and
	 * gets its name. A failure cancels; may be NULL. */
	int (*whole)(void *arg, const struct create_result *r);
	void *arg; /* of progress, whole and reserve */
};

struct create_result {
	bool unchanged; /* nothing was made; of the rest only version, digests and rows are set */
	bool held;	/* nothing was made, as before; `deleted` says why, unless the base could not be read */
	enum store_kind kind;
	char why_full[256]; /* a full where an increment was asked for: why */
	/* What changed since the base (an increment), one for each of digest.tables; heap. */
	struct diff_table *changes;
	struct source_digest digest;		/* of the snapshot */
	struct changelog_mark mark;		/* how far the change log goes that is in it */
	uint64_t base, chain;			/* of an increment; else 0 */
	char increments[AGE_RECIPIENT_LEN + 1]; /* of a full; "": none */
	uint64_t changeset_size;
	char changed[MANIFEST_CHANGES_TEXT];	    /* the same as a text */
	char master_key_sum[SOURCE_DIGEST_LEN + 1]; /* SHA-256 of the master key file; "": none */
	bool base_good; /* the base of the newest generation is there and was read, or has just been kept */
	struct deleted deleted;
	char *path; /* heap: the file */
	char *name; /* heap: without directory */
	uint64_t generation;
	uint64_t size;		 /* of the file */
	uint64_t header_size;	 /* H */
	char payload_sha256[65]; /* of everything from H on */
	char file_id[33];
	char content[SOURCE_DIGEST_LEN + 1];
	char schema[SOURCE_DIGEST_LEN + 1];
	uint64_t rows;
	uint64_t database_size;
	uint64_t version;	     /* source_version() of the snapshot */
	char files[COMPANIONS_TEXT]; /* digests of the companions */
	char files_stamp[TREE_DIGEST_LEN +
			 1]; /* companions_stamp() of the same; "" where it is too young to be relied on */
	struct age_key *key; /* file key, for backup_wrap */
	int64_t time;	     /* in name and manifest */
	unsigned snapshot_ms, digest_ms, write_ms, finish_ms;
};
void create_result_fini(struct create_result *r);

/* KC_ENOSPC with both figures before anything is written; KC_EDAMAGED if the database fails its check. */
int backup_create(struct create_result *result, const struct create_options *o);

/*
 * Travel headers (base64, heap) for the payload whose file key is `key`, one for each recipient: travel[i] opens it for
 * recipients[i] alone. Nothing is made on failure.
 */
int backup_wrap(char **travel, const struct age_key *key, const struct age_recipient *recipients, size_t n);
/* The file key of a stored backup, by the password: for clones that catch up. Free with age_key_free. */
int backup_file_key(struct age_key **key, const char *path, const char *password);

#endif
