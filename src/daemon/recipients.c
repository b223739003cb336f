/* SPDX-License-Identifier: Apache-2.0 */
/* recipients: a few lines of text, read and written as a whole. */
#include "recipients.h"

#include <stdlib.h>
#include <string.h>

#include "backup/age.h"
#include "base/err.h"
#include "base/file.h"
#include "base/host.h"
#include "base/mem.h"
#include "keystore/layout.h"

#define FILE_MAX 65536

static char *path_of(const struct conf *c)
{
	return file_join(c->secrets_dir, LAYOUT_RECIPIENTS);
}

static bool is_configured(const struct conf *c, const char *clone)
{
	bool found = false;

	for (size_t i = 0; !found && i < c->clone_count; i++) {
		char *name = host_port_format(c->clones[i].host, c->clones[i].port);

		found = strcmp(name, clone) == 0;
		free(name);
	}
	return found;
}

/* All of it as a string, heap; "" where there is no file. */
static int load(char **text, const char *path)
{
	struct buf b;
	int rc = KC_OK;

	buf_init(&b, FILE_MAX + 1);
	if (file_exists(path))
		rc = file_read_secret(&b, path);
	if (rc == KC_OK && buf_len(&b) > FILE_MAX)
		rc = err_set(KC_ELIMIT, "%s: larger than %d bytes", path, FILE_MAX);
	if (rc == KC_OK)
		*text = mem_xstrdup(buf_str(&b));
	buf_fini(&b);
	return rc;
}

/* The next line, cut into its two words; NULL at the end. What is no such line is passed over. */
static char *next_line(char **clone, char **rest)
{
	while (*rest != NULL && **rest != '\0') {
		char *line = *rest, *eol = strchr(line, '\n'), *blank;

		*rest = eol != NULL ? eol + 1 : NULL;
		if (eol != NULL)
			*eol = '\0';
		blank = strchr(line, ' ');
		if (line[0] == '#' || blank == NULL)
			continue;
		*blank = '\0';
		*clone = blank + 1;
		return line;
	}
	return NULL;
}

/* Write the file anew: the lines whose clone is configured and is not `but`, then one more. */
static int rewrite(const struct conf *c, const char *but, const char *recipient, const char *clone)
{
	char *path = path_of(c), *text = NULL, *rest, *name, *pinned;
	bool changed = recipient != NULL;
	struct buf b;
	int rc = load(&text, path);

	buf_init(&b, 2 * FILE_MAX);
	rest = text;
	while (rc == KC_OK && (pinned = next_line(&name, &rest)) != NULL) {
		if (is_configured(c, name) && (but == NULL || strcmp(name, but) != 0))
			buf_putf(&b, "%s %s\n", pinned, name);
		else
			changed = true;
	}
	if (recipient != NULL)
		buf_putf(&b, "%s %s\n", recipient, clone);
	if (rc == KC_OK)
		rc = buf_status(&b);
	if (rc == KC_OK && changed)
		rc = file_replace(path, buf_data(&b), buf_len(&b), 0600);
	buf_fini(&b);
	free(text);
	free(path);
	return rc;
}

/* KC_OK: the pin is `recipient`; KC_ENOENT: there is none. */
static int look_up(const struct conf *c, const char *clone, const char *recipient)
{
	char *path = path_of(c), *text = NULL, *rest, *name, *pinned;
	int rc = load(&text, path);
	bool found = false;

	rest = text;
	while (rc == KC_OK && !found && (pinned = next_line(&name, &rest)) != NULL) {
		found = strcmp(name, clone) == 0;
		if (found && strcmp(pinned, recipient) != 0)
			rc = err_set(KC_EPERM, "%s shows another identity than the one pinned in %s at first contact",
			    clone, path);
	}
	if (rc == KC_OK && !found)
		rc = err_set(KC_ENOENT, "%s: no pin of %s", path, clone);
	free(text);
	free(path);
	return rc;
}

int recipients_check(const struct conf *c, const char *clone, const char *recipient)
{
	struct age_recipient parsed;
	int rc = age_recipient_parse(&parsed, recipient);

	if (rc < 0)
		return err_prefix(rc, "%s", clone);
	if (!is_configured(c, clone))
		return err_set(KC_ENOENT, "%s: not a clone of the configuration", clone);
	rc = look_up(c, clone, recipient);
	return rc == KC_ENOENT ? rewrite(c, NULL, recipient, clone) : rc;
}

int recipients_pin(const struct conf *c, const char *clone, const char *recipient)
{
	return rewrite(c, clone, recipient, clone);
}

int recipients_prune(const struct conf *c)
{
	return rewrite(c, NULL, NULL, NULL);
}

int recipients_forget(const struct conf *c, const char *clone)
{
	return rewrite(c, clone, NULL, NULL);
}
