/* SPDX-License-Identifier: Apache-2.0 */
/*
 * token_paths: what has to stay open for a token while the process is confined. A module is loaded, and has read its
 * configuration, before that; then it needs its tokens. Devices and services (smart card readers, network HSMs) are
 * reached by sockets. SoftHSM keeps its tokens as files, where its own configuration says.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "token_priv.h"
#include "token_uri.h"

#define CONFIG_MAX	65536
#define SOFTHSM_SYSTEM	"/etc/softhsm/softhsm2.conf"
#define SOFTHSM_OF_USER ".config/softhsm2/softhsm2.conf"
#define SOFTHSM_TOKENS	"directories.tokendir"

/* As SoftHSM looks for it. Heap. */
static char *softhsm_config(void)
{
	const char *named = getenv("SOFTHSM2_CONF"), *home = getenv("HOME");
	char *path = home != NULL ? file_join(home, SOFTHSM_OF_USER) : NULL;

	if (named != NULL || path == NULL || !file_exists(path)) {
		free(path);
		path = mem_xstrdup(named != NULL ? named : SOFTHSM_SYSTEM);
	}
	return path;
}

/* The value of directories.tokendir in its text; NULL if there is none. Heap. */
static char *tokens_of(const char *text)
{
	for (const char *line = text; *line != '\0'; line += strcspn(line, "\n"), line += *line != '\0' ? 1 : 0) {
		const char *value = line + strspn(line, " \t");
		size_t n;

		if (strncmp(value, SOFTHSM_TOKENS, strlen(SOFTHSM_TOKENS)) != 0)
			continue;
		value += strlen(SOFTHSM_TOKENS);
		value += strspn(value, " \t");
		if (*value != '=')
			continue;
		value += 1 + strspn(value + 1, " \t");
		n = strcspn(value, "\r\n");
		while (n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'))
			n--;
		return mem_xstrndup(value, n);
	}
	return NULL;
}

static char *softhsm_tokens(void)
{
	char *path = softhsm_config(), *dir = NULL;
	struct buf b;

	buf_init(&b, CONFIG_MAX);
	if (file_exists(path) && file_read(&b, path) == KC_OK)
		dir = tokens_of(buf_str(&b));
	buf_fini(&b);
	free(path);
	if (dir != NULL && !file_is_dir(dir)) {
		free(dir);
		dir = NULL;
	}
	return dir;
}

void token_paths(struct token_paths *p, const char *uri)
{
	struct token_uri u;
	char *pin, *dir;

	*p = (struct token_paths){ 0 };
	if (token_uri_parse(&u, uri) < 0)
		return;
	pin = token_pin_path(&u);
	dir = pin != NULL ? file_dirname(pin) : NULL;
	if (dir != NULL && file_is_dir(dir))
		p->read[0] = dir;
	else
		free(dir);
	if (u.module == NULL || strstr(u.module, "softhsm") != NULL)
		p->write[0] = softhsm_tokens();
	free(pin);
	token_uri_fini(&u);
}

void token_paths_fini(struct token_paths *p)
{
	for (size_t i = 0; p->read[i] != NULL; i++)
		free(p->read[i]);
	for (size_t i = 0; p->write[i] != NULL; i++)
		free(p->write[i]);
	*p = (struct token_paths){ 0 };
}
