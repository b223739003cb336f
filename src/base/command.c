/* SPDX-License-Identifier: Apache-2.0 */
/* command: words by simple rules, and the program they name. */
#include "command.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "file.h"
#include "mem.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* One word from *text on, which moves behind it. `word` has room for all of the text. */
static int take_word(char *word, const char **text)
{
	const char *p = *text;
	char quote = '\0';

	for (; *p != '\0' && (quote != '\0' || !is_blank(*p)); p++) {
		if (quote == '\0' && (*p == '\'' || *p == '"')) {
			quote = *p;
			continue;
		}
		if (quote != '\0' && *p == quote) {
			quote = '\0';
			continue;
		}
		if (*p == '\\' && (quote == '\0' || (quote == '"' && (p[1] == '"' || p[1] == '\\')))) {
			if (*++p == '\0')
				return err_set(KC_EFORMAT, "it ends in a backslash");
		}
		*word++ = *p;
	}
	if (quote != '\0')
		return err_set(KC_EFORMAT, "a quote (%c) is not closed", quote);
	*word = '\0';
	*text = p;
	return KC_OK;
}

static int take_words(struct command *c, const char *text)
{
	char *word = mem_xalloc(strlen(text) + 1);
	int rc = KC_OK;

	for (;;) {
		while (is_blank(*text))
			text++;
		if (*text == '\0')
			break;
		if (c->count >= COMMAND_WORDS_MAX) {
			rc = err_set(KC_EFORMAT, "it has more than %d words", COMMAND_WORDS_MAX);
			break;
		}
		rc = take_word(word, &text);
		if (rc < 0)
			break;
		c->argv[c->count++] = mem_xstrdup(word);
	}
	free(word);
	return rc;
}

int command_parse(struct command *out, const char *text)
{
	struct command c = { .argv = mem_xcalloc(COMMAND_WORDS_MAX + 1, sizeof(char *)) };
	int rc = take_words(&c, text);

	if (rc == KC_OK && c.count == 0)
		rc = err_set(KC_EFORMAT, "no command is given");
	if (rc == KC_OK && c.argv[0][0] != '/' && (strchr(c.argv[0], '/') != NULL || c.argv[0][0] == '\0'))
		rc = err_set(KC_EFORMAT, "%s: neither an absolute path nor a bare name", c.argv[0]);
	if (rc < 0) {
		command_fini(&c);
		return rc;
	}
	*out = c;
	return KC_OK;
}

void command_fini(struct command *c)
{
	for (unsigned i = 0; c->argv != NULL && i < c->count; i++)
		free(c->argv[i]);
	free(c->argv);
	c->argv = NULL;
	c->count = 0;
}

static int check_program(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_errno("%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(KC_EPERM, "%s: not a file", path);
	if (access(path, X_OK) < 0)
		return err_set(KC_EPERM, "%s: not executable for user id %u", path, (unsigned)geteuid());
	return KC_OK;
}

int command_find(char **out, const struct command *c)
{
	const char *name = c->argv[0], *dirs = COMMAND_PATH;
	int rc, found = KC_OK;

	if (name[0] == '/') {
		rc = check_program(name);
		if (rc == KC_OK)
			*out = mem_xstrdup(name);
		return rc;
	}
	while (*dirs != '\0') {
		size_t n = strcspn(dirs, ":");
		char *dir = mem_xstrndup(dirs, n), *path = file_join(dir, name);

		free(dir);
		rc = check_program(path);
		if (rc == KC_OK) {
			*out = path;
			return KC_OK;
		}
		free(path);
		if (rc != KC_ENOENT)
			found = rc;
		dirs += n + (dirs[n] == ':');
	}
	return found < 0 ? found : err_set(KC_ENOENT, "%s: not in %s", name, COMMAND_PATH);
}

static int check_one(const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_errno("%s", path);
	if (st.st_uid != 0 && st.st_uid != geteuid())
		return err_set(KC_EPERM, "%s belongs to user id %u, who can change it", path, (unsigned)st.st_uid);
	if ((st.st_mode & S_IWOTH) != 0 && !(S_ISDIR(st.st_mode) && (st.st_mode & S_ISVTX) != 0))
		return err_set(
		    KC_EPERM, "%s has mode %04o: everybody can change it", path, (unsigned)st.st_mode & 07777);
	return KC_OK;
}

int command_check_safe(const char *path)
{
	char real[PATH_MAX];
	int rc;

	if (realpath(path, real) == NULL)
		return err_errno("%s", path);
	rc = check_one(real);
	for (char *slash = strrchr(real, '/'); rc == KC_OK && slash != NULL; slash = strrchr(real, '/')) {
		*slash = '\0';
		rc = check_one(real[0] != '\0' ? real : "/");
	}
	return rc;
}
