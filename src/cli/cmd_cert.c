/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_cert: the commands of the keystore. A private key enters and leaves it encrypted, under a password that comes
 * from a file or a terminal, and only into a file that did not exist.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "cert_text.h"
#include "families.h"
#include "keystore/identity.h"
#include "keystore/issue.h"

#define INPUT_MAX (1024 * 1024)
#define SANS_MAX  64

/* What is given, else the one this machine speaks with. */
static const char *wanted_alias(const struct cli *c)
{
	const char *alias = cli_string(c, "alias");

	return alias != NULL ? alias : c->conf->tls_alias;
}

/* --- create --- */

/* Options to a request. A --san may hold several, with commas between; *storage keeps the pieces. */
static int read_sans(struct issue_request *r, const char **sans, char **storage, const struct cli *c)
{
	const char *given;
	char *all = mem_xstrdup(""), *p, *next;

	for (int i = 0; (given = cli_many(c, "san", i)) != NULL; i++) {
		char *longer = mem_xasprintf("%s%s%s", all, all[0] != '\0' ? "," : "", given);

		free(all);
		all = longer;
	}
	*storage = all;
	for (p = all[0] != '\0' ? all : NULL; p != NULL; p = next) {
		next = strchr(p, ',');
		if (next != NULL)
			*next++ = '\0';
		if (r->san_count == SANS_MAX)
			return cli_usage(c, "more than %d alternative names", SANS_MAX);
		sans[r->san_count++] = p;
	}
	r->sans = sans;
	return KC_OK;
}

static int read_role(struct issue_request *r, const struct cli *c)
{
	const char *role = cli_string(c, "role");

	if (!cli_flag(c, "issued"))
		return role == NULL ? KC_OK : cli_usage(c, "--role is given by the own authority only: --issued");
	if (role != NULL && strcmp(role, "master") == 0)
		r->role = CERT_ROLE_MASTER;
	else if (role != NULL && strcmp(role, "clone") == 0)
		r->role = CERT_ROLE_CLONE;
	else
		return cli_usage(c, "--issued needs --role master or --role clone");
	return KC_OK;
}

static int read_request(struct issue_request *r, const char **sans, char **storage, const struct cli *c)
{
	const char *type = cli_string(c, "key-type");
	uint64_t days = cli_number(c, "days", 0);
	int rc;

	r->cn = cli_string(c, "cn");
	r->subject = cli_string(c, "subject");
	if (r->cn == NULL && r->subject == NULL)
		return cli_usage(c, "--cn NAME or --subject DN is missing");
	if (days > ISSUE_DAYS_MAX || (days == 0 && cli_string(c, "days") != NULL))
		return cli_usage(c, "--days: %s is not 1 to %d", cli_string(c, "days"), ISSUE_DAYS_MAX);
	r->days = (unsigned)days;
	if (type != NULL && (rc = issue_key_from_name(&r->key, type)) < 0)
		return rc;
	rc = read_role(r, c);
	return rc == KC_OK ? read_sans(r, sans, storage, c) : rc;
}

static int make(struct identity **id, const struct cli *c)
{
	struct issue_authority *authority = NULL;
	struct issue_request r = { 0 };
	const char *sans[SANS_MAX];
	char *storage = NULL;
	int rc = read_request(&r, sans, &storage, c);

	if (rc == KC_OK && cli_flag(c, "issued"))
		rc = issue_authority_load(&authority, c->conf->secrets_dir);
	if (rc == KC_OK)
		rc = issue_identity(id, authority, &r);
	issue_authority_free(authority);
	free(storage);
	return rc;
}

struct saving {
	const struct identity *id;
	const char *alias;
};

static int work_save(struct cli *c, struct audit_record *r, void *arg)
{
	const struct saving *s = arg;

	(void)r;
	return identity_save(s->id, c->conf->keystore_dir, s->alias, cli_flag(c, "replace"));
}

static int save(struct cli *c, enum audit_event event, const struct identity *id, const char *alias)
{
	struct saving s = { .id = id, .alias = alias };
	char *detail = cert_text_detail("alias", alias, identity_info(id));
	int rc = cli_audited(c, &(struct audit_record){ .event = event, .detail = detail }, work_save, &s);

	free(detail);
	return rc;
}

static int print_saved(const struct cli *c, const char *verb, const char *alias, const struct identity *id)
{
	const struct cert_info *info = identity_info(id);
	char end[CLOCK_UTC_SIZE];

	if (c->json)
		return cli_print_json(cert_text_json("alias", alias, info));
	clock_utc(end, info->not_after);
	printf("%s %s: %s, %s, until %s, SHA-256 %s\n", verb, alias, info->subject, info->key_type, end, info->sha256);
	if (cert_info_days_left(info, time(NULL)) < 0)
		log_warn("alias %s: the certificate expired at %s", alias, end);
	cert_text_hint_trust(c->conf, id, alias);
	return KC_OK;
}

static int cmd_create(struct cli *c)
{
	const char *alias = cli_string(c, "alias");
	struct identity *id = NULL;
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = alias != NULL ? identity_check_alias(alias) : cli_usage(c, "--alias NAME is missing");
	if (rc == KC_OK)
		rc = make(&id, c);
	if (rc == KC_OK)
		rc = save(c, AUDIT_CERT_CREATE, id, alias);
	if (rc == KC_OK)
		rc = print_saved(c, "created", alias, id);
	identity_free(id);
	return rc;
}

/* --- import --- */

struct input {
	struct buf data;
	struct buf key;
	bool has_key;
};

static int read_input(struct input *in, const struct cli *c)
{
	const char *key = cli_string(c, "key");
	int rc = file_read(&in->data, c->argv[0]);

	if (rc < 0 || key == NULL)
		return rc;
	in->has_key = true;
	return file_read(&in->key, key);
}

static int parse(struct identity **id, char **friendly, const struct input *in, const char *password, const char *name)
{
	return identity_parse(id, friendly, name, buf_data(&in->data), buf_len(&in->data),
	    in->has_key ? buf_data(&in->key) : NULL, buf_len(&in->key), password);
}

/* A password is asked for only where one is needed. */
static int parse_input(struct identity **id, char **friendly, const struct input *in, const struct cli *c)
{
	const char *file = cli_string(c, "p12-password-file");
	char *password = NULL;
	int rc = KC_EPASSWORD;

	if (file == NULL && (rc = parse(id, friendly, in, NULL, c->argv[0])) != KC_EPASSWORD)
		return rc;
	if (file == NULL && !isatty(STDIN_FILENO))
		return rc;
	rc = cli_password(&password, file, "password of the file", false, "p12-password-file");
	if (rc == KC_OK)
		rc = parse(id, friendly, in, password, c->argv[0]);
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

static int import_input(struct cli *c, const struct input *in)
{
	char *friendly = NULL, *alias = NULL;
	struct identity *id = NULL;
	int rc = parse_input(&id, &friendly, in, c);

	if (rc == KC_OK)
		rc = choose_alias(&alias, friendly, c);
	if (rc == KC_OK) {
		identity_rename(id, alias);
		rc = identity_check_uses(id);
	}
	if (rc == KC_OK)
		rc = save(c, AUDIT_CERT_IMPORT, id, alias);
	if (rc == KC_OK)
		rc = print_saved(c, "imported", alias, id);
	identity_free(id);
	free(friendly);
	free(alias);
	return rc;
}

static int cmd_import(struct cli *c)
{
	struct input in = { .has_key = false };
	int rc = cli_args(c, 1, 1);

	if (rc < 0)
		return rc;
	buf_init(&in.data, INPUT_MAX);
	buf_init(&in.key, INPUT_MAX);
	rc = read_input(&in, c);
	if (rc == KC_OK)
		rc = import_input(c, &in);
	buf_fini(&in.data);
	buf_fini(&in.key);
	return rc;
}

/* --- export --- */

struct exporting {
	const struct buf *bytes;
	bool secret;
};

static int work_export(struct cli *c, struct audit_record *r, void *arg)
{
	const char *path = cli_string(c, "output");
	const struct exporting *x = arg;

	(void)r;
	if (c->json && (path == NULL || strcmp(path, "-") == 0))
		return KC_OK; /* it becomes a member of the answer */
	return cli_write(path, buf_data(x->bytes), buf_len(x->bytes), x->secret ? 0600 : 0644);
}

static int read_export_options(enum identity_format *format, bool *with_key, const struct cli *c)
{
	const char *name = cli_string(c, "format"), *path = cli_string(c, "output");
	int rc = identity_format_from_name(format, name != NULL ? name : "pem");

	if (rc < 0)
		return rc;
	*with_key = *format == IDENTITY_P12 || cli_flag(c, "with-key");
	if (*with_key && *format != IDENTITY_P12 && *format != IDENTITY_PEM)
		return cli_usage(c, "a private key goes into pem and p12 only, not into %s", name);
	if (*with_key && (path == NULL || strcmp(path, "-") == 0))
		return cli_usage(c, "a private key goes into a file only: --output FILE is missing");
	if (*with_key && file_exists(path))
		return err_set(KC_EEXIST, "%s: exists already", path);
	return KC_OK;
}

static int export_bytes(
    struct buf *out, const struct identity *id, enum identity_format format, bool with_key, const struct cli *c)
{
	char *password = NULL;
	int rc = KC_OK;

	if (with_key)
		rc = cli_password(&password, cli_string(c, "p12-password-file"), "password for the exported key", true,
		    "p12-password-file");
	if (rc == KC_OK && password != NULL && password[0] == '\0')
		rc = err_set(KC_EUSAGE, "the password for the exported key is empty");
	if (rc == KC_OK)
		rc = identity_export(out, id, format, with_key, password);
	mem_secret_free(password);
	return rc;
}

static int export_identity(struct cli *c, const struct identity *id, enum identity_format format, bool with_key)
{
	struct exporting x = { .secret = with_key };
	const char *path = cli_string(c, "output");
	char *what = mem_xasprintf("%s, alias", with_key ? "with its private key" : "without key"), *detail;
	struct buf bytes;
	int rc;

	buf_init(&bytes, INPUT_MAX);
	x.bytes = &bytes;
	rc = export_bytes(&bytes, id, format, with_key, c);
	detail = cert_text_detail(what, identity_alias(id), identity_info(id));
	if (rc == KC_OK)
		rc = cli_audited(
		    c, &(struct audit_record){ .event = AUDIT_CERT_EXPORT, .detail = detail }, work_export, &x);
	if (path != NULL && strcmp(path, "-") == 0)
		path = NULL;
	if (rc == KC_OK && c->json)
		rc = cli_print_json(
		    cert_text_export_json(identity_alias(id), with_key, path, &bytes, format == IDENTITY_DER));
	else if (rc == KC_OK && path != NULL)
		printf("exported %s %s to %s\n", identity_alias(id), with_key ? "with its private key" : "without key",
		    path);
	free(detail);
	free(what);
	buf_fini(&bytes);
	return rc;
}

static int cmd_export(struct cli *c)
{
	enum identity_format format = IDENTITY_PEM;
	struct identity *id = NULL;
	bool with_key = false;
	char *alias = NULL;
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = read_export_options(&format, &with_key, c);
	if (rc == KC_OK)
		rc = identity_resolve(&alias, c->conf->keystore_dir, wanted_alias(c));
	if (rc == KC_OK)
		rc = identity_load(&id, c->conf->keystore_dir, alias);
	if (rc == KC_OK)
		rc = export_identity(c, id, format, with_key);
	identity_free(id);
	free(alias);
	return rc;
}

/* --- show, list --- */

static int print_entry(const struct cli *c, const struct identity_entry *e)
{
	json_t *o;

	if (c->json) {
		o = cert_text_json("alias", e->alias, &e->info);
		json_object_set_new(o, "has_key", json_boolean(e->has_key));
		json_object_set_new(o, "chain_length", json_integer((json_int_t)e->chain_count));
		return cli_print_json(o);
	}
	printf("alias        %s%s\n", e->alias, e->has_key ? "" : " (no private key)");
	cert_text_print(&e->info);
	return KC_OK;
}

static int cmd_show(struct cli *c)
{
	const char *wanted = c->argc > 0 ? c->argv[0] : wanted_alias(c);
	struct identity_list list = { 0 };
	char *alias = NULL;
	bool found = false;
	int rc = cli_args(c, 0, 1);

	if (rc == KC_OK && wanted == NULL)
		rc = identity_resolve(&alias, c->conf->keystore_dir, NULL);
	if (rc == KC_OK)
		rc = identity_list_load(&list, c->conf->keystore_dir);
	for (size_t i = 0; rc == KC_OK && !found && i < list.count; i++) {
		found = strcmp(list.entries[i].alias, wanted != NULL ? wanted : alias) == 0;
		if (found)
			rc = print_entry(c, &list.entries[i]);
	}
	if (rc == KC_OK && !found)
		rc = err_set(KC_ENOENT, "alias %s: not in the keystore %s", wanted != NULL ? wanted : alias,
		    c->conf->keystore_dir);
	identity_list_fini(&list);
	free(alias);
	return rc;
}

#define LIST_FORMAT "%-20s  %-3s  %-11s  %-9s  %-24s  %-20s  %9s  %s\n"

static void print_row(const struct identity_entry *e)
{
	char end[CLOCK_UTC_SIZE], days[24];
	const char *role = cert_role_name(e->info.role);

	clock_utc(end, e->info.not_after);
	snprintf(days, sizeof(days), "%ld", cert_info_days_left(&e->info, time(NULL)));
	printf(LIST_FORMAT, e->alias, e->has_key ? "yes" : "no", e->info.key_type, role[0] != '\0' ? role : "-",
	    e->info.cn[0] != '\0' ? e->info.cn : e->info.subject, end, days, e->info.sha256);
}

static int cmd_list(struct cli *c)
{
	struct identity_list list = { 0 };
	json_t *array;
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = identity_list_load(&list, c->conf->keystore_dir);
	if (rc < 0)
		return rc;
	if (c->json) {
		array = json_array();
		for (size_t i = 0; i < list.count; i++) {
			json_t *o = cert_text_json("alias", list.entries[i].alias, &list.entries[i].info);

			json_object_set_new(o, "has_key", json_boolean(list.entries[i].has_key));
			json_array_append_new(array, o);
		}
		rc = cli_print_json(json_pack("{so}", "certificates", array));
	} else {
		printf(
		    LIST_FORMAT, "ALIAS", "KEY", "TYPE", "ROLE", "COMMON NAME", "VALID UNTIL", "DAYS LEFT", "SHA-256");
		for (size_t i = 0; i < list.count; i++)
			print_row(&list.entries[i]);
	}
	identity_list_fini(&list);
	return rc;
}

static const struct cli_option create_options[] = {
	{ "alias", 'a', CLI_STRING, "NAME", "its name in the keystore" },
	{ "cn", 0, CLI_STRING, "NAME", "common name" },
	{ "san", 0, CLI_MANY, "NAME[,NAME]", "host name or address it is for (dns:NAME, ip:ADDRESS, or bare)" },
	{ "subject", 0, CLI_STRING, "DN", "whole subject, such as 'CN=a,O=b'" },
	{ "days", 0, CLI_NUMBER, "N", "how long it is valid (825)" },
	{ "key-type", 0, CLI_STRING, "TYPE", "ecdsa-p256 (the default), ecdsa-p384, rsa-3072" },
	{ "issued", 0, CLI_FLAG, NULL, "issued by the own authority instead of self-signed" },
	{ "role", 0, CLI_STRING, "ROLE", "master or clone: what the holder may speak as (with --issued)" },
	{ "replace", 0, CLI_FLAG, NULL, "replace the alias if it exists" },
	{ NULL },
};

static const struct cli_option import_options[] = {
	{ "alias", 'a', CLI_STRING, "NAME", "its name in the keystore (else the friendly name in the file)" },
	{ "key", 0, CLI_STRING, "FILE", "the private key, where it is in a file of its own" },
	{ "p12-password-file", 0, CLI_STRING, "FILE", "password of the PKCS#12 file or the encrypted key" },
	{ "replace", 0, CLI_FLAG, NULL, "replace the alias if it exists" },
	{ NULL },
};

static const struct cli_option export_options[] = {
	{ "alias", 'a', CLI_STRING, "NAME", "which one (else the one of backup.TLSCertAlias, else the only one)" },
	{ "format", 'f', CLI_STRING, "FORMAT",
	    "pem (chain; the default), base64 or der (certificate), p12 (all, with key)" },
	{ "output", 'o', CLI_STRING, "FILE", "a new file; nothing is overwritten" },
	{ "with-key", 0, CLI_FLAG, NULL, "add the private key, encrypted (pem)" },
	{ "p12-password-file", 0, CLI_STRING, "FILE", "password for the private key" },
	{ NULL },
};

static const struct cli_option show_options[] = {
	{ "alias", 'a', CLI_STRING, "NAME", "which one (else the one of backup.TLSCertAlias, else the only one)" },
	{ NULL },
};

const struct cli_command cmd_cert_commands[] = {
	{ "cert create", "", "make a key and its certificate", create_options, CLI_CONF, cmd_create },
	{ "cert import", "FILE", "take a key and its certificate from PEM, DER or PKCS#12", import_options, CLI_CONF,
	    cmd_import },
	{ "cert export", "", "write a certificate, or with its key, for another machine or product", export_options,
	    CLI_CONF, cmd_export },
	{ "cert show", "[ALIAS]", "describe a certificate of the keystore", show_options, CLI_CONF, cmd_show },
	{ "cert list", "", "list the certificates of the keystore", NULL, CLI_CONF, cmd_list },
	{ NULL },
};
