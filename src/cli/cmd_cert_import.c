/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_cert_import: `cert import`. With a private key, in the file or beside it, it is an identity for an alias; without
 * one it is an authority's answer to a request, or a renewal, for the alias that has the key.
 */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cert_text.h"
#include "cert_work.h"
#include "families.h"
#include "keystore/foreign.h"
#include "keystore/request.h"

#define INPUT_MAX (1024 * 1024)
#define FILES_MAX 64

struct input {
	struct buf files[FILES_MAX]; /* the first is the argument, the others are of --chain */
	char *names[FILES_MAX];
	struct identity_part further[FILES_MAX];
	size_t n;
	struct buf key;
	struct identity_source source;
};

/* --- reading --- */

static int read_file(struct input *in, const char *path)
{
	if (in->n == FILES_MAX)
		return err_set(KC_ELIMIT, "%s: more than %d files", path, FILES_MAX);
	in->names[in->n] = mem_xstrdup(path);
	buf_init(&in->files[in->n], INPUT_MAX);
	return file_read(&in->files[in->n++], path);
}

static int read_folder(struct input *in, const char *path)
{
	size_t before = in->n;
	struct dirent *e;
	DIR *d = opendir(path);
	int rc = KC_OK;

	if (d == NULL)
		return err_errno("%s", path);
	while (rc == KC_OK && (e = readdir(d)) != NULL) {
		char *file = file_join(path, e->d_name);

		if (e->d_name[0] != '.' && !file_is_dir(file))
			rc = read_file(in, file);
		free(file);
	}
	closedir(d);
	return rc == KC_OK && in->n == before ? err_set(KC_ENOENT, "%s: no file in it", path) : rc;
}

static int read_chain(struct input *in, const struct cli *c)
{
	const char *path;
	int rc = KC_OK;

	for (int i = 0; rc == KC_OK && (path = cli_many(c, "chain", i)) != NULL; i++)
		rc = file_is_dir(path) ? read_folder(in, path) : read_file(in, path);
	return rc;
}

static int read_input(struct input *in, const struct cli *c)
{
	struct identity_source *s = &in->source;
	const char *key = cli_string(c, "key");
	int rc = read_file(in, c->argv[0]);

	if (rc == KC_OK)
		rc = read_chain(in, c);
	if (rc == KC_OK && key != NULL)
		rc = file_read(&in->key, key);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < in->n; i++)
		in->further[i] =
		    (struct identity_part){ in->names[i], buf_data(&in->files[i]), buf_len(&in->files[i]) };
	s->file = in->further[0];
	s->further = in->further + 1;
	s->further_count = in->n - 1;
	s->from_alias = cli_string(c, "from-alias");
	if (key != NULL)
		s->key = (struct identity_part){ key, buf_len(&in->key) > 0 ? buf_data(&in->key) : (const void *)"",
			buf_len(&in->key) };
	return KC_OK;
}

static void input_fini(struct input *in)
{
	for (size_t i = 0; i < in->n; i++) {
		buf_fini(&in->files[i]);
		free(in->names[i]);
	}
	buf_fini(&in->key);
	free(in);
}

/* --- with a key --- */

static int read_once(struct identity **id, char **friendly, const struct identity_source *s)
{
	size_t keys = 1;
	int rc = identity_read(id, friendly, &keys, s);

	if (rc == KC_EFORMAT && keys > 1)
		return err_set(rc, "%s; --from-alias NAME chooses", err_text(rc));
	return rc;
}

/* A password is asked for only where one is needed. */
static int read_identity(struct identity **id, char **friendly, struct identity_source *s, const struct cli *c)
{
	const char *file = cli_string(c, "p12-password-file");
	char *password = NULL;
	int rc = KC_EPASSWORD;

	if (file == NULL && (rc = read_once(id, friendly, s)) != KC_EPASSWORD)
		return rc;
	rc = cli_password(&password, file, "password of the file", false, "p12-password-file");
	s->password = password;
	if (rc == KC_OK)
		rc = read_once(id, friendly, s);
	s->password = NULL;
	mem_secret_free(password);
	return rc;
}

static int choose_alias(char **alias, const char *friendly, const struct cli *c)
{
	const char *wanted = cli_string(c, "alias");

	if (wanted == NULL && friendly[0] == '\0')
		return cli_usage(c, "%s names no alias: --alias NAME is missing", c->argv[0]);
	*alias = wanted != NULL ? mem_xstrdup(wanted) : identity_alias_from_name(friendly);
	return identity_check_alias(*alias);
}

static int check(const struct cli *c, const struct identity *id)
{
	int rc = identity_check_uses(id);

	return rc == KC_OK ? cert_check_years(c->conf, identity_info(id)) : rc;
}

static int work_trust(struct cli *c, struct audit_record *r, void *arg)
{
	(void)r;
	return identity_trust(arg, c->conf->truststore_dir, c->argv[0]);
}

/* What the peers' certificates will hang on, before the identity itself: half done, it does not speak yet. */
static int trust(struct cli *c, struct identity *id)
{
	char *detail;
	int rc;

	if (!cli_flag(c, "trust"))
		return KC_OK;
	detail = mem_xasprintf("certificates of %s", c->argv[0]);
	rc = cli_audited(c, &(struct audit_record){ .event = AUDIT_TRUST_ADD, .detail = detail }, work_trust, id);
	free(detail);
	return rc;
}

static int import_identity(struct cli *c, struct identity_source *s)
{
	char *friendly = NULL, *alias = NULL;
	struct identity *id = NULL;
	int rc = read_identity(&id, &friendly, s, c);

	if (rc == KC_OK)
		rc = choose_alias(&alias, friendly, c);
	if (rc == KC_OK) {
		identity_rename(id, alias);
		rc = check(c, id);
	}
	if (rc == KC_OK && !cli_flag(c, "replace") && cert_has_certificate(c->conf, alias))
		rc = err_set(KC_EEXIST, "alias %s: exists already in %s; --replace takes its place", alias,
		    c->conf->keystore_dir);
	if (rc == KC_OK)
		rc = trust(c, id);
	if (rc == KC_OK)
		rc = cert_save(c, AUDIT_CERT_IMPORT, id, alias, cli_flag(c, "replace"));
	if (rc == KC_OK)
		rc = cert_print_saved(c, "imported", alias, id, false);
	identity_free(id);
	free(friendly);
	free(alias);
	return rc;
}

/* --- without one --- */

/* What is there under the alias; *same: it is this very certificate. A renewal that ends sooner is a mistake. */
static int compare_with_old(bool *same, bool *renewal, const struct cli *c, const struct identity *id)
{
	const struct cert_info *new = identity_info(id), *old;
	char ends[CLOCK_UTC_SIZE], has[CLOCK_UTC_SIZE];
	struct identity *before = NULL;
	int rc = KC_OK;

	*renewal = cert_has_certificate(c->conf, identity_alias(id));
	if (!*renewal || identity_load(&before, c->conf->keystore_dir, identity_alias(id)) < 0)
		return KC_OK;
	old = identity_info(before);
	*same = strcmp(old->sha256, new->sha256) == 0 && identity_chain_count(before) >= identity_chain_count(id);
	clock_utc(ends, new->not_after);
	clock_utc(has, old->not_after);
	if (new->not_after < old->not_after && !cli_flag(c, "replace"))
		rc = err_set(KC_ECERT,
		    "alias %s: the certificate ends at %s, before the one that is there, %s; "
		    "--replace takes it all the same",
		    identity_alias(id), ends, has);
	identity_free(before);
	return rc;
}

static int take_answer(struct cli *c, struct identity *id)
{
	const char *alias = identity_alias(id);
	bool same = false, renewal = false;
	int rc = check(c, id);

	if (rc == KC_OK)
		rc = compare_with_old(&same, &renewal, c, id);
	if (rc == KC_OK)
		rc = trust(c, id);
	if (rc == KC_OK && !same)
		rc = cert_save(c, AUDIT_CERT_IMPORT, id, alias, true);
	return rc == KC_OK ? cert_print_saved(c,
				 same	   ? "nothing new for"
				 : renewal ? "renewed"
					   : "imported",
				 alias, id, false)
			   : rc;
}

static int import_answer(struct cli *c, const struct identity_source *s)
{
	struct identity *id = NULL;
	int rc = request_answer(&id, c->conf->keystore_dir, cli_string(c, "alias"), s, cli_flag(c, "replace"));

	if (rc == KC_OK)
		rc = take_answer(c, id);
	identity_free(id);
	return rc;
}

/* --- */

static void hint_conversion(const struct cli *c, const struct identity_part *f)
{
	char *line = foreign_conversion(f->data, f->size, f->name);

	if (line != NULL) {
		fprintf(stderr, "keyclone: %s\n", err_text(KC_EFORMAT));
		fprintf(stderr, "Make a PKCS#12 file of it, and import that:\n  %s\n", line);
	}
	(void)c;
	free(line);
}

static int import_input(struct cli *c, struct input *in)
{
	struct identity_source *s = &in->source;
	const struct identity_part *f = &s->file;
	int rc;

	if (s->key.data == NULL && foreign_kind(f->data, f->size, f->name) == NULL && f->size > 0 &&
	    !identity_holds_key(f->data, f->size))
		return import_answer(c, s);
	rc = import_identity(c, s);
	if (rc == KC_EFORMAT && foreign_kind(f->data, f->size, f->name) != NULL) {
		hint_conversion(c, f);
		return cli_quiet(c, rc);
	}
	return rc;
}

static int cmd_import(struct cli *c)
{
	struct input *in;
	int rc = cli_args(c, 1, 1);

	if (rc < 0)
		return rc;
	in = mem_xalloc(sizeof(*in));
	buf_init(&in->key, INPUT_MAX);
	rc = read_input(in, c);
	if (rc == KC_OK)
		rc = import_input(c, in);
	input_fini(in);
	return rc;
}

static const struct cli_option import_options[] = {
	{ "alias", 'a', CLI_STRING, "NAME",
	    "its name in the keystore (else the friendly name, or the alias with its key)" },
	{ "key", 0, CLI_STRING, "FILE", "the private key, where it is in a file of its own" },
	{ "chain", 0, CLI_MANY, "FILE|DIR", "more certificates: those of the authorities, in any order" },
	{ "from-alias", 0, CLI_STRING, "NAME", "which key of a PKCS#12 file that has several" },
	{ "p12-password-file", 0, CLI_STRING, "FILE", "password of the PKCS#12 file or the encrypted key" },
	{ "trust", 0, CLI_FLAG, NULL, "trust who issued it, too: for a certificate that all machines share" },
	{ "replace", 0, CLI_FLAG, NULL, "replace the alias if it exists; take another subject or an earlier end" },
	{ NULL },
};

const struct cli_command cmd_cert_import_commands[] = {
	{ "cert import", "FILE",
	    "take a certificate, with its key or for one that waits, from PEM, DER, PKCS#7 or PKCS#12", import_options,
	    CLI_CONF, cmd_import },
	{ NULL },
};
