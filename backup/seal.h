/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seal: the whole pipeline of a backup file, tar → zstd → age → descriptor, and back.
 *
 *     offset 0   header: the given one, or age_scrypt_header_size() bytes that are zero until seal_put_header
 *     offset H   age payload: nonce, chunks
 *
 * One pass, bounded memory (under 24 MB at level 1 in either direction), one copy between a member's bytes and the
 * file: zstd writes into the chunk that age seals in place.
 */
#ifndef KC_BACKUP_SEAL_H
#define KC_BACKUP_SEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backup/age.h"
#include "backup/archive.h"

/* ---- writing ---- */

/* Called after each 256 KiB (or more) that were written, with the size of the file so far, and once at the end.
 * A failure stops the pipeline and comes back from the call that wrote. */
typedef int (*seal_progress_fn)(void *arg, uint64_t bytes);

struct seal_options {
	int fd;			   /* an empty file, opened for writing; borrowed */
	const char *path;	   /* for messages; borrowed */
	int level;		   /* zstd, 1..19 */
	int64_t mtime;		   /* of the tar members */
	const struct buf *header;  /* NULL: it comes last; borrowed during seal_new */
	seal_progress_fn progress; /* NULL: none */
	void *arg;
};

struct seal_result {
	uint64_t size;		    /* of the file, header included */
	uint64_t header_size;	    /* H */
	uint8_t payload_sha256[32]; /* of everything from offset H on */
	char id[33];		    /* hex of the nonce */
};

struct seal;
/* Writes the header, or leaves H zero bytes in its place, and the nonce behind it. `key` is copied. */
int seal_new(struct seal **s, const struct age_key *key, const struct seal_options *o);
void seal_free(struct seal *s); /* NULL is a no-op; leaves the file as it is */

/* The file's id, from the start. Borrowed. */
const char *seal_id(const struct seal *s);
/* Add the members here (not finish). Borrowed. */
struct archive_writer *seal_archive(struct seal *s);
/* SHA256SUMS, signature, ends of tar, zstd and age. Does not sync. */
int seal_finish(struct seal_result *result, struct seal *s, archive_sign_fn sign, void *arg);

/* Fill in the recovery header at offset 0. KC_EUSAGE unless it is exactly age_scrypt_header_size() bytes. */
int seal_put_header(int fd, const char *path, const void *header, size_t n);

/* ---- reading ---- */

/* Reads the header at offset 0 and opens it. *offset: where the payload begins. `header` (may be NULL) gets its
 * bytes. A header region that is still all zeroes is KC_ETRUNCATED ("not finished"). */
int unseal_header(struct age_key **key, uint64_t *offset, struct buf *header, int fd, const char *path,
    const struct age_unlock *with);

/* Is it an increment, which the identity of its chain opens? All others have a password. By the header alone. */
int unseal_is_increment(bool *increment, int fd, const char *path);

/* Without opening anything: where the payload begins and its id (33 bytes), by the header at offset 0. */
int unseal_identify(uint64_t *offset, char *id, int fd, const char *path);

struct unseal;
/* The payload at `offset` of fd (read with pread; the file position is not touched). `progress` as in seal_options,
 * with the bytes read. `key` is copied. No message from here on names the file: that is the caller's err_prefix. */
int unseal_new(
    struct unseal **u, const struct age_key *key, int fd, uint64_t offset, seal_progress_fn progress, void *arg);
void unseal_free(struct unseal *u);
/* Read the members here, ending with archive_reader_finish, which also proves that the file was whole. Borrowed. */
struct archive_reader *unseal_archive(struct unseal *u);

#endif
