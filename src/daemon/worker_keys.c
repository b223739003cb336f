/* SPDX-License-Identifier: Apache-2.0 */
/* worker_keys: keys that are held until a backup has them: marked with their generation, released, forgotten. */
#include "base/err.h"
#include "base/log.h"
#include "daemon/key_wait.h"
#include "worker_int.h"

void worker_keys_warn(struct worker *w)
{
	bool applies = false;

	if (w->source == NULL || w->conf->role != CONF_MASTER || !w->conf->release_keys)
		return;
	if (key_wait_applies(&applies, w->conf, w->source) == KC_OK && !applies)
		log_warn("backup.ReleaseKeysOnSuccessfulBackup has no effect: %s is not the built-in key database",
		    w->conf->keydb_path);
}

void worker_keys_made(struct worker *w, const char *snapshot, const char *lineage, uint64_t generation)
{
	struct waiting *list = NULL;
	bool applies = false;
	int rc = key_wait_applies(&applies, w->conf, w->source);

	w->unmarked = false;
	if (rc == KC_OK && !applies)
		return;
	if (rc == KC_OK)
		rc = key_wait_open(&list, w->conf, false);
	if (rc == KC_ENOENT)
		return;
	if (rc == KC_OK)
		rc = waiting_mark(list, snapshot, lineage, generation);
	waiting_close(list);
	w->unmarked = rc < 0;
	if (rc < 0)
		log_warn("the held keys of generation %llu stay held until the next look: %s",
		    (unsigned long long)generation, err_text(rc));
}

void worker_keys_restored(struct worker *w)
{
	struct waiting *list = NULL;
	int rc = key_wait_open(&list, w->conf, false);

	if (rc == KC_ENOENT)
		return;
	if (rc == KC_OK)
		rc = waiting_clear(list);
	waiting_close(list);
	if (rc < 0)
		log_warn("keys that were held when this machine was a master stay held: %s", err_text(rc));
}

int worker_job_release(json_t *result, struct worker *w, const json_t *request)
{
	struct waiting *list = NULL;
	const char *lineage;
	uint64_t generation, released = 0;
	int rc = worker_get_string(&lineage, request, "lineage");

	if (rc == KC_OK)
		rc = worker_get_number(&generation, request, "generation");
	if (rc < 0)
		return rc;
	rc = key_wait_open(&list, w->conf, false);
	if (rc == KC_OK)
		rc = waiting_release(&released, list, lineage, generation);
	else if (rc == KC_ENOENT)
		rc = KC_OK;
	waiting_close(list);
	if (rc == KC_OK)
		json_object_set_new(result, "released", json_integer((json_int_t)released));
	return rc;
}
