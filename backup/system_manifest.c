/* SPDX-License-Identifier: Apache-2.0 */
/* system_manifest: manifest.json of a system backup, written and read. What is read is a stranger's until its signature
 * was checked. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "backup/manifest.h"
#include "backup/system_internal.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/member.h"

#define COUNT_MAX ((json_int_t)1 << 53)

/* --- writing --- */

static json_t *clones_json(const struct system_contents *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->n_clones; i++)
		json_array_append_new(list, json_string(c->clones[i]));
	return list;
}

static json_t *files_json(const struct system_contents *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->n_files; i++) {
		const struct system_file *f = &c->files[i];
		char mode[8];

		snprintf(mode, sizeof(mode), "%04o", (unsigned)f->mode & 0777);
		json_array_append_new(list,
		    json_pack("{s:s, s:I, s:s}", "name", f->name, "size", (json_int_t)buf_len(&f->data), "mode", mode));
	}
	return list;
}

static int dump_to_buf(const char *data, size_t n, void *arg)
{
	buf_put(arg, data, n);
	return ((struct buf *)arg)->failed ? -1 : 0;
}

int system_manifest_build(struct buf *json, const struct system_contents *c, const char *signer)
{
	char when[CLOCK_UTC_SIZE];
	json_t *root;
	int rc = KC_OK;

	clock_utc(when, c->time);
	root = json_pack("{s:i, s:s, s:s, s:o, s:I, s:I, s:s, s:s, s:s, s:s, s:o, s:o}", "format", SYSTEM_FORMAT,
	    "kind", SYSTEM_KIND, "lineage", c->lineage, "ancestors", lineage_json(&c->ancestors), "generation",
	    (json_int_t)c->generation, "keys", (json_int_t)c->keys, "time", when, "host", c->host, "product",
	    c->product, "signer", signer, "clones", clones_json(c), "files", files_json(c));
	if (root == NULL)
		return err_set(KC_EFORMAT, "manifest: a string that is not UTF-8");
	if (json_dump_callback(root, dump_to_buf, json, JSON_INDENT(1)) < 0)
		rc = err_set(KC_ELIMIT, "manifest: longer than %zu bytes", json->cap);
	json_decref(root);
	buf_put_str(json, "\n");
	return rc < 0 ? rc : buf_status(json);
}

/* --- reading --- */

static int wrong(const char *member)
{
	return err_set(KC_EFORMAT, "manifest: %s: missing or not what it should be", member);
}

static int read_count(uint64_t *out, const json_t *o, const char *name, json_int_t max)
{
	const json_t *v = json_object_get(o, name);

	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > max)
		return wrong(name);
	*out = (uint64_t)json_integer_value(v);
	return KC_OK;
}

static int read_text(char **out, const json_t *o, const char *name)
{
	const char *s = member_text(o, name);

	if (s[0] == '\0' || strlen(s) > 255)
		return wrong(name);
	*out = mem_xstrdup(s);
	return KC_OK;
}

static int read_clones(struct system_contents *c, const json_t *list)
{
	if (!json_is_array(list) || json_array_size(list) > SYSTEM_CLONES_MAX)
		return wrong("clones");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *s = json_string_value(json_array_get(list, i));

		if (s == NULL || strlen(s) > 300)
			return wrong("clones");
		c->clones[c->n_clones++] = mem_xstrdup(s);
	}
	return KC_OK;
}

static bool may_be_member(const char *name)
{
	static const char *const places[] = { SYSTEM_CONFIG, SYSTEM_KEYSTORE, SYSTEM_TRUSTSTORE, SYSTEM_SECRETS };

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		size_t n = strlen(places[i]);

		if (strncmp(name, places[i], n) == 0)
			return strchr(name + n, '/') == NULL && archive_name_check(name) == KC_OK;
	}
	return false;
}

static int read_file(struct system_manifest *m, const json_t *o, uint64_t *total)
{
	const char *name = member_text(o, "name"), *mode = member_text(o, "mode");
	uint64_t size;
	int rc = read_count(&size, o, "size", SYSTEM_FILE_MAX);

	if (rc < 0)
		return rc;
	if (!may_be_member(name) || strlen(mode) != 4 || mode[0] != '0' || strspn(mode, "01234567") != 4)
		return wrong("files");
	*total += size;
	if (*total > SYSTEM_TOTAL_MAX)
		return err_set(KC_ELIMIT, "manifest: files: more than %u bytes in all", SYSTEM_TOTAL_MAX);
	m->modes[m->n_members] = (mode_t)strtoul(mode, NULL, 8);
	m->members[m->n_members++] = (struct archive_member){ .name = mem_xstrdup(name), .size = size };
	return KC_OK;
}

static int read_files(struct system_manifest *m, const json_t *list)
{
	uint64_t total = 0;
	int rc = KC_OK;

	if (!json_is_array(list) || json_array_size(list) > SYSTEM_FILES_MAX)
		return wrong("files");
	for (size_t i = 0; rc == KC_OK && i < json_array_size(list); i++)
		rc = read_file(m, json_array_get(list, i), &total);
	return rc;
}

static int read_version(const json_t *o)
{
	uint64_t format;
	int rc = read_count(&format, o, "format", INT32_MAX);

	if (rc < 0)
		return rc;
	if (strcmp(member_text(o, "kind"), SYSTEM_KIND) != 0)
		return err_set(KC_EFORMAT, "not a system backup but one of kind \"%s\"", member_text(o, "kind"));
	if (format != SYSTEM_FORMAT)
		return err_set(KC_EFORMAT, "manifest: format version %llu of a system backup, this version knows %d",
		    (unsigned long long)format, SYSTEM_FORMAT);
	return KC_OK;
}

static int read_head(struct system_contents *c, const json_t *o)
{
	const char *lineage = member_text(o, "lineage");
	int rc;

	if (!lineage_is_valid(lineage))
		return wrong("lineage");
	memcpy(c->lineage, lineage, sizeof(c->lineage));
	if (lineage_from_json(&c->ancestors, json_object_get(o, "ancestors")) < 0)
		return wrong("ancestors");
	if (clock_parse_utc(&c->time, member_text(o, "time")) < 0)
		return wrong("time");
	rc = read_count(&c->generation, o, "generation", COUNT_MAX);
	if (rc == KC_OK)
		rc = read_count(&c->keys, o, "keys", COUNT_MAX);
	if (rc == KC_OK)
		rc = read_text(&c->host, o, "host");
	if (rc == KC_OK)
		rc = read_text(&c->product, o, "product");
	return rc;
}

static int parse_root(struct system_manifest *m, const json_t *o)
{
	const char *signer = member_text(o, "signer");
	int rc = read_version(o);

	if (rc == KC_OK)
		rc = read_head(&m->head, o);
	if (rc == KC_OK && sign_public_parse(&m->signer, signer, strlen(signer)) < 0)
		rc = wrong("signer");
	if (rc == KC_OK)
		rc = read_clones(&m->head, json_object_get(o, "clones"));
	if (rc == KC_OK)
		rc = read_files(m, json_object_get(o, "files"));
	return rc;
}

int system_manifest_parse(struct system_manifest *m, const void *json, size_t n)
{
	json_error_t error;
	json_t *root;
	int rc;

	memset(m, 0, sizeof(*m));
	if (n > ARCHIVE_MANIFEST_MAX)
		return err_set(KC_EFORMAT, "manifest: %zu bytes (limit %u)", n, ARCHIVE_MANIFEST_MAX);
	root = json_loadb(json, n, JSON_REJECT_DUPLICATES, &error);
	if (root == NULL)
		return err_set(KC_EFORMAT, "manifest: line %d: %s", error.line, error.text);
	rc = json_is_object(root) ? parse_root(m, root) : err_set(KC_EFORMAT, "manifest: not an object");
	json_decref(root);
	if (rc < 0)
		system_manifest_fini(m);
	return rc;
}

void system_manifest_fini(struct system_manifest *m)
{
	for (size_t i = 0; i < m->n_members; i++)
		free(m->members[i].name);
	m->n_members = 0;
	system_fini(&m->head);
}
