/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clone_system: the master's system backups on a clone: kept, a few of them, and never opened here but by a promotion,
 * which has the password.
 */
#include <stdlib.h>
#include <string.h>

#include "backup/store.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "clone_int.h"

/* More than anything that may be in one, and its wrapping (backup/system.h). */
#define ROOM_MAX (16u << 20)

void clone_system_hello(const struct clone_role *c, const char *lineage, struct proto_hello *ours)
{
	struct store_entry *list = NULL;
	size_t n = 0;

	if (store_list(&list, &n, c->d->conf->backup_dir) < 0)
		return;
	for (size_t i = 0; i < n; i++) {
		const struct store_entry *e = &list[i];

		if (e->name.kind != STORE_SYSTEM || strncmp(e->name.lineage, lineage, strlen(e->name.lineage)) != 0)
			continue;
		ours->system_generation = e->name.generation;
		STR_COPY(ours->system_file, e->file);
	}
	store_list_free(list, n);
}

int clone_system_offer(struct proto_decline *why, const struct proto_hello *master, const struct proto_offer *o)
{
	struct store_name n;

	if (o->room > ROOM_MAX) {
		why->reason = PROTO_R_FAILED;
		STR_COPY(why->message, "it is larger than a system backup can be");
		return KC_EFAIL;
	}
	if (store_name_parse(&n, o->file) == KC_OK && n.kind == STORE_SYSTEM && n.generation == o->generation &&
	    strncmp(n.lineage, o->lineage, strlen(n.lineage)) == 0 && strcmp(o->lineage, master->lineage) == 0)
		return KC_OK;
	why->reason = PROTO_R_FAILED;
	STR_COPY(why->message, "the file's name is not that of a system backup of this lineage and generation");
	return KC_EFAIL;
}

/* The rest of a part comes only as long as there is nothing newer, and now there is. */
static bool keep_part(void *arg, const char *name)
{
	struct store_name n;

	(void)arg;
	return store_name_parse(&n, name) < 0 || n.kind != STORE_SYSTEM;
}

void clone_system_stored(struct clone_role *c, const struct receive_stored *st)
{
	struct proto_result *answer = mem_xalloc(sizeof(*answer));
	struct audit_record r = { .event = AUDIT_RECEIVE_END,
		.outcome = AUDIT_SUCCESS,
		.lineage = st->offer->lineage,
		.peer = st->master,
		.backup = st->offer->file,
		.bytes = st->bytes,
		.duration_ms = st->duration_ms,
		.detail = "system backup" };
	int rc = state_put_sealed(c->d->state, st->offer->file, (int64_t)st->offer->password_since);
	int cleaned;

	if (rc == KC_OK)
		rc = daemon_audit(c->d, &r);
	clone_fill_result(c, answer, rc < 0 ? PROTO_FAILED : PROTO_STORED, rc, rc < 0 ? err_text(rc) : NULL);
	daemon_prune_system(c->d, st->offer->file);
	cleaned = store_clean(c->d->conf->backup_dir, keep_part, NULL);
	if (cleaned < 0)
		log_warn("left-over partial system backups stay: %s", err_text(cleaned));
	receive_result(c->receive, answer);
	free(answer);
}
