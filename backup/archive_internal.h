/* SPDX-License-Identifier: Apache-2.0 */
/* archive_internal: the list of digests that both directions of archive keep while members pass. */
#ifndef KC_BACKUP_ARCHIVE_INTERNAL_H
#define KC_BACKUP_ARCHIVE_INTERNAL_H

#include <gnutls/crypto.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backup/archive.h"

#define SHA256_SIZE 32

/* The text of SHA256SUMS so far, and the digest of the member that is passing. */
struct archive_sums {
	struct buf text;
	char **names; /* of all members, to find one that comes twice */
	size_t n_names;
	uint32_t *slots; /* a hash table of indices into names, plus one */
	size_t n_slots;	 /* a power of two */
	bool sealed;	 /* members are no longer listed */
	gnutls_hash_hd_t hash;
};

void archive_sums_init(struct archive_sums *s);
void archive_sums_fini(struct archive_sums *s);
/* Checks the name of a member without a line in the list. */
int archive_sums_name(struct archive_sums *s, const char *name);
/* Checks the name (KC_EFORMAT, KC_EEXIST, KC_ELIMIT) and starts a digest. */
int archive_sums_begin(struct archive_sums *s, const char *name);
int archive_sums_update(struct archive_sums *s, const void *data, size_t n);
/* Adds the member's line; digest (may be NULL) gets 32 bytes. */
int archive_sums_end(struct archive_sums *s, uint8_t *digest);
/* From here on members are checked for their names only. */
void archive_sums_seal(struct archive_sums *s);

#endif
