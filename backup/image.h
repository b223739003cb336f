/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image: a backup file opened, unpacked into the staging folder, and proved.
 *
 * The first step of every restore, and all of `backup verify`: the header opened (password and recovery header, or
 * identity and travel header), every chunk authentic, nothing behind the end, members exactly those the manifest names,
 * SHA256SUMS right and signed, and the database sound (quick_check) although hostile until then: defensive mode, no
 * trusted schema, no triggers, no views, no extensions. What was unpacked is removed with image_close or after any
 * failure.
 *
 * An increment is a changeset. It is opened alone where the identity of its chain is given; else the full that it
 * builds on and all increments in between are found beside it by their names, opened, proved and put together: the
 * image is then the database as it was at the increment's generation.
 *
 * Codes name the file and what is wrong: KC_EPASSWORD, KC_ETRUNCATED, KC_EDAMAGED, KC_EFORMAT (not a backup),
 * KC_ESIGNATURE, KC_EFOREIGN, KC_ENOSPC (with both figures).
 */
#ifndef KC_BACKUP_IMAGE_H
#define KC_BACKUP_IMAGE_H

#include <stdint.h>

#include "backup/age.h"
#include "backup/archive.h"
#include "backup/manifest.h"
#include "keystore/sign.h"

#define IMAGE_MASTER_KEY_FILE "MasterKeyFile" /* companion name of the built-in key database's master key file */

struct image_options {
	const char *file; /* path of the backup */
	/* What opens it: the password, with the recovery header in the file, … */
	const char *password;
	/* … or a travel header (base64) with this machine's identity. */
	const char *travel;
	const struct age_identity *identity;
	/* … or, of an increment alone, the identity of its chain (image_increments of the full). */
	const struct age_identity *increments;
	const struct sign_pins *pins; /* who may have signed it */
	/* Refuse another lineage (KC_EFOREIGN) or generation (KC_ESTALE); NULL, 0: any. */
	const char *lineage;
	uint64_t generation;
	/* Asked once its manifest was read, before anything is unpacked: a failure refuses it. What the manifest says
	 * is believed when image_open has succeeded, not before. May be NULL. */
	int (*accept)(void *arg, const struct manifest *m);
	void *accept_arg;
	const char *staging; /* folder (0700) where the members are unpacked, in a folder of their own */
	/* 0..100 of reading and checking; a failure cancels. May be NULL. */
	int (*progress)(void *arg, unsigned percent);
	void *arg;
};

struct image;
int image_open(struct image **img, const struct image_options *o);
void image_close(struct image *img); /* removes the unpacked files; NULL is a no-op */

/* The files that opening `file` takes, itself last: of an increment its full, whose header opens it all, and those in
 * between. Heap, *n of them; end with image_files_free. KC_ENOENT: they are not beside it. */
int image_files(char ***paths, size_t *n, const char *file);
void image_files_free(char **paths, size_t n);

const struct manifest *image_manifest(const struct image *img);
const char *image_database(const struct image *img);  /* path of keydb.sqlite; NULL: an increment alone */
const char *image_changeset(const struct image *img); /* path; NULL: no increment alone */
/* What opens the increments that build on it; NULL: nothing does, or it is none. Borrowed. */
const struct age_identity *image_increments(const struct image *img);
const char *image_companion(const struct image *img, const char *name); /* path, NULL: the backup has none */
/* A file of the manifest's tree `tree`, as it was unpacked; heap. */
char *image_tree_file(const struct image *img, size_t tree, size_t entry);
/* Recounts the digest and compares it with the manifest: KC_EDAMAGED. */
int image_recount(struct image *img);

#endif
