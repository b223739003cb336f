/* SPDX-License-Identifier: Apache-2.0 */
/* worker_files: companion files in the worker's jobs: have they changed, are they diverged, what a crash left undone.
 */
#include <string.h>

#include "backup/restore_files.h"
#include "base/err.h"
#include "base/log.h"
#include "base/member.h"
#include "worker_int.h"

int worker_files_moved(bool *moved, struct worker *w, const json_t *request)
{
	const char *newest = json_string_value(json_object_get(request, "files"));
	char stamp[TREE_DIGEST_LEN + 1], text[COMPANIONS_TEXT];
	bool settled;
	int rc;

	if (w->companions.n == 0) {
		*moved = newest != NULL && newest[0] != '\0';
		return KC_OK;
	}
	rc = companions_stamp(stamp, &settled, &w->companions);
	if (rc < 0)
		return rc;
	*moved = strcmp(stamp, w->files_stamp) != 0;
	if (!*moved || newest == NULL)
		return KC_OK;
	/* What is missing or cannot be read is said by the backup. */
	*moved = companions_now(text, &w->companions, worker_alive, w) < 0 || strcmp(text, newest) != 0;
	if (!*moved && settled)
		memcpy(w->files_stamp, stamp, sizeof(stamp));
	return KC_OK;
}

static struct restore_files_options options(struct worker *w, const json_t *request)
{
	return (struct restore_files_options){ .paths = w->companions,
		.applied = member_text(request, "files"),
		.keydb_path = w->conf->keydb_path,
		.alive = worker_alive,
		.arg = w };
}

int worker_files_finish(struct worker *w, const json_t *request, const struct image_options *image)
{
	const struct restore_files_options o = options(w, request);
	int rc;

	if (member_text(request, "files")[0] == '\0')
		return KC_OK;
	if (image->file == NULL) {
		log_warn("the backup is gone that companion files were being restored from");
		return KC_OK;
	}
	rc = restore_files_finish(image, &o);
	/* It will not get better: what is not as it should be is found as divergence. */
	if (rc < 0 && !err_retryable(rc)) {
		log_err("companion files stay half restored: %s", err_text(rc));
		return KC_OK;
	}
	return rc;
}

int worker_files_strayed(char now[TREE_DIGEST_LEN + 1], struct worker *w, const json_t *request)
{
	const struct restore_files_options o = options(w, request);
	char stamp[TREE_DIGEST_LEN + 1];
	struct diverged_list list;
	bool settled;
	int rc;

	if (w->companions.n == 0 || o.applied[0] == '\0')
		return KC_OK;
	rc = companions_stamp(stamp, &settled, &w->companions);
	if (rc < 0)
		return rc;
	if (strcmp(stamp, w->files_stamp) != 0) {
		diverged_list_init(&list);
		rc = restore_files_check(&o, &list);
		if (rc == KC_OK) {
			w->files_strayed = list.live_only + list.other_only > 0;
			memcpy(w->files_stamp, settled ? stamp : "", settled ? sizeof(stamp) : 1);
		}
		diverged_list_fini(&list);
	}
	if (rc == KC_OK && w->files_strayed)
		memcpy(now, stamp, sizeof(stamp));
	return rc;
}

int worker_files_diverged(
    struct diverged_list *list, struct worker *w, const json_t *request, const struct image_options *newest)
{
	const struct restore_files_options o = options(w, request);
	struct restore_files *f = NULL;
	struct image *img = NULL;
	bool same, diverged;
	int rc;

	if (w->companions.n == 0)
		return KC_OK;
	if (newest->file == NULL)
		return restore_files_check(&o, list);
	rc = image_open(&img, newest);
	if (rc == KC_OK)
		rc = restore_files_new(&f, img, &o);
	if (rc == KC_OK)
		rc = restore_files_judge(f, &same, &diverged, list);
	restore_files_free(f);
	image_close(img);
	return rc;
}
