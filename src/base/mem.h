/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem: allocation that cannot fail, and memory for secrets.
 *
 * mem_xalloc() and its kin abort the process when there is no memory: control code has no branch for it. Sizes
 * that a peer or a file can influence go through buf (buf.h), which has a cap.
 *
 * Secrets (keys, passwords) live in memory from mem_secret_new(): locked against swap where RLIMIT_MEMLOCK allows it,
 * excluded from core dumps, between guard pages, wiped on free.
 */
#ifndef KC_MEM_H
#define KC_MEM_H

#include <stdbool.h>
#include <stddef.h>

void *mem_xalloc(size_t size);		      /* zeroed; size 0 gives a valid pointer */
void *mem_xcalloc(size_t count, size_t size); /* zeroed, overflow checked */
void *mem_xrealloc(void *p, size_t size);
char *mem_xstrdup(const char *s);
char *mem_xstrndup(const char *s, size_t n);
char *mem_xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Process-wide: prepares libsodium. Call once, before any secret. Returns KC_OK or KC_EFAIL. */
int mem_init(void);

/* `size` bytes for a secret, zeroed. Never NULL. Free with mem_secret_free (NULL is a no-op), which wipes first. */
void *mem_secret_new(size_t size);
void mem_secret_free(void *p);
char *mem_secret_strdup(const char *s);

/* Overwrite in a way that the compiler keeps. */
void mem_wipe(void *p, size_t size);
/* Wipe a string and free it. NULL is a no-op. For heap strings that were secret for a moment (e.g. a parser's). */
void mem_wipe_free(char *s);
/* Equal? In constant time for equal lengths. */
bool mem_equal(const void *a, const void *b, size_t size);
/* Cryptographically strong random bytes. */
void mem_random(void *p, size_t size);

#endif
