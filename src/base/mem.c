/* SPDX-License-Identifier: Apache-2.0 */
/* mem: allocation that aborts, and libsodium's guarded memory for secrets. */
#include "mem.h"

#include <malloc.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"

#define LARGE 65536 /* bytes */

static void *check(void *p)
{
	if (p == NULL) {
		fputs("keyclone: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *mem_xalloc(size_t size)
{
	return check(calloc(1, size > 0 ? size : 1));
}

void *mem_xcalloc(size_t count, size_t size)
{
	return check(calloc(count > 0 ? count : 1, size > 0 ? size : 1));
}

void *mem_xrealloc(void *p, size_t size)
{
	return check(realloc(p, size > 0 ? size : 1));
}

char *mem_xstrdup(const char *s)
{
	return check(strdup(s));
}

char *mem_xstrndup(const char *s, size_t n)
{
	return check(strndup(s, n));
}

char *mem_xasprintf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	return check(s);
}

int mem_init(void)
{
	/* Buffers of compression and archives go back to the system when they are freed, with what was in them: they
	 * are not ours to wipe. */
	mallopt(M_MMAP_THRESHOLD, LARGE);
	if (sodium_init() < 0)
		return err_set(KC_EFAIL, "libsodium does not start");
	return KC_OK;
}

void *mem_secret_new(size_t size)
{
	void *p = check(sodium_malloc(size > 0 ? size : 1));

	sodium_memzero(p, size);
	return p;
}

void mem_secret_free(void *p)
{
	sodium_free(p);
}

char *mem_secret_strdup(const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = mem_secret_new(n);

	memcpy(p, s, n);
	return p;
}

void mem_wipe(void *p, size_t size)
{
	sodium_memzero(p, size);
}

void mem_wipe_free(char *s)
{
	if (s == NULL)
		return;
	mem_wipe(s, strlen(s));
	free(s);
}

bool mem_equal(const void *a, const void *b, size_t size)
{
	return sodium_memcmp(a, b, size) == 0;
}

void mem_random(void *p, size_t size)
{
	randombytes_buf(p, size);
}
