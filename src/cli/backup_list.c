/* SPDX-License-Identifier: Apache-2.0 */
/* backup_list: what is in the backup folder, and since when the password of each was set: which one opens it. */
#include "backup_list.h"

#include <stdlib.h>
#include <string.h>

#include "backup/store.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/member.h"
#include "daemon/state.h"

static json_t *entry_json(const struct store_entry *e, int64_t since)
{
	char when[CLOCK_UTC_SIZE];

	clock_utc(when, e->name.time);
	return json_pack("{ss ss ss ss sI ss sI ss so}", "backup", e->file, "path", e->path, "database",
	    e->name.database, "lineage", e->name.lineage, "generation", (json_int_t)e->name.generation, "kind",
	    store_kind_name(e->name.kind), "bytes", (json_int_t)e->size, "time", when, "password_since",
	    member_time(since));
}

static void print_entry(const struct store_entry *e, int64_t since, int width)
{
	char when[CLOCK_UTC_SIZE], set[CLOCK_UTC_SIZE] = "-";

	clock_utc(when, e->name.time);
	if (since != 0)
		clock_utc(set, since);
	printf("%-20s  %-8s  %10llu  %-6s  %14llu  %-*s  %s\n", when, e->name.lineage,
	    (unsigned long long)e->name.generation, store_kind_name(e->name.kind), (unsigned long long)e->size, width,
	    e->file, set);
}

static int widest(const struct store_entry *entries, size_t n)
{
	size_t most = strlen("BACKUP");

	for (size_t i = 0; i < n; i++)
		if (strlen(entries[i].file) > most)
			most = strlen(entries[i].file);
	return (int)most;
}

int backup_list_command(struct cli *c)
{
	struct store_entry *entries = NULL;
	struct state *s = NULL;
	json_t *array = json_array();
	size_t i, n = 0;
	int width, rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = store_list(&entries, &n, c->conf->backup_dir);
	if (rc == KC_ENOENT)
		rc = KC_OK; /* no folder yet, no backups */
	if (rc == KC_OK && state_open(&s, c->conf->state_dir, false) < 0)
		s = NULL;
	width = widest(entries, n);
	if (rc == KC_OK && !c->json)
		printf("%-20s  %-8s  %10s  %-6s  %14s  %-*s  %s\n", "TIME", "LINEAGE", "GENERATION", "KIND", "BYTES",
		    width, "BACKUP", "PASSWORD SINCE");
	for (i = 0; rc == KC_OK && i < n; i++) {
		int64_t since = s != NULL ? state_get_sealed(s, entries[i].file) : 0;

		if (c->json)
			json_array_append_new(array, entry_json(&entries[i], since));
		else
			print_entry(&entries[i], since, width);
	}
	state_close(s);
	store_list_free(entries, n);
	if (rc == KC_OK && c->json)
		return cli_print_json(array);
	json_decref(array);
	return rc;
}
