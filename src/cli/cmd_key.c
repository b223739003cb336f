/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_key: the commands of the built-in key database. Each change and each export is audited before it takes effect:
 * a change inside its transaction, an export before its material leaves. Material never gets into a record, a message
 * or an argument.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/host.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli.h"
#include "key_export.h"
#include "key_open.h"
#include "key_text.h"
#include "keydb/keydb.h"
#include "keydb/master.h"
#include "keydb/material.h"

#define FILE_SIZE_MAX (2 * KEYDB_MATERIAL_MAX)

/* A clone's keys come from its master; what is changed here diverges. */
static int check_role(struct cli *c)
{
	char *master;
	int rc = KC_OK;

	if (c->conf->role == CONF_MASTER || cli_flag(c, "force"))
		return KC_OK;
	master = c->conf->master_host != NULL ? host_port_format(c->conf->master_host, (int)c->conf->master_listen_port)
					      : mem_xstrdup("whichever machine pushes to it");
	rc = err_set(
	    KC_EPERM, "this is a clone: its keys are changed on its master, %s (or here, with --force)", master);
	free(master);
	return rc;
}

/* --- changes --- */

/* Where no file names another, the first keys of a master begin the built-in database, as `init` would have. */
static int begin_keydb(const struct conf *conf)
{
	char *local = file_join(conf->dir, file_basename(CONF_STATE_KEYDB)), *dir = file_dirname(conf->keydb_path),
	     *key_dir = file_dirname(conf->master_key_file);
	bool unnamed = strcmp(conf->keydb_path, local) == 0 || strcmp(conf->keydb_path, CONF_STATE_KEYDB) == 0;
	int rc = KC_OK;

	if (unnamed && conf->role == CONF_MASTER && !file_exists(conf->keydb_path)) {
		rc = file_make_dirs(dir);
		if (rc == KC_OK)
			rc = file_make_dirs(key_dir);
		if (rc == KC_OK && !file_exists(conf->master_key_file))
			rc = master_create(conf->master_key_file);
		if (rc == KC_OK)
			rc = keydb_create(conf->keydb_path);
		if (rc == KC_OK)
			log_warn("there was no key database: made %s, its keys wrapped under %s", conf->keydb_path,
			    conf->master_key_file);
	}
	free(key_dir);
	free(dir);
	free(local);
	return rc;
}

/* One audited transaction. `work` makes the change and says what it was in *detail (heap). */
typedef int (*change_fn)(struct cli *c, struct keydb *db, char **detail, void *arg);

static int change(struct cli *c, enum audit_event event, change_fn work, void *arg)
{
	struct keys k = { .db = NULL };
	struct audit *audit = NULL;
	struct audit_record record = { .event = event };
	bool adds = event == AUDIT_KEY_GENERATE || event == AUDIT_KEY_IMPORT;
	char *detail = NULL;
	int rc;

	rc = check_role(c);
	if (rc == KC_OK)
		rc = cli_audit(&audit, c);
	if (rc == KC_OK && adds)
		rc = begin_keydb(c->conf);
	if (rc == KC_OK)
		rc = key_open(&k, c, adds ? KEY_ADD : KEY_LIST);
	if (rc == KC_OK)
		rc = keydb_begin(k.db);
	if (rc == KC_OK) {
		rc = work(c, k.db, &detail, arg);
		record.detail = detail;
		if (rc == KC_OK && (rc = audit_result(audit, &record, KC_OK)) == KC_OK &&
		    (rc = audit_sync(audit)) == KC_OK && (rc = keydb_commit(k.db)) == KC_OK)
			goto out;
		record.detail = NULL;
	}
	if (audit != NULL && rc != KC_EUSAGE)
		rc = audit_result(audit, &record, rc);
out:
	free(detail);
	key_close(&k);
	return rc;
}

static int work_generate(struct cli *c, struct keydb *db, char **detail, void *arg)
{
	struct keydb_generated *made = arg;
	uint64_t count = cli_number(c, "count", 1);
	struct keydb_new what = {
		.alias = cli_string(c, "alias"),
		.group = cli_string(c, "group"),
		.algorithm = cli_string(c, "algorithm"),
		.activate = cli_flag(c, "activate"),
		.count = count <= KEYDB_COUNT_MAX ? (unsigned)count : 0,
	};
	int rc;

	if (what.count == 0)
		return cli_usage(
		    c, "--count is %llu: 1 to %d are possible", (unsigned long long)count, KEYDB_COUNT_MAX);
	rc = keydb_generate(made, db, &what);
	if (rc < 0)
		return rc;
	if (made->count == 1)
		*detail = key_text_name(&made->first);
	else
		*detail = mem_xasprintf("%u keys, first %s, last %s", made->count, made->first.uuid, made->last.uuid);
	return KC_OK;
}

static void say_held(const struct keydb_key *key)
{
	if (key->held)
		puts("Held until a backup with it is stored: 'keyclone key list' says when it is not any more.");
}

static int cmd_generate(struct cli *c)
{
	struct keydb_generated made;
	char *first, *last;
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = change(c, AUDIT_KEY_GENERATE, work_generate, &made);
	if (rc < 0)
		return rc;
	if (c->json)
		return cli_print_json(json_pack("{sisoso}", "count", made.count, "first", key_text_json(&made.first),
		    "last", key_text_json(&made.last)));
	first = key_text_name(&made.first);
	last = key_text_name(&made.last);
	if (made.count == 1)
		printf("generated %s %s\n", made.first.algorithm, first);
	else
		printf("generated %u %s keys, first %s, last %s\n", made.count, made.first.algorithm, first, last);
	free(first);
	free(last);
	say_held(&made.last);
	return KC_OK;
}

struct import {
	struct material material;
	struct keydb_key key;
};

static int work_import(struct cli *c, struct keydb *db, char **detail, void *arg)
{
	struct import *in = arg;
	bool named = in->material.algorithm[0] != '\0';
	struct keydb_new what = {
		.alias = cli_string(c, "alias"),
		.group = cli_string(c, "group"),
		.algorithm = named ? in->material.algorithm : cli_string(c, "algorithm"),
		.activate = cli_flag(c, "activate"),
		.same = named ? in->material.id : NULL,
		.same_size = sizeof(in->material.id),
	};
	int rc = keydb_import(
	    &in->key, db, &what, in->material.kind, cli_string(c, "uuid"), in->material.data, in->material.size);

	if (rc == KC_OK)
		*detail = key_text_name(&in->key);
	return rc;
}

static int read_import(struct import *in, struct cli *c)
{
	const char *path = c->argv[0], *kind_text = cli_string(c, "kind"), *format_text = cli_string(c, "format");
	const char *password_file = cli_string(c, "password-file");
	bool from_stdin = strcmp(path, "-") == 0;
	enum material_format format = MATERIAL_AUTO;
	enum keydb_kind kind = KEYDB_SYMMETRIC;
	char *password = NULL;
	struct buf b;
	int rc = KC_OK;

	buf_init(&b, FILE_SIZE_MAX);
	if (kind_text != NULL)
		rc = keydb_kind_parse(&kind, kind_text);
	if (rc == KC_OK && format_text != NULL)
		rc = material_format_parse(&format, format_text);
	if (rc == KC_OK && from_stdin && password_file != NULL && strcmp(password_file, "-") == 0)
		rc = cli_usage(c, "key and password cannot both come from standard input");
	if (rc == KC_OK)
		rc = from_stdin ? file_read_fd(&b, STDIN_FILENO, "standard input") : file_read(&b, path);
	if (rc == KC_OK && password_file != NULL)
		rc = cli_password(&password, password_file, "password of the key", false, "password-file");
	if (rc == KC_OK)
		rc = material_parse(&in->material, buf_data(&b), buf_len(&b), format,
		    kind_text != NULL ? (int)kind : -1, password, from_stdin ? "standard input" : path);
	mem_secret_free(password);
	buf_fini(&b);
	return rc;
}

static int cmd_import(struct cli *c)
{
	struct import in = { .material = { .data = NULL } };
	char *text;
	int rc = cli_args(c, 1, 1);

	if (rc == KC_OK)
		rc = read_import(&in, c);
	if (rc == KC_OK)
		rc = change(c, AUDIT_KEY_IMPORT, work_import, &in);
	material_fini(&in.material);
	if (rc < 0)
		return rc;
	if (c->json)
		return cli_print_json(key_text_json(&in.key));
	text = key_text_name(&in.key);
	printf("imported %s, %s %s, read as %s\n", text, keydb_kind_name(in.key.kind), in.key.algorithm,
	    material_format_name(in.material.format));
	free(text);
	say_held(&in.key);
	return KC_OK;
}

struct transition {
	const char *name;
	enum keydb_state to;
	bool destroy;
	struct keydb_key key;
};

static int work_state(struct cli *c, struct keydb *db, char **detail, void *arg)
{
	struct transition *t = arg;
	struct keydb_key before;
	int rc = keydb_get(&before, db, t->name);

	(void)c;
	if (rc == KC_OK)
		rc = t->destroy ? keydb_destroy(&t->key, db, t->name) : keydb_set_state(&t->key, db, t->name, t->to);
	if (rc == KC_OK)
		*detail = mem_xasprintf(
		    "%s: %s, was %s", t->key.uuid, keydb_state_name(t->key.state), keydb_state_name(before.state));
	return rc;
}

static int print_transition(struct cli *c, const struct transition *t)
{
	char *text;

	if (c->json)
		return cli_print_json(key_text_json(&t->key));
	text = key_text_name(&t->key);
	printf("%s is %s\n", text, keydb_state_name(t->key.state));
	free(text);
	return KC_OK;
}

static int cmd_set_state(struct cli *c)
{
	struct transition t = { .destroy = false };
	int rc = cli_args(c, 2, 2);

	if (rc == KC_OK)
		rc = keydb_state_parse(&t.to, c->argv[1]);
	if (rc < 0)
		return rc;
	t.name = c->argv[0];
	rc = change(c, keydb_state_has_material(t.to) ? AUDIT_KEY_SET_STATE : AUDIT_KEY_DESTROY, work_state, &t);
	return rc == KC_OK ? print_transition(c, &t) : rc;
}

static int cmd_destroy(struct cli *c)
{
	struct transition t = { .destroy = true };
	int rc = cli_args(c, 1, 1);

	t.name = c->argv[0];
	if (rc == KC_OK)
		rc = change(c, AUDIT_KEY_DESTROY, work_state, &t);
	return rc == KC_OK ? print_transition(c, &t) : rc;
}

/* --- reading --- */

struct listing {
	struct cli *cli;
	unsigned long count;
	bool json;
};

#define LIST_FORMAT "%-36s  %-20s  %-12s  %-11s  %-11s  %-21s  %s%s\n"

static int print_row(const struct keydb_key *key, void *arg)
{
	struct listing *l = arg;
	char created[CLOCK_UTC_SIZE], *text;
	json_t *o;

	if (l->json) {
		o = key_text_json(key);
		text = json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);
		printf("%s%s", l->count > 0 ? ",\n" : "", text != NULL ? text : "null");
		free(text);
		json_decref(o);
	} else {
		clock_utc(created, key->created);
		printf(LIST_FORMAT, key->uuid, key->alias[0] != '\0' ? key->alias : "-",
		    key->group[0] != '\0' ? key->group : "-", keydb_kind_name(key->kind), key->algorithm,
		    keydb_state_name(key->state), created, key->held ? "  held" : "");
	}
	l->count++;
	if (ferror(stdout))
		/* A reader that has seen enough is no news. */
		return errno == EPIPE ? cli_quiet(l->cli, KC_ESYS) : err_errno("standard output");
	return KC_OK;
}

static int read_filter(struct keydb_filter *f, struct cli *c)
{
	const char *state = cli_string(c, "state"), *kind = cli_string(c, "kind");
	enum keydb_state s = KEYDB_PRE_ACTIVE;
	enum keydb_kind k = KEYDB_SYMMETRIC;
	int rc = KC_OK;

	*f = (struct keydb_filter)KEYDB_FILTER_ALL;
	f->group = cli_string(c, "group");
	f->alias = cli_string(c, "alias");
	if (state != NULL && (rc = keydb_state_parse(&s, state)) == KC_OK)
		f->state = (int)s;
	if (rc == KC_OK && kind != NULL && (rc = keydb_kind_parse(&k, kind)) == KC_OK)
		f->kind = (int)k;
	return rc;
}

static int cmd_list(struct cli *c)
{
	struct listing l = { .cli = c, .json = c->json };
	struct keydb_filter filter;
	struct keys k = { .db = NULL };
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = read_filter(&filter, c);
	if (rc == KC_OK)
		rc = key_open(&k, c, KEY_LIST);
	if (rc < 0)
		return rc;
	if (l.json)
		printf("{\"keys\":[");
	else
		printf(LIST_FORMAT, "UUID", "ALIAS", "GROUP", "KIND", "ALGORITHM", "STATE", "CREATED", "");
	rc = keydb_list(k.db, &filter, print_row, &l);
	key_close(&k);
	if (rc < 0)
		return rc;
	if (l.json)
		printf("],\"count\":%lu}\n", l.count);
	else
		printf("%lu %s\n", l.count, l.count == 1 ? "key" : "keys");
	return fflush(stdout) != 0 ? err_errno("standard output") : KC_OK;
}

static int get_key(struct keydb_key *key, struct keys *k, struct cli *c, enum key_use use)
{
	int rc = cli_args(c, 1, 1);

	if (rc == KC_OK)
		rc = key_open(k, c, use);
	if (rc == KC_OK)
		rc = keydb_get(key, k->db, c->argv[0]);
	return rc;
}

static int cmd_show(struct cli *c)
{
	struct keys k = { .db = NULL };
	struct keydb_key key;
	json_t *o;
	const char *name;
	json_t *value;
	int rc = get_key(&key, &k, c, KEY_LIST);

	key_close(&k);
	if (rc < 0)
		return rc;
	o = key_text_json(&key);
	if (c->json)
		return cli_print_json(o);
	json_object_foreach(o, name, value) {
		if (json_is_integer(value))
			printf("%-12s %lld\n", name, (long long)json_integer_value(value));
		else if (json_is_boolean(value))
			printf("%-12s %s\n", name, json_is_true(value) ? "yes" : "no");
		else
			printf("%-12s %s\n", name, json_is_string(value) ? json_string_value(value) : "-");
	}
	json_decref(o);
	return KC_OK;
}

static int cmd_export(struct cli *c)
{
	const char *format_text = cli_string(c, "format");
	enum material_format format = MATERIAL_AUTO;
	struct keys k = { .db = NULL };
	struct keydb_key key;
	int rc = format_text != NULL ? material_format_parse(&format, format_text) : KC_OK;

	if (rc == KC_OK)
		rc = get_key(&key, &k, c, KEY_EXPORT);
	if (rc == KC_OK)
		rc = key_export(c, k.db, &key, format);
	key_close(&k);
	return rc;
}

/* --- the table --- */

#define FORCE                                                                          \
	{                                                                              \
		"force", 0, CLI_FLAG, NULL, "on a clone: change its keys nevertheless" \
	}

static const struct cli_option generate_options[] = {
	{ "count", 'n', CLI_NUMBER, "N", "how many; 1 if not given" },
	{ "alias", 'a', CLI_STRING, "NAME", "alias of the key; of several keys the beginning, a number follows" },
	{ "group", 'g', CLI_STRING, "NAME", "group of the keys" },
	{ "algorithm", 0, CLI_STRING, "NAME",
	    "AES-256 (if not given), AES-128, AES-192, HMAC-SHA256, -SHA384, -SHA512" },
	{ "activate", 0, CLI_FLAG, NULL, "make them active at once, not pre-active" },
	FORCE,
	{ NULL },
};

static const struct cli_option import_options[] = {
	{ "alias", 'a', CLI_STRING, "NAME", "alias of the key" },
	{ "group", 'g', CLI_STRING, "NAME", "group of the key" },
	{ "kind", 0, CLI_STRING, "KIND", "symmetric, private or certificate; else what the file holds" },
	{ "format", 0, CLI_STRING, "FORMAT", "raw, hex, base64, pem or der; else what the file looks like" },
	{ "algorithm", 0, CLI_STRING, "NAME", "of a symmetric key; AES of its length if not given" },
	{ "uuid", 0, CLI_STRING, "UUID", "the uuid the key has elsewhere; random if not given" },
	{ "password-file", 0, CLI_STRING, "FILE", "password of an encrypted private key; - is standard input" },
	{ "activate", 0, CLI_FLAG, NULL, "make it active at once, not pre-active" },
	FORCE,
	{ NULL },
};

static const struct cli_option list_options[] = {
	{ "group", 'g', CLI_STRING, "NAME", "only keys of this group" },
	{ "alias", 'a', CLI_STRING, "TEXT", "only keys whose alias begins so" },
	{ "state", 0, CLI_STRING, "STATE", "only keys in this state" },
	{ "kind", 0, CLI_STRING, "KIND", "only symmetric, private or certificate" },
	{ NULL },
};

static const struct cli_option export_options[] = {
	{ "format", 0, CLI_STRING, "FORMAT", "raw, hex, base64, pem or der; hex for symmetric keys, else pem" },
	{ "output", 'o', CLI_STRING, "FILE", "a new file, 0600; else standard output" },
	{ NULL },
};

static const struct cli_option change_options[] = { FORCE, { NULL } };

const struct cli_command cmd_key_commands[] = {
	{ "key generate", "", "make new keys in the built-in key database", generate_options, CLI_CONF, cmd_generate },
	{ "key import", "FILE|-", "store a key or certificate from a file", import_options, CLI_CONF, cmd_import },
	{ "key list", "", "list keys, without their material", list_options, CLI_CONF, cmd_list },
	{ "key show", "KEY", "show one key, by uuid or alias", NULL, CLI_CONF, cmd_show },
	{ "key export", "KEY", "write a key's material in clear", export_options, CLI_CONF, cmd_export },
	{ "key set-state", "KEY STATE", "change the state of a key", change_options, CLI_CONF, cmd_set_state },
	{ "key destroy", "KEY", "wipe the material of a key, keep its record", change_options, CLI_CONF, cmd_destroy },
	{ NULL },
};
