/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_chain: what writer and reader of the audit log share: names of its files, hash of a line, end of a file.
 * Internal to audit*.c.
 */
#ifndef KC_AUDIT_CHAIN_H
#define KC_AUDIT_CHAIN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "audit.h"

/* SHA-256 of a line, in hex. */
void audit_chain_hash(char out[AUDIT_HASH_SIZE], const void *line, size_t len);

/* The file with this number: 0 is `path` itself, else "path.N". Heap. */
char *audit_chain_name(const char *path, unsigned number);
/* Numbers of the rotated files that exist, highest (oldest) first. Heap array, the caller's. */
int audit_chain_list(unsigned **numbers, size_t *count, const char *path);

/* The object of a line, if it is one with a seq (*seq) and a prev; NULL: not a record. New reference. */
json_t *audit_chain_parse(uint64_t *seq, const char *line, size_t len);

/* What a file ends with. */
struct audit_tail {
	bool any;		    /* there is a line */
	bool torn;		    /* it has no newline */
	bool whole;		    /* it is a record nevertheless */
	size_t len;		    /* of the line */
	uint64_t seq;		    /* of the last record in the file; 0: none found */
	char hash[AUDIT_HASH_SIZE]; /* of the last line */
};
int audit_chain_tail(struct audit_tail *t, int fd, off_t size, const char *name);
/* The chain goes on in an empty file from where the one before it ended; untouched where there is none. */
int audit_chain_tail_of_previous(struct audit_tail *t, const char *path);

#endif
