/* SPDX-License-Identifier: Apache-2.0 */
/* system_verify: see system_verify.h. */
#include "system_verify.h"

#include "backup/store.h"
#include "backup/system.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"

struct proving {
	const struct image_options *o;
	struct system_contents contents;
};

bool system_verify_is(const char *file)
{
	struct store_name n;

	return store_name_parse(&n, file_basename(file)) == KC_OK && n.kind == STORE_SYSTEM;
}

static int work(struct backup_env *e, struct audit_record *r, void *arg)
{
	struct proving *p = arg;
	int rc = system_open(&p->contents, e->file, p->o->password, p->o->pins);

	if (rc == KC_OK)
		r->lineage = p->contents.lineage;
	r->detail = "system backup";
	return rc;
}

static int say(const struct backup_env *e, const struct system_contents *c)
{
	char when[CLOCK_UTC_SIZE];

	clock_utc(when, c->time);
	if (e->c->json)
		return cli_print_json(json_pack("{ss sb ss ss sI sI ss ss sI sI}", "backup", e->file, "good", 1, "kind",
		    "system", "lineage", c->lineage, "generation", (json_int_t)c->generation, "keys",
		    (json_int_t)c->keys, "time", when, "host", c->host, "files", (json_int_t)c->n_files, "clones",
		    (json_int_t)c->n_clones));
	printf("%s: good: system backup %llu of lineage %.8s, made %s on %s, %zu files, %zu clones\n", e->file,
	    (unsigned long long)c->generation, c->lineage, when, c->host, c->n_files, c->n_clones);
	return KC_OK;
}

int system_verify(struct backup_env *e, const struct image_options *o)
{
	struct proving p = { .o = o };
	int rc;

	system_init(&p.contents);
	rc = backup_env_audited(e, AUDIT_BACKUP_VERIFY, work, &p);
	if (rc == KC_OK)
		rc = say(e, &p.contents);
	system_fini(&p.contents);
	return rc;
}
