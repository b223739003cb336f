/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keydb: the built-in key database: an SQLite file with one table, `keys`.
 *
 * A row is a key: uuid, alias, group, kind, algorithm, state, times, and its material, always wrapped (AES-256-GCM,
 * uuid and kind as associated data) under a key of the master key file (master.h). Nothing secret is in clear.
 *
 * Other processes use the file at the same time: a replicating worker snapshots it or replaces its whole content in
 * one transaction. So transactions are short, every one begins with a look at whether this is still our schema, and a
 * lock is waited for up to KEYDB_BUSY_MS. The master key file is read when it is first needed, and again when a row
 * names a key that was not in it.
 *
 *     struct keydb *db;
 *     struct keydb_generated made;
 *
 *     if ((rc = keydb_open(&db, path, master_key_file)) < 0)
 *             return rc;
 *     rc = keydb_begin(db);
 *     if (rc == KC_OK)
 *             rc = keydb_generate(&made, db, &(struct keydb_new){ .group = "LTO", .count = 1000 });
 *     if (rc == KC_OK)
 *             rc = (write the audit record);
 *     if (rc == KC_OK)
 *             rc = keydb_commit(db);
 *     keydb_close(db);               (aborts what was not committed)
 *
 * Errors: KC_EFORMAT: not a built-in key database, or one of a newer version; KC_ENOENT; KC_EBUSY: locked for too
 * long; KC_EDAMAGED: the file, or material that does not open; KC_EPASSWORD: material wrapped under a master key that
 * the master key file does not hold; KC_EEXIST: uuid, alias or material is there already; KC_EPERM: a transition that
 * the states do not allow, or a file of somebody else.
 */
#ifndef KC_KEYDB_H
#define KC_KEYDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keydb/lifecycle.h"

#define KEYDB_APPLICATION_ID 0x4b43646b /* "KCdk", in the SQLite header */
#define KEYDB_SCHEMA_VERSION 1		/* user_version */
#define KEYDB_BUSY_MS	     15000
#define KEYDB_UUID_LEN	     36
#define KEYDB_NAME_MAX	     255   /* bytes of an alias or a group */
#define KEYDB_MATERIAL_MAX   65536 /* bytes */
#define KEYDB_COUNT_MAX	     1000000

struct keydb;
struct waiting;

/* A row without its material. No pointers: copy it as you like. Times are seconds since 1970, 0 = not yet. */
struct keydb_key {
	char uuid[KEYDB_UUID_LEN + 1];
	char alias[KEYDB_NAME_MAX + 1]; /* "" = none */
	char group[KEYDB_NAME_MAX + 1]; /* "" = none */
	char algorithm[32];		/* "AES-256", "RSA-3072", "EC-secp256r1" */
	enum keydb_kind kind;
	enum keydb_state state;
	int64_t created, activated, deactivated, compromised, destroyed;
	bool held;	     /* until a backup has it: keydb_use_waiting() */
	uint32_t master_key; /* number of the wrapping key; 0 = no material (destroyed) */
};

/*
 * Make the database file (0600, KC_EEXIST if it is there) with an empty `keys` table, in WAL mode; a failure leaves
 * nothing behind. As root in somebody else's directory the file becomes theirs. The master key file is master.h's.
 */
int keydb_create(const char *path);

/* Open an existing one. `master_key_file` (borrowed, may be NULL where no material is needed) is not read yet. A path
 * of another kind of key database (postgresql://…, another schema, no SQLite file) is KC_EFORMAT. */
int keydb_open(struct keydb **db, const char *path, const char *master_key_file);
void keydb_close(struct keydb *db); /* aborts an open transaction; NULL is a no-op */

/* Keys that are listed in `w` (waiting.h, borrowed) are held: they are not exported. `hold`: new ones are listed. */
void keydb_use_waiting(struct keydb *db, struct waiting *w, bool hold);

/* What changes keys happens between begin and commit; begin takes the write lock. abort without begin is a no-op. */
int keydb_begin(struct keydb *db);
int keydb_commit(struct keydb *db);
void keydb_abort(struct keydb *db);

/* Make `count` symmetric keys with random material. An `alias` is the key's alias if count is 1 and the prefix of a
 * number of six digits or more otherwise; numbers go on behind the highest that is there. */
struct keydb_new {
	const char *alias;     /* NULL: none */
	const char *group;     /* NULL: none */
	const char *algorithm; /* "AES-128", "AES-192", "AES-256" (also NULL), "HMAC-SHA256|384|512" */
	unsigned count;
	bool activate; /* active at once, else pre-active */
	/* Import: what makes two keys the same; NULL: the material. (A private key has several encodings.) */
	const void *same;
	size_t same_size;
};
struct keydb_generated {
	unsigned count;
	struct keydb_key first, last;
};
int keydb_generate(struct keydb_generated *made, struct keydb *db, const struct keydb_new *what);

/* Store one key. `material` is borrowed: raw bytes of a symmetric key, PKCS#8 DER of a private key, X.509 DER of a
 * certificate (material.h makes them from files). `what->count` is not looked at; `uuid` NULL: a random one. */
int keydb_import(struct keydb_key *stored, struct keydb *db, const struct keydb_new *what, enum keydb_kind kind,
    const char *uuid, const void *material, size_t size);

/* By uuid (any case), else by alias. KC_ENOENT names it. */
int keydb_get(struct keydb_key *key, struct keydb *db, const char *name);

/* Each matching key in the order of creation, from one consistent snapshot; `key` is borrowed. A negative result of
 * `each` ends the walk and is returned. NULL or -1 in the filter: any. */
struct keydb_filter {
	const char *group;
	const char *alias; /* beginning of the alias */
	int state;
	int kind;
};
#define KEYDB_FILTER_ALL           \
	{                          \
		NULL, NULL, -1, -1 \
	}
typedef int (*keydb_each_fn)(const struct keydb_key *key, void *arg);
int keydb_list(struct keydb *db, const struct keydb_filter *filter, keydb_each_fn each, void *arg);

/* The material of a key, in memory from mem_secret_new that the caller frees. KC_ENOENT if it was destroyed, KC_EPERM
 * if it is held. */
int keydb_export(uint8_t **material, size_t *size, struct keydb *db, const struct keydb_key *key);

/* Change the state of the key with this uuid or alias, as lifecycle.h allows; *key gets the new row. Becoming
 * destroyed (or destroyed-compromised) wipes the material and keeps the row. */
int keydb_set_state(struct keydb_key *key, struct keydb *db, const char *name, enum keydb_state to);
/* To destroyed, or destroyed-compromised where the key was compromised. */
int keydb_destroy(struct keydb_key *key, struct keydb *db, const char *name);

#endif
