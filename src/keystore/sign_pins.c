/* SPDX-License-Identifier: Apache-2.0 */
/* sign_pins: the list of signers whose backups are restored here; a text file that people can read. */
#include "sign.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define FILE_MAX    65536
#define COMMENT_MAX 200

/* One line, in place. An empty one and a comment give KC_OK and nothing. */
static int parse_line(struct sign_pins *pins, char *line)
{
	size_t key_size = strcspn(line, " \t");
	struct sign_public pub;
	char *comment;
	int rc;

	if (line[0] == '\0' || line[0] == '#')
		return KC_OK;
	rc = sign_public_parse(&pub, line, key_size);
	if (rc < 0)
		return rc;
	comment = line + key_size;
	comment += strspn(comment, " \t");
	pins->pins = mem_xrealloc(pins->pins, (pins->count + 1) * sizeof(*pins->pins));
	pins->pins[pins->count].pub = pub;
	pins->pins[pins->count++].comment = mem_xstrdup(comment);
	return KC_OK;
}

static int parse_lines(struct sign_pins *pins, char *text, const char *path)
{
	char *save = NULL;
	int number = 0, rc = KC_OK;

	for (char *line = text; line != NULL && rc == KC_OK; line = save) {
		save = strchr(line, '\n');
		if (save != NULL)
			*save++ = '\0';
		line[strcspn(line, "\r")] = '\0';
		number++;
		if ((rc = parse_line(pins, line)) < 0)
			err_prefix(rc, "%s:%d", path, number);
	}
	return rc;
}

int sign_pins_load(struct sign_pins *pins, const char *path)
{
	struct sign_pins p = { 0 };
	struct buf b;
	char *text;
	int rc;

	buf_init(&b, FILE_MAX + 1);
	rc = file_read(&b, path);
	if (rc == KC_ENOENT)
		rc = KC_OK;
	if (rc == KC_OK && buf_len(&b) > FILE_MAX)
		rc = err_set(KC_ELIMIT, "%s: larger than %d bytes", path, FILE_MAX);
	if (rc == KC_OK) {
		text = mem_xstrdup(buf_str(&b));
		rc = parse_lines(&p, text, path);
		free(text);
	}
	buf_fini(&b);
	if (rc == KC_OK)
		*pins = p;
	else
		sign_pins_fini(&p);
	return rc;
}

void sign_pins_fini(struct sign_pins *pins)
{
	for (size_t i = 0; i < pins->count; i++)
		free(pins->pins[i].comment);
	free(pins->pins);
	*pins = (struct sign_pins){ 0 };
}

static bool has_pin(const struct sign_pins *pins, const struct sign_public *pub)
{
	for (size_t i = 0; i < pins->count; i++)
		if (sign_public_equal(&pins->pins[i].pub, pub))
			return true;
	return false;
}

static void put_comment(struct buf *b, const char *comment)
{
	char *text = str_printable(mem_xstrndup(comment, COMMENT_MAX));

	buf_put_u8(b, ' ');
	buf_put_str(b, text);
	free(text);
}

int sign_pin_add(bool *added, const char *path, const struct sign_public *pub, const char *comment)
{
	struct sign_pins pins = { 0 };
	struct buf b;
	char *text;
	int rc = sign_pins_load(&pins, path);

	if (rc < 0)
		return rc;
	if (has_pin(&pins, pub)) {
		sign_pins_fini(&pins);
		*added = false;
		return KC_OK;
	}
	sign_pins_fini(&pins);
	buf_init(&b, FILE_MAX);
	rc = file_read(&b, path);
	if (rc == KC_ENOENT)
		rc = KC_OK;
	if (rc == KC_OK && buf_len(&b) > 0 && buf_data(&b)[buf_len(&b) - 1] != '\n')
		buf_put_u8(&b, '\n');
	text = sign_public_text(pub);
	buf_put_str(&b, text);
	free(text);
	if (comment != NULL && comment[0] != '\0')
		put_comment(&b, comment);
	buf_put_u8(&b, '\n');
	if (rc == KC_OK && (rc = buf_status(&b)) < 0)
		rc = err_set(rc, "%s: larger than %d bytes", path, FILE_MAX);
	if (rc == KC_OK)
		rc = file_replace(path, buf_data(&b), buf_len(&b), 0600);
	buf_fini(&b);
	if (rc == KC_OK)
		*added = true;
	return rc;
}

int sign_pins_verify(const struct sign_pin **by, const struct sign_pins *pins, const void *data, size_t size,
    const char *sig, size_t sig_size)
{
	struct sign_public claimed = { 0 };
	char number[SIGN_NUMBER_SIZE];
	int rc = sign_sig_number(claimed.number, sig, sig_size), result;

	if (rc < 0)
		return rc;
	sign_public_number(number, &claimed);
	result =
	    err_set(KC_ESIGNATURE, "signed by key %s, which is not accepted here (see keyclone trust signer)", number);
	for (size_t i = 0; i < pins->count; i++) {
		if (memcmp(pins->pins[i].pub.number, claimed.number, sizeof(claimed.number)) != 0)
			continue;
		rc = sign_verify(&pins->pins[i].pub, data, size, sig, sig_size);
		if (rc == KC_OK) {
			if (by != NULL)
				*by = &pins->pins[i];
			return KC_OK;
		}
		result = rc;
	}
	return result;
}
