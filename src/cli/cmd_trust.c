/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_trust: the commands of the truststore, and of the signers whose backups are restored here. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cert_text.h"
#include "daemon_client.h"
#include "families.h"
#include "keystore/identity.h"
#include "keystore/issue.h"
#include "keystore/layout.h"
#include "keystore/retired.h"
#include "keystore/sign.h"
#include "keystore/trust.h"
#include "keystore/trust_share.h"

struct adding {
	size_t added;
	char *name;
};

static int work_add(struct cli *c, struct audit_record *r, void *arg)
{
	struct adding *a = arg;

	(void)r;
	return trust_add_file(&a->added, &a->name, c->conf->truststore_dir, cli_string(c, "alias"), c->argv[0]);
}

static int cmd_add(struct cli *c)
{
	struct adding a = { .added = 0 };
	char *detail;
	int rc = cli_args(c, 1, 1);

	if (rc < 0)
		return rc;
	detail = mem_xasprintf("certificates of %s", c->argv[0]);
	rc = cli_audited(c, &(struct audit_record){ .event = AUDIT_TRUST_ADD, .detail = detail }, work_add, &a);
	free(detail);
	if (rc == KC_OK && c->json)
		rc = cli_print_json(json_pack("{sIss?}", "added", (json_int_t)a.added, "name", a.name));
	else if (rc == KC_OK && a.added == 0)
		printf("%s: trusted already\n", c->argv[0]);
	else if (rc == KC_OK)
		printf("%zu certificate%s trusted, %s\n", a.added, a.added == 1 ? "" : "s", a.name);
	if (rc == KC_OK && a.added > 0)
		daemon_hint_reload(c);
	free(a.name);
	return rc;
}

/* What this machine's certificate hangs on, and the own authority, on which those of the clones do. */
static json_t *needed(const struct cli *c)
{
	json_t *list = json_array();
	struct identity *id = NULL;
	struct issue_authority *own = NULL;

	if (identity_open(&id, c->conf->keystore_dir, c->conf->tls_alias) == KC_OK)
		(void)trust_share_list(list, id, c->conf->truststore_dir);
	if (issue_authority_load(&own, c->conf->secrets_dir) == KC_OK)
		json_array_append_new(list, json_string(issue_authority_info(own)->sha256));
	issue_authority_free(own);
	identity_free(id);
	return list;
}

static bool is_named(const struct trust_entry *e, const char *name_or_sha256)
{
	return strcmp(e->name, name_or_sha256) == 0 || strcasecmp(e->info.sha256, name_or_sha256) == 0;
}

static int check_unused(const struct cli *c, const char *name_or_sha256)
{
	struct trust_list trusted = { 0 };
	json_t *list, *sha256;
	size_t i;
	int rc = KC_OK;

	/* One that cannot be read is trusted by nobody. */
	if (cli_flag(c, "force") || trust_list_load(&trusted, c->conf->truststore_dir) < 0)
		return KC_OK;
	list = needed(c);
	for (size_t k = 0; rc == KC_OK && k < trusted.count; k++)
		json_array_foreach(list, i, sha256)
			if (is_named(&trusted.entries[k], name_or_sha256) &&
			    strcmp(trusted.entries[k].info.sha256, json_string_value(sha256)) == 0)
				rc = err_set(KC_EPERM,
				    "%s: the certificates in use hang on it, and every peer would be refused without "
				    "it; "
				    "first change to others ('keyclone cert rotate'), or --force",
				    name_or_sha256);
	json_decref(list);
	trust_list_fini(&trusted);
	return rc;
}

static int work_remove(struct cli *c, struct audit_record *r, void *arg)
{
	(void)r, (void)arg;
	return trust_remove(c->conf->truststore_dir, c->argv[0]);
}

static int cmd_remove(struct cli *c)
{
	char *retired;
	int rc = cli_args(c, 1, 1);

	if (rc == KC_OK)
		rc = check_unused(c, c->argv[0]);
	if (rc == KC_OK)
		rc = cli_audited(
		    c, &(struct audit_record){ .event = AUDIT_TRUST_REMOVE, .detail = c->argv[0] }, work_remove, NULL);
	if (rc < 0)
		return rc;
	retired = file_join(c->conf->truststore_dir, RETIRED_DIR);
	if (c->json) {
		rc = cli_print_json(json_pack("{s:s, s:s}", "removed", c->argv[0], "retired_to", retired));
	} else {
		printf("%s is no longer trusted; it is kept in %s\n", c->argv[0], retired);
		daemon_hint_reload(c);
	}
	free(retired);
	return rc;
}

#define LIST_FORMAT "%-28s  %-13s  %-28s  %-20s  %9s  %s\n"

static const char *kind_of(const struct cert_info *info)
{
	if (info->role == CERT_ROLE_AUTHORITY)
		return "own authority";
	return info->ca ? "authority" : "itself";
}

static void print_row(const struct trust_entry *e)
{
	char end[CLOCK_UTC_SIZE], days[24];

	clock_utc(end, e->info.not_after);
	snprintf(days, sizeof(days), "%ld", cert_info_days_left(&e->info, time(NULL)));
	printf(LIST_FORMAT, e->name, kind_of(&e->info), e->info.cn[0] != '\0' ? e->info.cn : e->info.subject, end, days,
	    e->info.sha256);
}

static int cmd_list(struct cli *c)
{
	struct trust_list list = { 0 };
	json_t *array;
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = trust_list_load(&list, c->conf->truststore_dir);
	if (rc < 0)
		return rc;
	if (c->json) {
		array = json_array();
		for (size_t i = 0; i < list.count; i++)
			json_array_append_new(
			    array, cert_text_json("name", list.entries[i].name, &list.entries[i].info));
		rc = cli_print_json(json_pack("{so}", "trusted", array));
	} else {
		printf(LIST_FORMAT, "NAME", "TRUSTED AS", "COMMON NAME", "VALID UNTIL", "DAYS LEFT", "SHA-256");
		for (size_t i = 0; i < list.count; i++)
			print_row(&list.entries[i]);
	}
	trust_list_fini(&list);
	return rc;
}

/* --- signers --- */

static json_t *signer_json(const struct sign_public *pub, const char *comment, bool own)
{
	char fingerprint[SIGN_FINGERPRINT_SIZE], number[SIGN_NUMBER_SIZE], *key = sign_public_text(pub);
	json_t *o;

	sign_public_fingerprint(fingerprint, pub);
	sign_public_number(number, pub);
	o = json_pack(
	    "{sssssssssb}", "key", key, "number", number, "fingerprint", fingerprint, "comment", comment, "own", own);
	free(key);
	return o;
}

static void signer_print(const struct sign_public *pub, const char *comment, bool own)
{
	char fingerprint[SIGN_FINGERPRINT_SIZE], *key = sign_public_text(pub);

	sign_public_fingerprint(fingerprint, pub);
	printf(
	    "%-8s  %s  %s%s%s\n", own ? "own" : "accepted", fingerprint, key, comment[0] != '\0' ? "  " : "", comment);
	free(key);
}

static int show_signers(const struct cli *c, const char *list_path)
{
	char *own_path = file_join(c->conf->secrets_dir, LAYOUT_SIGNING_PUB);
	struct sign_pins pins = { 0 };
	struct sign_public own;
	json_t *array = json_array();
	int rc = sign_public_read(&own, own_path);
	bool has_own = rc == KC_OK;

	free(own_path);
	if (rc == KC_ENOENT)
		rc = KC_OK;
	if (rc == KC_OK)
		rc = sign_pins_load(&pins, list_path);
	if (rc == KC_OK && has_own) {
		json_array_append_new(array, signer_json(&own, "", true));
		if (!c->json)
			signer_print(&own, "", true);
	}
	for (size_t i = 0; rc == KC_OK && i < pins.count; i++) {
		json_array_append_new(array, signer_json(&pins.pins[i].pub, pins.pins[i].comment, false));
		if (!c->json)
			signer_print(&pins.pins[i].pub, pins.pins[i].comment, false);
	}
	if (rc == KC_OK && !c->json && !has_own && pins.count == 0)
		puts("no signing key is accepted yet: the first full backup brings it");
	if (rc == KC_OK && c->json)
		rc = cli_print_json(json_pack("{sO}", "signers", array));
	sign_pins_fini(&pins);
	json_decref(array);
	return rc;
}

struct accepting {
	const char *list_path;
	struct sign_public pub;
	bool added;
};

static int work_accept(struct cli *c, struct audit_record *r, void *arg)
{
	struct accepting *a = arg;

	(void)r;
	return sign_pin_add(&a->added, a->list_path, &a->pub, cli_string(c, "comment"));
}

static int accept_signer(struct cli *c, const char *list_path)
{
	char fingerprint[SIGN_FINGERPRINT_SIZE], number[SIGN_NUMBER_SIZE], *detail;
	struct accepting a = { .list_path = list_path };
	const char *given = c->argv[0];
	int rc = file_exists(given) ? sign_public_read(&a.pub, given) : sign_public_parse(&a.pub, given, strlen(given));

	if (rc < 0)
		return rc == KC_EFORMAT && !file_exists(given)
			   ? err_set(rc, "%s: neither a file nor a public signing key", given)
			   : rc;
	sign_public_fingerprint(fingerprint, &a.pub);
	sign_public_number(number, &a.pub);
	detail = mem_xasprintf("signing key %s, SHA-256 %s", number, fingerprint);
	rc = cli_audited(c, &(struct audit_record){ .event = AUDIT_TRUST_ADD, .detail = detail }, work_accept, &a);
	free(detail);
	if (rc < 0)
		return rc;
	if (c->json)
		return cli_print_json(
		    signer_json(&a.pub, cli_string(c, "comment") != NULL ? cli_string(c, "comment") : "", false));
	printf("%s %s\n", a.added ? "accepted: backups signed by" : "accepted already:", fingerprint);
	return KC_OK;
}

static int cmd_signer(struct cli *c)
{
	char *list_path;
	int rc = cli_args(c, 0, 1);

	if (rc < 0)
		return rc;
	list_path = file_join(c->conf->secrets_dir, LAYOUT_SIGNERS);
	rc = c->argc == 0 ? show_signers(c, list_path) : accept_signer(c, list_path);
	free(list_path);
	return rc;
}

static const struct cli_option add_options[] = {
	{ "alias", 'a', CLI_STRING, "NAME", "its name in the truststore (else made from the common name)" },
	{ NULL },
};

static const struct cli_option remove_options[] = {
	{ "force", 0, CLI_FLAG, NULL, "also if the certificates in use hang on it" },
	{ NULL },
};

static const struct cli_option signer_options[] = {
	{ "comment", 0, CLI_STRING, "TEXT", "whose key it is" },
	{ NULL },
};

const struct cli_command cmd_trust_commands[] = {
	{ "trust add", "FILE", "trust an authority, or a self-signed certificate (PEM or DER)", add_options, CLI_CONF,
	    cmd_add },
	{ "trust list", "", "list what is trusted", NULL, CLI_CONF, cmd_list },
	{ "trust remove", "NAME|SHA256", "trust a certificate no longer", remove_options, CLI_CONF, cmd_remove },
	{ "trust signer", "[KEY|FILE]", "show, or accept, the signing keys whose backups are restored here",
	    signer_options, CLI_CONF, cmd_signer },
	{ NULL },
};
