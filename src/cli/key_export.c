/* SPDX-License-Identifier: Apache-2.0 */
/* key_export: the one way of material out. It is never in memory that is not wiped, so the JSON is put together here.
 */
#include "key_export.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/mem.h"
#include "key_text.h"

static bool to_file(const char *output)
{
	return output != NULL && strcmp(output, "-") != 0;
}

/* The inside of a JSON string. PEM has nothing to escape but its line ends; the line end of others is no part of it. */
static void put_material(struct buf *out, const struct buf *text, enum material_format format)
{
	const char *p = (const char *)buf_data(text);
	size_t n = buf_len(text);
	char *encoded;

	if (format == MATERIAL_RAW || format == MATERIAL_DER) {
		encoded = base64_encode(p, n);
		buf_put_str(out, encoded);
		mem_wipe_free(encoded);
		return;
	}
	if (format != MATERIAL_PEM && n > 0 && p[n - 1] == '\n')
		n--;
	for (size_t i = 0; i < n; i++)
		if (p[i] == '\n')
			buf_put_str(out, "\\n");
		else
			buf_put_u8(out, (uint8_t)p[i]);
}

static int print_json(
    const struct keydb_key *key, enum material_format format, const struct buf *text, const char *output)
{
	json_t *record = key_text_json(key);
	struct buf out;
	char *head;
	int rc;

	if (format == MATERIAL_AUTO)
		format = key->kind == KEYDB_SYMMETRIC ? MATERIAL_HEX : MATERIAL_PEM;
	json_object_set_new(record, "format", json_string(material_format_name(format)));
	if (output != NULL) {
		json_object_set_new(record, "output", json_string(output));
		return cli_print_json(record);
	}
	head = json_dumps(record, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(record);
	buf_init(&out, 8 * KEYDB_MATERIAL_MAX);
	buf_put(&out, head, strlen(head) - 1);
	buf_put_str(&out, ",\"material\":\"");
	put_material(&out, text, format);
	buf_put_str(&out, "\"}\n");
	rc = buf_status(&out);
	if (rc == KC_OK)
		rc = cli_write(NULL, buf_data(&out), buf_len(&out), 0600);
	free(head);
	buf_fini(&out);
	return rc;
}

static int put_out(struct cli *c, const struct keydb_key *key, enum material_format format, const struct buf *text)
{
	const char *output = cli_string(c, "output");
	int rc = KC_OK;

	if (to_file(output) || !c->json)
		rc = cli_write(output, buf_data(text), buf_len(text), 0600);
	if (rc == KC_OK && c->json)
		rc = print_json(key, format, text, to_file(output) ? output : NULL);
	return rc;
}

/* Encoded, audited, handed out: in this order. */
int key_export(struct cli *c, struct keydb *db, const struct keydb_key *key, enum material_format format)
{
	/* What a clone hands out is what its master does not know of: an event of its own, to be looked for. */
	enum audit_event event = c->conf->role == CONF_CLONE ? AUDIT_KEY_SERVE : AUDIT_KEY_EXPORT;
	struct audit *audit = NULL;
	char *detail = key_text_name(key);
	uint8_t *material = NULL;
	size_t size = 0;
	struct buf text;
	int rc;

	buf_init(&text, 4 * KEYDB_MATERIAL_MAX);
	rc = cli_audit(&audit, c);
	if (rc == KC_OK)
		rc = keydb_export(&material, &size, db, key);
	if (rc == KC_OK)
		rc = material_write(&text, key->kind, material, size, format);
	if (audit != NULL && rc != KC_EUSAGE)
		rc = audit_result(
		    audit, &(struct audit_record){ .event = event, .detail = rc == KC_OK ? detail : NULL }, rc);
	if (rc == KC_OK)
		rc = audit_sync(audit);
	if (rc == KC_OK)
		rc = put_out(c, key, format, &text);
	mem_secret_free(material);
	buf_fini(&text);
	free(detail);
	return rc;
}
