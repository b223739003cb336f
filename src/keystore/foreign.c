/* SPDX-License-Identifier: Apache-2.0 */
/* foreign: first bytes, file names, and command lines. */
#include "foreign.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/mem.h"
#include "identity_priv.h"

enum kind { NONE, JKS, JCEKS, KDB };

static bool has_suffix(const char *path, const char *suffix)
{
	size_t n = strlen(path), k = strlen(suffix);

	return n > k && strcasecmp(path + n - k, suffix) == 0;
}

static enum kind kind_of(const void *data, size_t size, const char *path)
{
	if (size > 4 && memcmp(data, "\xfe\xed\xfe\xed", 4) == 0)
		return JKS;
	if (size > 4 && memcmp(data, "\xce\xce\xce\xce", 4) == 0)
		return JCEKS;
	if (size > 4 && has_suffix(path, ".kdb") && !x509_is_pem(data, size) && !identity_is_p12(data, size))
		return KDB;
	return NONE;
}

const char *foreign_kind(const void *data, size_t size, const char *path)
{
	static const char *const kinds[] = { NULL, "a Java keystore (JKS)", "a Java keystore (JCEKS)",
		"a CMS key database (kdb)" };

	return kinds[kind_of(data, size, path)];
}

/* As one word of a shell. */
static void put_word(struct buf *b, const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+=,";

	if (word[0] != '\0' && strspn(word, plain) == strlen(word)) {
		buf_put_str(b, word);
		return;
	}
	buf_put_str(b, "'");
	for (const char *p = word; *p != '\0'; p++) {
		if (*p == '\'')
			buf_put_str(b, "'\\''");
		else
			buf_put(b, p, 1);
	}
	buf_put_str(b, "'");
}

/* The same name with the suffix of PKCS#12. Heap. */
static char *target_of(const char *path)
{
	const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
	size_t n =
	    dot != NULL && (slash == NULL || dot > slash + 1) && dot != path ? (size_t)(dot - path) : strlen(path);
	char *stem = mem_xstrndup(path, n), *target = mem_xasprintf("%s.p12", stem);

	free(stem);
	return target;
}

char *foreign_conversion(const void *data, size_t size, const char *path)
{
	enum kind kind = kind_of(data, size, path);
	char *target, *line;
	struct buf b;

	if (kind == NONE)
		return NULL;
	target = target_of(path);
	buf_init(&b, 64 * 1024);
	buf_put_str(&b, kind == KDB ? "gsk8capicmd_64 -cert -export -db " : "keytool -importkeystore -srckeystore ");
	put_word(&b, path);
	if (kind == KDB)
		buf_put_str(&b, " -stashed -label LABEL -type cms -target ");
	else
		buf_putf(&b, " -srcstoretype %s -destkeystore ", kind == JKS ? "JKS" : "JCEKS");
	put_word(&b, target);
	buf_put_str(&b, kind == KDB ? " -target_type pkcs12" : " -deststoretype PKCS12");
	line = mem_xstrdup(buf_status(&b) == 0 ? buf_str(&b) : "");
	buf_fini(&b);
	free(target);
	return line;
}
