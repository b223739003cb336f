/* SPDX-License-Identifier: Apache-2.0 */
/* worker_system: the master's job "system": a system backup, if what belongs into it has changed. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/member.h"
#include "daemon/system.h"
#include "worker_int.h"

static int describe(struct system_contents *c, const json_t *request)
{
	const char *lineage, *host;
	int rc = worker_get_string(&lineage, request, "lineage");

	if (rc == KC_OK)
		rc = worker_get_string(&host, request, "host");
	if (rc == KC_OK)
		rc = worker_get_number(&c->keys, request, "keys");
	if (rc == KC_OK)
		rc = lineage_from_json(&c->ancestors, json_object_get(request, "ancestors"));
	if (rc < 0)
		return rc;
	if (!lineage_is_valid(lineage))
		return err_set(KC_EPROTO, "the lineage is none");
	memcpy(c->lineage, lineage, sizeof(c->lineage));
	c->host = mem_xstrdup(host[0] != '\0' ? host : "localhost");
	c->product = mem_xstrdup(PACKAGE_NAME " " PACKAGE_VERSION);
	c->time = (int64_t)time(NULL);
	return KC_OK;
}

static int reserve(struct system_contents *c, struct worker *w)
{
	json_t *answer = NULL;
	int rc = worker_ask(&answer, w, json_pack("{s:s}", "ask", "system"));

	if (rc == KC_OK)
		rc = worker_get_number(&c->generation, answer, "generation");
	json_decref(answer);
	return rc;
}

static int make(json_t *result, struct worker *w, struct system_contents *c, const char *digest)
{
	struct system_options o = { .dir = w->conf->backup_dir,
		.level = w->conf->compression_level,
		.logn = w->conf->key_derivation_work,
		.password = w->password,
		.key = w->secrets.signing,
		.prepared = &w->prepared };
	struct system_result r = { 0 };
	int rc = reserve(c, w);

	if (rc == KC_OK)
		rc = system_create(&r, c, &o);
	if (rc < 0)
		return rc;
	json_object_set_new(result, "generation", json_integer((json_int_t)c->generation));
	json_object_set_new(result, "digest", json_string(digest));
	json_object_set_new(result, "name", json_string(r.name));
	json_object_set_new(result, "size", json_integer((json_int_t)r.size));
	json_object_set_new(result, "header_size", json_integer((json_int_t)r.header_size));
	json_object_set_new(result, "sha256", json_string(r.payload_sha256));
	json_object_set_new(result, "file_id", json_string(r.file_id));
	system_result_fini(&r);
	return KC_OK;
}

int worker_job_system(json_t *result, struct worker *w, const json_t *request)
{
	struct system_contents c;
	char digest[SYSTEM_DIGEST_LEN + 1];
	bool unchanged = false;
	int rc;

	system_init(&c);
	rc = describe(&c, request);
	if (rc == KC_OK)
		rc = system_gather(&c, w->conf);
	if (rc == KC_OK)
		rc = system_digest(digest, &c, w->password_id);
	if (rc == KC_OK) {
		unchanged = strcmp(member_text(request, "digest"), digest) == 0;
		json_object_set_new(result, "unchanged", json_boolean(unchanged));
		json_object_set_new(result, "password_bytes", json_integer((json_int_t)strlen(w->password)));
	}
	if (rc == KC_OK && !unchanged)
		rc = make(result, w, &c, digest);
	system_fini(&c);
	return rc;
}
