/* SPDX-License-Identifier: Apache-2.0 */
/*
 * secret: sealing of small values at rest, and random passwords in files.
 *
 * A secret_box is a random 32-byte key in a 0600 file. seal turns a byte string into text, `kc1:` and the base64 of
 * nonce and XChaCha20-Poly1305 ciphertext; the purpose is authenticated with it, so that a value sealed for one
 * purpose cannot be put in the place of another. The text is safe in a properties file.
 */
#ifndef KC_SECRET_H
#define KC_SECRET_H

#include <stdbool.h>
#include <stddef.h>

/* The purposes in use. Part of the format: never change one. */
#define SECRET_BACKUP_PASSWORD "backup-password"
#define SECRET_AGE_IDENTITY    "age-identity"
#define SECRET_SIGNING_KEY     "signing-key"
#define SECRET_CHAIN_KEY       "increments-key"

#define SECRET_VALUE_MAX 65536 /* bytes that can be sealed */

struct secret_box;

/* Open the box whose key is in `path`; secret_box_open makes the file if it is missing (O_EXCL; a race is won by one
 * and read by the other), secret_box_load says KC_ENOENT. KC_EPERM if others may read it, KC_EDAMAGED on a wrong size.
 */
int secret_box_open(struct secret_box **box, const char *path);
int secret_box_load(struct secret_box **box, const char *path);
/* The box of another machine, whose key file's bytes are here. KC_EDAMAGED on a wrong size. */
int secret_box_from_bytes(struct secret_box **box, const void *key, size_t size);
void secret_box_free(struct secret_box *box); /* wipes; NULL is a no-op */

/* *text is heap. KC_ELIMIT over SECRET_VALUE_MAX. */
int secret_seal(char **text, const struct secret_box *box, const char *purpose, const void *data, size_t size);
/*
 * *data is memory from mem_secret_new (mem_secret_free), with a NUL behind it that *size does not count.
 * KC_EFOREIGN if the prefix is not ours ("sealed by another product"), KC_EFORMAT if it is no base64, KC_EDAMAGED if it
 * does not open: altered, sealed for another purpose, or under another key.
 */
int secret_unseal(void **data, size_t *size, const struct secret_box *box, const char *purpose, const char *text);
/* Tells a value from others without giving it away: only who has the box can compare. Hex. */
#define SECRET_FINGERPRINT_SIZE 33
void secret_fingerprint(char out[SECRET_FINGERPRINT_SIZE], const struct secret_box *box, const char *purpose,
    const void *data, size_t size);
bool secret_is_sealed(const char *text); /* has our prefix */

/* The same with a 0600 file of one line. write: KC_EEXIST unless `replace`. read: KC_ENOENT if it is missing. */
int secret_write(
    const struct secret_box *box, const char *purpose, const char *path, const void *data, size_t size, bool replace);
int secret_read(void **data, size_t *size, const struct secret_box *box, const char *purpose, const char *path);

/* A random password (64 hex digits) in a 0600 file: read, made first if it is missing and `create`. *password is from
 * mem_secret_new. */
int secret_password_file(char **password, const char *path, bool create);

#endif
