/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dump: `dump [--start] FILE`: what conf says of a file: errors, warnings, and if there are no errors what is in force,
 * which must load back to the same. For tests/conf/golden.sh.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/err.h"
#include "base/mem.h"

static int loads_back(const struct conf *c, const char *text)
{
	struct conf *again = NULL;
	char *other;
	/* The dump is properties, whatever the file was. */
	char *path = mem_xasprintf("%s.properties", c->path);
	int rc = conf_load_text(&again, path, text, strlen(text), 0, NULL);

	free(path);
	if (rc < 0) {
		printf("the dump does not load: %s\n", err_text(rc));
		return 1;
	}
	again->password_set = c->password_set;
	other = conf_dump(again, false);
	rc = strcmp(text, other) != 0;
	if (rc != 0)
		printf("the dump changes when it is loaded:\n%s", other);
	free(other);
	conf_free(again);
	return rc;
}

int main(int argc, char **argv)
{
	struct conf_problems p = CONF_PROBLEMS_EMPTY;
	bool start = argc > 2 && strcmp(argv[1], "--start") == 0;
	struct conf *c = NULL;
	char *text;
	int rc;

	if (argc != 2 + start || mem_init() < 0)
		return 64;
	rc = conf_load(&c, argv[1 + start], start ? CONF_START : 0, &p);
	for (size_t i = 0; i < p.errors.count; i++)
		printf("error: %s\n", p.errors.items[i]);
	for (size_t i = 0; i < p.warnings.count; i++)
		printf("warning: %s\n", p.warnings.items[i]);
	if (rc < 0) {
		if (p.errors.count == 0)
			printf("error: %s\n", err_text(rc));
	} else {
		text = conf_dump(c, false);
		fputs(text, stdout);
		rc = loads_back(c, text);
		free(text);
	}
	conf_free(c);
	conf_problems_fini(&p);
	return rc != 0;
}
