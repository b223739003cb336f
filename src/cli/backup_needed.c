/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup_needed: compares the key database as it is with what state knows of the newest backup (on a clone: of what it
 * has applied). With or without a daemon: nothing is written, and nobody is asked.
 */
#include "backup_needed.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "backup/source.h"
#include "base/err.h"
#include "base/file.h"
#include "base/member.h"
#include "base/msg.h"
#include "base/str.h"
#include "daemon/companion.h"
#include "daemon/state.h"

struct answer {
	struct state_self self;
	bool needed;
	char why[400];
};

static int read_state(struct state_self *self, const struct conf *conf)
{
	struct state *s = NULL;
	int rc = state_open(&s, conf->state_dir, false);

	if (rc == KC_OK)
		rc = state_get_self(self, s);
	state_close(s);
	return rc == KC_ENOENT ? KC_OK : rc;
}

static int compare(struct answer *a, const char *database)
{
	struct source_digest d = { 0 };
	struct source *s = NULL;
	int rc = source_open(&s, database, &(struct source_options){ .create = false });

	if (rc == KC_OK)
		rc = source_digest(&d, s);
	if (rc == KC_OK) {
		a->needed = strcmp(d.content, a->self.digest) != 0 || strcmp(d.schema, a->self.schema) != 0;
		if (a->needed)
			snprintf(a->why, sizeof(a->why),
			    "the key database is not what generation %" PRIu64 " holds; it has %" PRIu64 " rows now",
			    a->self.generation, d.rows);
	}
	source_digest_fini(&d);
	source_close(s);
	return rc;
}

/* Companions as they are now. */
static int compare_files(struct answer *a, const struct conf *conf)
{
	struct companion_paths paths;
	char text[COMPANIONS_TEXT];
	int rc;

	companion_paths_init(&paths, conf);
	rc = companions_now(text, &paths, NULL, NULL);
	companion_paths_fini(&paths);
	if (rc == KC_OK && strcmp(text, a->self.files) != 0) {
		a->needed = true;
		snprintf(a->why, sizeof(a->why), "companion files are not what generation %" PRIu64 " holds",
		    a->self.generation);
	}
	return rc;
}

static int find_out(struct answer *a, const struct conf *conf)
{
	char *path;
	int rc = read_state(&a->self, conf);

	if (rc < 0)
		return rc;
	if (conf->role == CONF_MASTER)
		a->self.generation = a->self.complete;
	if (a->self.generation == 0 || a->self.backup[0] == '\0') {
		a->needed = true;
		STR_COPY(a->why, "no replicated backup was made yet");
		return KC_OK;
	}
	path = file_join(conf->backup_dir, a->self.backup);
	if (!file_exists(path)) {
		a->needed = true;
		snprintf(a->why, sizeof(a->why), "%.256s, the newest backup, is not in the backup folder any more",
		    a->self.backup);
	} else {
		rc = compare(a, conf->keydb_path);
		if (rc == KC_OK && !a->needed)
			rc = compare_files(a, conf);
	}
	free(path);
	return rc;
}

static void print_text(const struct answer *a, enum msg_id id)
{
	printf("%s %s\n", msg_code(id), msg_get(id)->text);
	if (!a->needed)
		printf("Generation %" PRIu64 ", %s, has them.\n", a->self.generation, a->self.backup);
	else
		printf("It is needed: %s.\n", a->why);
}

int backup_needed_command(struct cli *c)
{
	struct answer a = { .needed = false };
	enum msg_id id;
	json_t *j;
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = find_out(&a, c->conf);
	if (rc < 0)
		return rc;
	id = a.needed ? MSG_BACKUP_NEEDED : MSG_BACKED_UP;
	if (c->json) {
		j = json_pack("{s:b, s:s, s:s, s:I}", "needed", (int)a.needed, "code", msg_code(id), "message",
		    a.needed ? a.why : msg_get(id)->text, "generation", (json_int_t)a.self.generation);
		json_object_set_new(j, "backup", a.self.backup[0] != '\0' ? json_string(a.self.backup) : json_null());
		json_object_set_new(j, "unreplicated_since", member_time(a.self.unreplicated_since));
		rc = cli_print_json(j);
	} else {
		print_text(&a, id);
	}
	return rc == KC_OK && a.needed ? cli_quiet(c, KC_EFOUND) : rc;
}
