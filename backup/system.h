/* SPDX-License-Identifier: Apache-2.0 */
/*
 * system: the system backup: what makes a machine the master, apart from the keys: properties, keystore, truststore,
 * authority, signing key, lineage and fleet. FORMAT.md section 8.
 *
 * It is the same wrapping as any backup (age, zstd, tar, SHA256SUMS, signature), opened by the password alone: clones
 * keep it and cannot open it. A bare-metal recovery and a promotion can. It is small: all of it is in wiped memory, and
 * nothing of it is on disk in the clear.
 */
#ifndef KC_BACKUP_SYSTEM_H
#define KC_BACKUP_SYSTEM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/lineage.h"
#include "keystore/sign.h"

struct create_prepared;

#define SYSTEM_FORMAT	  1
#define SYSTEM_DIGEST_LEN 64
#define SYSTEM_CLONES_MAX 20
#define SYSTEM_FILES_MAX  256
#define SYSTEM_FILE_MAX	  (1u << 20) /* bytes of one file */
#define SYSTEM_TOTAL_MAX  (8u << 20) /* of all */

/* Where members are, by what they are for: "config/keyclone.properties", "keystore/ssl_cert.crt", … */
#define SYSTEM_CONFIG	  "config/"
#define SYSTEM_KEYSTORE	  "keystore/"
#define SYSTEM_TRUSTSTORE "truststore/"
#define SYSTEM_SECRETS	  "secrets/"

struct system_file {
	char *name; /* of the member */
	mode_t mode;
	struct buf data;
};

/* What is in one, or is to be. All pointers are heap and owned. */
struct system_contents {
	char lineage[LINEAGE_LEN + 1];
	struct lineage_list ancestors;
	uint64_t generation; /* of system backups, a count of its own within the lineage */
	uint64_t keys;	     /* generation of the newest backup of the key database when it was made; 0: none */
	int64_t time;
	char *host;
	char *product;
	char *clones[SYSTEM_CLONES_MAX]; /* "HOST:PORT" */
	size_t n_clones;
	struct system_file *files; /* sorted by name */
	size_t n_files;
	size_t total; /* bytes of all files */
};
void system_init(struct system_contents *c);
void system_fini(struct system_contents *c); /* wipes; may be initialised again */

/* Adds a copy. KC_ELIMIT, KC_EEXIST, KC_EFORMAT (the name). */
int system_add(struct system_contents *c, const char *name, mode_t mode, const void *data, size_t n);
/* The same from a file: never through a link. KC_ENOENT where it is missing. */
int system_add_file(struct system_contents *c, const char *name, const char *path);
/* NULL: it has none. */
const struct system_file *system_find(const struct system_contents *c, const char *name);
/* The one below SYSTEM_CONFIG: the configuration file. NULL: it has none. */
const struct system_file *system_config(const struct system_contents *c);

/* Of what is worth another backup: lineage, ancestors, fleet, files, and what tells the password that opens it from
 * others (`password_id`); not of generations, time, host. */
int system_digest(char digest[SYSTEM_DIGEST_LEN + 1], const struct system_contents *c, const char *password_id);

struct system_options {
	const char *dir;      /* the backup folder; exists */
	int level;	      /* zstd */
	int logn;	      /* scrypt */
	const char *password; /* secret memory */
	const struct sign_key *key;
	/* of the same password (create.h); NULL: none. Taken, and set to NULL, if it was used */
	struct create_prepared **prepared;
};

struct system_result {
	char *path, *name; /* heap */
	uint64_t size;
	uint64_t header_size;
	char payload_sha256[65];
	char file_id[33];
};
void system_result_fini(struct system_result *r);

/* Makes the file. c->time and c->generation are in its name and manifest. Blocking (scrypt). A failure leaves nothing
 * behind. */
int system_create(struct system_result *r, const struct system_contents *c, const struct system_options *o);

/*
 * Opens one by its password and proves all of it: every chunk, every digest, the signature. `pins`: who may have signed
 * it; NULL (a machine that knows nobody yet): the signing key that it carries, so that whoever knows the password is
 * believed. Codes as image.h. *c is filled on success only.
 */
int system_open(struct system_contents *c, const char *file, const char *password, const struct sign_pins *pins);

#endif
