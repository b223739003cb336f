/* SPDX-License-Identifier: Apache-2.0 */
/* token_uri: see token_uri.h. */
#include "token_uri.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"

#define SCHEME "pkcs11:"

static int digit(char c)
{
	return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Percent-encoding away. NULL: wrong, or a zero byte. Heap. */
static char *decode(const char *text, size_t n)
{
	char *out = mem_xcalloc(n + 1, 1), *o = out;

	for (size_t i = 0; i < n; i++) {
		if (text[i] != '%') {
			*o++ = text[i];
			continue;
		}
		if (i + 2 >= n || !isxdigit((unsigned char)text[i + 1]) || !isxdigit((unsigned char)text[i + 2]) ||
		    (text[i + 1] == '0' && text[i + 2] == '0')) {
			free(out);
			return NULL;
		}
		*o++ = (char)(digit(text[i + 1]) * 16 + digit(text[i + 2]));
		i += 2;
	}
	return out;
}

static bool has_name(const char *attribute, size_t n, const char *name)
{
	size_t k = strlen(name);

	return n > k && memcmp(attribute, name, k) == 0 && attribute[k] == '=';
}

/* A path that must be absolute, with or without "file:" (and "//" of an empty authority). */
static int take_path(char **path, const char *value, size_t n, const char *name)
{
	char *text = decode(value, n), *begin = text;

	if (text == NULL)
		return err_set(KC_ECONF, "PKCS#11 URI: %s has a wrong percent-encoding", name);
	if (strncmp(begin, "file:", 5) == 0)
		begin += 5;
	if (strncmp(begin, "///", 3) == 0)
		begin += 2;
	if (begin[0] != '/') {
		int rc = err_set(KC_ECONF, "PKCS#11 URI: %s=%.200s: not the absolute path of a file", name, text);

		free(text);
		return rc;
	}
	free(*path);
	*path = mem_xstrdup(begin);
	free(text);
	return KC_OK;
}

static int take_attribute(struct token_uri *u, const char *a, size_t n)
{
	if (has_name(a, n, "pin-value"))
		return err_set(KC_ECONF, "PKCS#11 URI: pin-value is a PIN in the configuration, which others read; "
					 "pin-source=file:… names a "
					 "file with it");
	if (has_name(a, n, "pin-source"))
		return take_path(&u->pin_file, a + 11, n - 11, "pin-source");
	if (has_name(a, n, "module-path"))
		return take_path(&u->module, a + 12, n - 12, "module-path");
	return err_set(KC_ECONF, "PKCS#11 URI: '%.*s' is none of pin-source, module-path", (int)strcspn(a, "=&"), a);
}

int token_uri_parse(struct token_uri *u, const char *uri)
{
	const char *query = strchr(uri, '?');
	size_t n = query != NULL ? (size_t)(query - uri) : strlen(uri);
	int rc = KC_OK;

	*u = (struct token_uri){ 0 };
	if (strncmp(uri, SCHEME, strlen(SCHEME)) != 0)
		return err_set(KC_ECONF, "%.100s: not a PKCS#11 URI", uri);
	u->object = mem_xstrndup(uri, n);
	/* Before RFC 7512 they were attributes of the path. */
	if (strstr(u->object, "pin-value=") != NULL)
		rc = take_attribute(u, "pin-value=", 10);
	else if (strstr(u->object, "pinfile=") != NULL || strstr(u->object, "pin-source=") != NULL)
		rc = err_set(KC_ECONF, "PKCS#11 URI: pin-source belongs behind the question mark");
	else if (n == strlen(SCHEME))
		rc = err_set(KC_ECONF, "PKCS#11 URI: names no token and no object");
	for (const char *a = query != NULL ? query + 1 : NULL; rc == KC_OK && a != NULL && *a != '\0';) {
		size_t k = strcspn(a, "&");

		rc = take_attribute(u, a, k);
		a += k + (a[k] == '&' ? 1 : 0);
	}
	if (rc < 0)
		token_uri_fini(u);
	return rc;
}

void token_uri_fini(struct token_uri *u)
{
	free(u->object);
	free(u->pin_file);
	free(u->module);
	*u = (struct token_uri){ 0 };
}
