/* SPDX-License-Identifier: Apache-2.0 */
/* worker_base: the newest generation as the worker remembers it, and whether an increment can build on it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backup/base.h"
#include "base/err.h"
#include "base/log.h"
#include "base/member.h"
#include "base/str.h"
#include "keydb/changelog.h"
#include "keydb/keydb.h"
#include "worker_int.h"

void worker_base_forget(struct worker *w)
{
	source_digest_fini(&w->base.digest);
	memset(&w->base, 0, sizeof(w->base));
}

void worker_base_prune(struct worker *w)
{
	char *path = base_path(w->conf->keydb_path, w->base.lineage, w->base.generation);

	base_prune(w->conf->keydb_path, w->base.generation != 0 ? path : NULL);
	free(path);
}

static bool is_known(const struct worker *w, const char *lineage, uint64_t generation)
{
	return w->base.generation == generation && strcmp(w->base.lineage, lineage) == 0;
}

/* One of another life is counted before it is believed. */
static int know_base(struct worker *w, const char *lineage, uint64_t generation, const char *content)
{
	char *path;
	int rc;

	if (is_known(w, lineage, generation))
		return KC_OK;
	worker_base_forget(w);
	path = base_path(w->conf->keydb_path, lineage, generation);
	rc = base_read(&w->base.digest, path, content, worker_alive, w);
	free(path);
	if (rc < 0)
		return rc;
	w->base.generation = generation;
	STR_COPY(w->base.lineage, lineage);
	return KC_OK;
}

void worker_base_unlogged(struct worker *w)
{
	w->base.mark.known = false;
}

const struct changelog *worker_base_log(struct worker *w)
{
	static const struct changelog log = { CHANGELOG_OF, CHANGELOG_KEY, changelog_schema, CHANGELOG_OBJECTS };
	struct source_info info;
	int rc = source_info(&info, w->source);

	if (rc < 0 || info.application_id != KEYDB_APPLICATION_ID || w->conf->release_keys)
		return NULL;
	rc = changelog_ensure(w->source, &log);
	if (rc < 0)
		log_warn("without a change log all of the key database is compared: %s", err_text(rc));
	return rc < 0 ? NULL : &log;
}

static int load_recipient(struct age_recipient *recipient, struct worker *w, const char *lineage, uint64_t chain)
{
	struct age_identity *id = NULL;
	int rc = chain_key_load(&id, &w->secrets, lineage, chain);

	if (rc == KC_OK)
		age_identity_recipient(recipient, id);
	age_identity_free(id);
	return rc;
}

bool worker_base_increment(struct create_increment *i, struct age_recipient *recipient, char why[256], struct worker *w,
    const json_t *request, const char *lineage)
{
	const json_t *base = json_object_get(request, "base");
	uint64_t generation = member_u64(base, "generation");
	int rc;

	i->chain = member_u64(request, "chain");
	if (i->chain == 0 || generation == 0)
		return false;
	rc = load_recipient(recipient, w, lineage, i->chain);
	if (rc == KC_OK)
		rc = know_base(w, lineage, generation, member_text(base, "digest"));
	if (rc < 0) {
		snprintf(why, 256, "%.250s", err_text(rc));
		return false;
	}
	i->recipient = recipient;
	i->base = &w->base.digest;
	i->files = member_text(request, "base_files");
	i->master_key_sum = w->base.master_key_sum;
	i->log = worker_base_log(w);
	i->mark = &w->base.mark;
	return true;
}

void worker_base_take(struct worker *w, struct create_result *r, const struct create_options *o)
{
	struct worker_base base = { .generation = r->unchanged ? o->base_generation : r->generation,
		.digest = r->digest };

	if (!r->base_good) {
		worker_base_forget(w);
		return;
	}
	if (r->held)
		return; /* what the base is has not changed */
	STR_COPY(base.lineage, o->lineage);
	base.mark = r->mark;
	STR_COPY(base.master_key_sum, r->unchanged ? w->base.master_key_sum : r->master_key_sum);
	memset(&r->digest, 0, sizeof(r->digest));
	worker_base_forget(w);
	w->base = base;
}
