/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store: the backup folder: names, catalogue, retention.
 *
 *     keyclone-<database>-<lineage:8>-<generation:10>-<kind>-<YYYYMMDDThhmmssZ>.tar.zst.age
 *
 * The name is for people and for listing; what counts is the manifest inside. A file that is being written has
 * ".part" behind its name. Files with other names are left alone, always.
 */
#ifndef KC_BACKUP_STORE_H
#define KC_BACKUP_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STORE_DATABASE_MAX 64
#define STORE_SUFFIX	   ".tar.zst.age"
#define STORE_SYSTEM_KEEP  3 /* system backups kept */
/* The database part of a system backup's name. */
#define STORE_SYSTEM_DATABASE "system"
#define STORE_PART	      ".part"

enum store_kind {
	STORE_FULL,   /* "full" */
	STORE_SAFETY, /* "safety": made before rows were discarded; never removed by us */
	STORE_INCR,   /* "incr": what changed since the generation before; builds on its chain's full */
	STORE_SYSTEM, /* "system": of the master's configuration (system.h); its generation is a count of its own */
};
const char *store_kind_name(enum store_kind kind);

struct store_name {
	char database[STORE_DATABASE_MAX + 1];
	char lineage[9]; /* first 8 hex digits */
	uint64_t generation;
	enum store_kind kind;
	int64_t time; /* seconds since 1970 */
};
/* The database part of names for a key database: its file name without extension; what is not a letter, a digit, '.',
 * '_' or '-' is replaced. */
void store_database_name(char out[STORE_DATABASE_MAX + 1], const char *keydb_path);
/* Heap. `lineage` in the struct may be cut from the full id by the caller; only 8 digits are used. */
char *store_name_build(const struct store_name *n);
/* Exactly such a name (no directory, no .part), else KC_EFORMAT. */
int store_name_parse(struct store_name *n, const char *name);

struct store_entry {
	struct store_name name;
	char *file; /* name without directory */
	char *path;
	uint64_t size;
	int64_t lineage_time; /* newest time in the names of its lineage */
	/* A full that is no generation's own (`backup create`), so that nothing builds on it: its number is also
	 * another's, or 0. */
	bool outside;
	uint64_t chain; /* of an increment: the newest full before it that is not outside; 0: that is not here */
};
/* All backups in `dir`, oldest first: by generation within a lineage (clocks may be wrong). A missing folder is
 * KC_ENOENT. */
int store_list(struct store_entry **entries, size_t *n, const char *dir);
void store_list_free(struct store_entry *entries, size_t n);

/*
 * Keeps the newest `max` fulls with the increments that build on them and removes older ones, but never one in `keep`
 * (file names: in use, the newest verified), nor the full and the increments that one of those builds on, and never the
 * newest. Increments go before their full, the newest first: what is left can be opened at every instant. `removed`
 * (may be NULL) is called for each one before it goes; its failure stops the removal and is returned (an audit record
 * that cannot be written).
 */
struct store_prune {
	const char *dir;
	size_t max;
	const char *const *keep;
	size_t n_keep;
	int (*removed)(void *arg, const struct store_entry *e);
	void *arg;
};
int store_prune(const struct store_prune *p);
/* The same for system backups, of which the newest STORE_SYSTEM_KEEP stay; `max` is not used. */
int store_prune_system(const struct store_prune *p);

/* Is there a backup of this file name (not empty)? */
bool store_has(const char *dir, const char *file);

/*
 * Removes .part files that nobody will go on with (`keep` says which to leave: name without .part; NULL: none).
 */
int store_clean(const char *dir, bool (*keep)(void *arg, const char *name), void *arg);

#endif
