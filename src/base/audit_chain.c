/* SPDX-License-Identifier: Apache-2.0 */
/* audit_chain: file names, hashes and ends of the audit log. */
#include "audit_chain.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "file.h"
#include "hex.h"
#include "log.h"
#include "mem.h"

#define TAIL_MAX    65536 /* more than any line that a writer makes, several times */
#define NUMBER_MAX  100000
#define SHA256_SIZE 32

void audit_chain_hash(char out[AUDIT_HASH_SIZE], const void *line, size_t len)
{
	uint8_t digest[SHA256_SIZE];

	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, line, len, digest) < 0) {
		log_err("audit: SHA-256 does not work in this process");
		abort();
	}
	hex_encode(out, digest, sizeof(digest));
}

char *audit_chain_name(const char *path, unsigned number)
{
	return number == 0 ? mem_xstrdup(path) : mem_xasprintf("%s.%u", path, number);
}

/* N of "base.N" in the form that audit_chain_name makes; 0: another file. */
static unsigned number_of(const char *name, const char *base)
{
	size_t n = strlen(base);
	unsigned long v;
	char *end;

	if (strncmp(name, base, n) != 0 || name[n] != '.' || !isdigit((unsigned char)name[n + 1]) || name[n + 1] == '0')
		return 0;
	v = strtoul(name + n + 1, &end, 10);
	return *end == '\0' && v <= NUMBER_MAX ? (unsigned)v : 0;
}

static int descending(const void *a, const void *b)
{
	unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

	return (x < y) - (x > y);
}

int audit_chain_list(unsigned **numbers, size_t *count, const char *path)
{
	char *dir = file_dirname(path);
	DIR *d = opendir(dir);
	unsigned *list = NULL;
	size_t n = 0;
	struct dirent *e;

	if (d == NULL) {
		int rc = err_errno("%s", dir);

		free(dir);
		return rc;
	}
	while ((e = readdir(d)) != NULL) {
		unsigned v = number_of(e->d_name, file_basename(path));

		if (v == 0)
			continue;
		list = mem_xrealloc(list, (n + 1) * sizeof(*list));
		list[n++] = v;
	}
	closedir(d);
	free(dir);
	if (n > 1)
		qsort(list, n, sizeof(*list), descending);
	*numbers = list;
	*count = n;
	return KC_OK;
}

json_t *audit_chain_parse(uint64_t *seq, const char *line, size_t len)
{
	json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *s = json_object_get(o, "seq");
	const char *prev = json_string_value(json_object_get(o, "prev"));

	if (!json_is_integer(s) || json_integer_value(s) <= 0 || prev == NULL || strlen(prev) != AUDIT_HASH_SIZE - 1) {
		json_decref(o);
		return NULL;
	}
	*seq = (uint64_t)json_integer_value(s);
	return o;
}

/* Last line in data[0..n), without its newline: start; *len. */
static const char *last_line(const char *data, size_t n, size_t *len)
{
	const char *nl = n > 0 ? memrchr(data, '\n', n) : NULL;
	const char *start = nl != NULL ? nl + 1 : data;

	*len = (size_t)(data + n - start);
	return start;
}

static void find_tail(struct audit_tail *t, const char *data, size_t n)
{
	size_t end = n, len;
	const char *line;
	json_t *o;

	t->any = n > 0;
	t->torn = n > 0 && data[n - 1] != '\n';
	for (bool first = true; end > 0 && t->seq == 0; first = false) {
		if (data[end - 1] == '\n')
			end--;
		line = last_line(data, end, &len);
		o = audit_chain_parse(&t->seq, line, len);
		if (first) {
			t->len = len;
			t->whole = o != NULL;
			audit_chain_hash(t->hash, line, len);
		}
		json_decref(o);
		end = (size_t)(line - data);
	}
}

int audit_chain_tail(struct audit_tail *t, int fd, off_t size, const char *name)
{
	size_t want = size > TAIL_MAX ? TAIL_MAX : (size_t)size, have = 0;
	char *data = mem_xalloc(want);
	int rc = KC_OK;

	memset(t, 0, sizeof(*t));
	memcpy(t->hash, AUDIT_NO_HASH, sizeof(AUDIT_NO_HASH));
	while (have < want) {
		ssize_t r = pread(fd, data + have, want - have, size - (off_t)want + (off_t)have);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			rc = err_errno("%s: cannot read", name);
		if (r <= 0)
			break;
		have += (size_t)r;
	}
	if (rc == KC_OK)
		find_tail(t, data, have);
	free(data);
	return rc;
}

int audit_chain_tail_of_previous(struct audit_tail *t, const char *path)
{
	unsigned *numbers;
	struct stat st;
	size_t n;
	char *name;
	int fd = -1, rc = audit_chain_list(&numbers, &n, path);

	if (rc < 0 || n == 0)
		return rc;
	name = audit_chain_name(path, numbers[n - 1]);
	rc = file_open(&fd, name, O_RDONLY, 0);
	if (rc == KC_OK && fstat(fd, &st) == 0)
		rc = audit_chain_tail(t, fd, st.st_size, name);
	if (fd >= 0)
		close(fd);
	free(name);
	free(numbers);
	return rc;
}
