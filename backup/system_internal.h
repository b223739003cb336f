/* SPDX-License-Identifier: Apache-2.0 */
/* system_internal: what system_manifest.c (the text) and system_file.c (the file) share. */
#ifndef KC_BACKUP_SYSTEM_INTERNAL_H
#define KC_BACKUP_SYSTEM_INTERNAL_H

#include "backup/archive.h"
#include "backup/system.h"

#define SYSTEM_KIND "system"

/* Appends manifest.json. `signer`: public half of the signing key, as sign_public_text() writes it. */
int system_manifest_build(struct buf *json, const struct system_contents *c, const char *signer);

struct system_manifest {
	struct system_contents head; /* without files */
	struct sign_public signer;
	struct archive_member members[SYSTEM_FILES_MAX]; /* names are heap */
	mode_t modes[SYSTEM_FILES_MAX];
	size_t n_members;
};
/* Strict: KC_EFORMAT names the member that is wrong. On failure nothing is left to free. */
int system_manifest_parse(struct system_manifest *m, const void *json, size_t n);
void system_manifest_fini(struct system_manifest *m);

#endif
