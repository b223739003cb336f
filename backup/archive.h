/* SPDX-License-Identifier: Apache-2.0 */
/*
 * archive: the tar inside a backup, and the digests over its members.
 *
 * Members are regular files, and the directories of companions, in this order: manifest.json, then what it declares,
 * then SHA256SUMS (one line a member before it, as sha256sum(1) writes them, in the same order), then SHA256SUMS.sig.
 * Headers are deterministic: owner and group 0, the given time (those of companions have their own), POSIX ustar with
 * pax headers only where ustar does not do. A directory has no line in SHA256SUMS.
 */
#ifndef KC_BACKUP_ARCHIVE_H
#define KC_BACKUP_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"

#define ARCHIVE_MANIFEST     "manifest.json"
#define ARCHIVE_INCREMENTS   "increments.key" /* of a full: the identity that opens what builds on it */
#define ARCHIVE_DATABASE     "keydb.sqlite"
#define ARCHIVE_CHANGESET    "keydb.changeset" /* of an increment */
#define ARCHIVE_FILES	     "files/"	       /* files/<name>/<basename> */
#define ARCHIVE_SUMS	     "SHA256SUMS"
#define ARCHIVE_SIG	     "SHA256SUMS.sig"
#define ARCHIVE_MAX_MEMBERS  9216
#define ARCHIVE_NAME_LIMIT   1024
#define ARCHIVE_MANIFEST_MAX (8u << 20) /* bytes */
#define ARCHIVE_SIG_MAX	     4096

/* ---- writing ---- */

/* Where tar bytes go: all or a failure, which comes back from the call that caused it. */
typedef int (*archive_write_fn)(void *arg, const void *data, size_t n);

struct archive_writer;
int archive_writer_new(struct archive_writer **w, int64_t mtime, archive_write_fn write, void *arg);
void archive_writer_free(struct archive_writer *w);

/* Adds a member. `name` as archive_name_check wants it and not there yet. The digest is computed on the way. */
int archive_writer_add(struct archive_writer *w, const char *name, mode_t mode, const void *data, size_t n);
/* The same from a descriptor, from its present position: exactly `size` bytes; fewer are KC_EFAIL ("became shorter").
 * `sha256` (32 bytes) gets the member's digest unless NULL. */
int archive_writer_add_fd(
    struct archive_writer *w, const char *name, mode_t mode, int fd, uint64_t size, uint8_t *sha256);

/* The same for a companion's file or directory, with whose it was and since when. A directory: fd -1. */
struct archive_meta {
	mode_t mode;
	uid_t uid;
	gid_t gid;
	const char *user, *group; /* NULL: no name known */
	int64_t mtime;
};
int archive_writer_add_companion(
    struct archive_writer *w, const char *name, const struct archive_meta *m, int fd, uint64_t size);

/* Makes the contents of SHA256SUMS.sig for the text of SHA256SUMS. */
typedef int (*archive_sign_fn)(void *arg, struct buf *sig, const void *text, size_t n);
/* Writes SHA256SUMS and SHA256SUMS.sig and the end of the tar. Nothing may follow but free. */
int archive_writer_finish(struct archive_writer *w, archive_sign_fn sign, void *arg);

/* ---- reading ---- */

/* Where tar bytes come from (pack_reader_next). */
typedef int (*archive_next_fn)(void *arg, const uint8_t **data, size_t *n);

/* A member that must come: exactly this name, kind, size and, unless "", digest. */
struct archive_member {
	char *name;
	uint64_t size;
	bool directory;
	char sha256[65];
};

/*
 * The reader gives members one after the other. The first must be manifest.json (at most ARCHIVE_MANIFEST_MAX bytes);
 * then the caller says with archive_reader_expect what the rest is, and anything else (another name or size, a link,
 * device or directory, an absolute path, "..", a name twice, a sparse file) is refused with KC_EDAMAGED; a declared
 * size also bounds what decompression may produce.
 *
 *     archive_reader_next(r); archive_reader_load(r, &buf); parse; archive_reader_expect(r, members, n);
 *     for each: archive_reader_next(r); archive_reader_save(r, fd, path);
 *     archive_reader_finish(r, verify, arg);
 *
 * Nothing read is to be trusted before archive_reader_finish said KC_OK.
 */
struct archive_reader;
int archive_reader_new(struct archive_reader **r, archive_next_fn next, void *arg);
void archive_reader_free(struct archive_reader *r);

/* After the manifest, once. Copies. */
int archive_reader_expect(struct archive_reader *r, const struct archive_member *members, size_t n);

/* On to the next member; the one before must have been read to its end. KC_EDAMAGED when it is not the expected one;
 * KC_EUSAGE when no more is expected. */
int archive_reader_next(struct archive_reader *r);
const char *archive_reader_name(const struct archive_reader *r); /* of the present member, borrowed */
uint64_t archive_reader_size(const struct archive_reader *r);
mode_t archive_reader_mode(const struct archive_reader *r); /* permission bits */

bool archive_reader_is_directory(const struct archive_reader *r); /* it has nothing to be read */

/* The present member onto the end of `b` (its cap: KC_ELIMIT), or to a descriptor. */
int archive_reader_load(struct archive_reader *r, struct buf *b);
int archive_reader_save(struct archive_reader *r, int fd, const char *path);
/* The rest of it for its digest alone. */
int archive_reader_skip(struct archive_reader *r);

/* Is `sig` a signature of the text that we accept? KC_OK or the failure that finish returns. */
typedef int (*archive_verify_fn)(void *arg, const void *sig, size_t nsig, const void *text, size_t n);
/* After the last expected member: reads SHA256SUMS (which must be, byte for byte, what the digests of the members
 * read give, else KC_EDAMAGED), SHA256SUMS.sig, asks `verify`, and reads the source to its end. */
int archive_reader_finish(struct archive_reader *r, archive_verify_fn verify, void *arg);

/* May this be a member's name? Relative, no empty component, no "." or "..", no backslash or control character (so
 * that sha256sum needs no escapes), no byte outside printable ASCII and UTF-8, at most ARCHIVE_NAME_LIMIT bytes.
 * KC_OK or KC_EFORMAT. */
int archive_name_check(const char *name);

#endif
