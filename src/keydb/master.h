/* SPDX-License-Identifier: Apache-2.0 */
/*
 * master: the master key file, whose keys wrap the material in the built-in key database.
 *
 * A text file, 0600: lines `<n> <base64 of 32 bytes>`, n ascending from 1, the newest last; blank lines and lines that
 * begin with '#' are skipped. The newest wraps; all of them unwrap, so a file only ever grows: a clone that holds the
 * file of a new backup still opens the rows of an old one.
 */
#ifndef KC_MASTER_H
#define KC_MASTER_H

#include <stdint.h>

#define MASTER_KEY_SIZE 32
#define MASTER_KEYS_MAX 1000

struct master;

/* Make a file with one random key. KC_EEXIST if there is one: it is never overwritten. */
int master_create(const char *path);

/* Read all keys into locked memory. KC_ENOENT, KC_EPERM (mode or owner), KC_EFORMAT names the line. */
int master_load(struct master **m, const char *path);
void master_free(struct master *m); /* wipes; NULL is a no-op */

uint32_t master_newest(const struct master *m);
uint32_t master_oldest(const struct master *m);
/* The MASTER_KEY_SIZE bytes of key `number`, borrowed; NULL if the file has no such key. */
const uint8_t *master_key(const struct master *m, uint32_t number);

#endif
