/* SPDX-License-Identifier: Apache-2.0 */
/* master: reads and makes the master key file. The keys are in locked memory from the first byte on. */
#include "master.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"

#define LINE_MAX_LEN 80
#define BASE64_LEN   44
#define FILE_MAX     ((size_t)MASTER_KEYS_MAX * LINE_MAX_LEN)

struct master_entry {
	uint32_t number;
	uint8_t key[MASTER_KEY_SIZE];
};

struct master {
	struct master_entry *entries; /* secret memory, ascending */
	size_t count;
};

int master_create(const char *path)
{
	struct file_new f = FILE_NEW_EMPTY;
	uint8_t *key = mem_secret_new(MASTER_KEY_SIZE);
	char *text;
	int rc;

	mem_random(key, MASTER_KEY_SIZE);
	text = base64_encode(key, MASTER_KEY_SIZE);
	if (file_exists(path))
		rc = err_set(KC_EEXIST, "%s: exists already", path);
	else
		rc = file_new_begin(&f, path, 0600);
	if (rc == KC_OK) {
		file_new_write(&f, "1 ", 2);
		file_new_write(&f, text, BASE64_LEN);
		file_new_write(&f, "\n", 1);
		rc = file_new_commit_excl(&f);
	}
	mem_wipe_free(text);
	mem_secret_free(key);
	return rc;
}

/* Exactly the 44 characters of 32 bytes. */
static int decode_key(uint8_t key[MASTER_KEY_SIZE], const char *text, size_t n)
{
	size_t got;

	if (n != BASE64_LEN || base64_decode(key, &got, MASTER_KEY_SIZE, text, n) < 0 || got != MASTER_KEY_SIZE)
		return KC_EFORMAT;
	return KC_OK;
}

/* One line, without its newline: a number, blanks, base64. */
static int parse_line(struct master_entry *e, const char *line, size_t n)
{
	size_t i = 0;
	uint64_t number = 0;

	for (; i < n && line[i] >= '0' && line[i] <= '9' && number <= UINT32_MAX; i++)
		number = number * 10 + (uint64_t)(line[i] - '0');
	if (i == 0 || number == 0 || number > UINT32_MAX || i == n || (line[i] != ' ' && line[i] != '\t'))
		return KC_EFORMAT;
	while (i < n && (line[i] == ' ' || line[i] == '\t'))
		i++;
	while (n > i && (line[n - 1] == ' ' || line[n - 1] == '\t' || line[n - 1] == '\r'))
		n--;
	e->number = (uint32_t)number;
	return decode_key(e->key, line + i, n - i);
}

static int parse(struct master *m, const char *data, size_t size, const char *path)
{
	unsigned number = 0;

	for (size_t at = 0, next; at < size; at = next) {
		const char *nl = memchr(data + at, '\n', size - at);
		size_t n = nl != NULL ? (size_t)(nl - (data + at)) : size - at;

		next = at + n + 1;
		number++;
		if (n == 0 || data[at] == '#' || data[at] == '\r')
			continue;
		if (m->count == MASTER_KEYS_MAX)
			return err_set(KC_ELIMIT, "%s: more than %d master keys", path, MASTER_KEYS_MAX);
		if (parse_line(&m->entries[m->count], data + at, n) < 0)
			return err_set(KC_EFORMAT, "%s:%u: not a number and 32 bytes in base64", path, number);
		if (m->count > 0 && m->entries[m->count].number <= m->entries[m->count - 1].number)
			return err_set(KC_EFORMAT, "%s:%u: master key %u after %u", path, number,
			    m->entries[m->count].number, m->entries[m->count - 1].number);
		m->count++;
	}
	if (m->count == 0)
		return err_set(KC_EFORMAT, "%s: holds no master key", path);
	return KC_OK;
}

int master_load(struct master **out, const char *path)
{
	struct master *m = mem_xalloc(sizeof(*m));
	struct buf b;
	int rc;

	buf_init(&b, FILE_MAX);
	m->entries = mem_secret_new(MASTER_KEYS_MAX * sizeof(m->entries[0]));
	rc = file_read_secret(&b, path);
	if (rc == KC_OK)
		rc = parse(m, (const char *)buf_data(&b), buf_len(&b), path);
	buf_fini(&b);
	if (rc < 0)
		master_free(m);
	else
		*out = m;
	return rc;
}

void master_free(struct master *m)
{
	if (m == NULL)
		return;
	mem_secret_free(m->entries);
	free(m);
}

uint32_t master_newest(const struct master *m)
{
	return m->entries[m->count - 1].number;
}

uint32_t master_oldest(const struct master *m)
{
	return m->entries[0].number;
}

const uint8_t *master_key(const struct master *m, uint32_t number)
{
	for (size_t i = 0; i < m->count; i++)
		if (m->entries[i].number == number)
			return m->entries[i].key;
	return NULL;
}
