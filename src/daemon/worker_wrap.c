/* SPDX-License-Identifier: Apache-2.0 */
/* worker_wrap: the file key of a full, wrapped for each clone that is sent it. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/ipc.h"
#include "base/mem.h"
#include "daemon/recipients.h"
#include "worker_int.h"

/* The file key of the backup at `path`: remembered from making it, else opened with the password. */
static int file_key(struct worker *w, const char *path)
{
	struct age_key *key = NULL;
	int rc;

	if (w->key != NULL && w->key_path != NULL && strcmp(file_basename(w->key_path), file_basename(path)) == 0)
		return KC_OK;
	rc = backup_file_key(&key, path, w->password);
	if (rc < 0)
		return rc;
	age_key_free(w->key);
	free(w->key_path);
	w->key = key;
	w->key_path = mem_xstrdup(path);
	return KC_OK;
}

/* *travel stays NULL for one that cannot or must not be served: the others shall not wait for it. */
static int wrap_one(char **travel, struct worker *w, const json_t *who)
{
	const char *clone, *text;
	struct age_recipient r;
	int rc = worker_get_string(&clone, who, "clone");

	if (rc == KC_OK)
		rc = worker_get_string(&text, who, "recipient");
	if (rc == KC_OK)
		rc = recipients_check(w->conf, clone, text);
	if (rc == KC_OK)
		rc = age_recipient_parse(&r, text);
	return rc == KC_OK ? backup_wrap(travel, w->key, &r, 1) : rc;
}

int worker_job_wrap(json_t *result, struct worker *w, const json_t *request)
{
	const json_t *list = json_object_get(request, "clones");
	json_t *headers = json_object(), *refused = json_object();
	const char *path;
	int rc = worker_get_string(&path, request, "backup");

	if (rc == KC_OK)
		rc = file_key(w, path);
	for (size_t i = 0; rc == KC_OK && i < json_array_size(list); i++) {
		const json_t *who = json_array_get(list, i);
		const char *clone = json_string_value(json_object_get(who, "clone"));
		char *travel = NULL;
		int one = wrap_one(&travel, w, who);

		if (one == KC_OK)
			json_object_set_new(headers, clone, json_string(travel));
		else if (clone != NULL)
			json_object_set_new(refused, clone, ipc_result_new(one));
		free(travel);
	}
	json_object_set_new(result, "headers", headers);
	json_object_set_new(result, "refused", refused);
	return rc;
}
