/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_cert_show: `cert list`, and `cert show` of an alias; of a file or a peer it is in cert_look.c. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cert_keystore.h"
#include "cert_look.h"
#include "cert_text.h"
#include "cert_work.h"
#include "columns.h"
#include "families.h"
#include "keystore/retired.h"
#include "keystore/token.h"

#define STATE_SIZE 40

static bool is_own(const struct keystore *k, const struct identity_entry *e)
{
	return k->own != NULL && strcmp(k->own, e->alias) == 0;
}

/* "in use", "in use, expired", "no key", "valid", "revoked", … */
static const char *state_of(char out[STATE_SIZE], const struct keystore *k, const struct identity_entry *e)
{
	const char *state = e->unreadable != NULL	       ? "unreadable"
			    : k->revoked[e - k->certs.entries] ? "revoked"
							       : cert_info_state(&e->info, time(NULL));
	bool own = is_own(k, e), plain = strcmp(state, "valid") == 0;

	snprintf(out, STATE_SIZE, "%s%s%s",
	    own		  ? "in use"
	    : !e->has_key ? "no key"
			  : "",
	    (own || !e->has_key) && !plain ? ", " : "", (own || !e->has_key) && plain ? "" : state);
	return out;
}

static json_t *entry_json(const struct keystore *k, const struct identity_entry *e)
{
	json_t *o = e->unreadable == NULL ? cert_text_json("alias", e->alias, &e->info)
					  : json_pack("{s:s, s:s}", "alias", e->alias, "reason", e->unreadable);
	char state[STATE_SIZE];

	json_object_set_new(o, "has_key", json_boolean(e->has_key));
	json_object_set_new(o, "chain_length", json_integer((json_int_t)e->chain_count));
	json_object_set_new(o, "in_use", json_boolean(is_own(k, e)));
	json_object_set_new(o, "pending", json_false());
	json_object_set_new(o, "state", json_string(state_of(state, k, e)));
	return o;
}

static json_t *pending_json(const struct request_info *r)
{
	json_t *o = cert_request_json(r);

	json_object_set_new(o, "in_use", json_false());
	json_object_set_new(o, "pending", json_true());
	json_object_set_new(o, "state", json_string("pending"));
	return o;
}

/* --- show --- */

static int show_entry(const struct cli *c, const struct keystore *k, const struct identity_entry *e)
{
	char state[STATE_SIZE];

	if (e->unreadable != NULL)
		return err_set(KC_EFORMAT, "%s", e->unreadable);
	if (c->json)
		return cli_print_json(entry_json(k, e));
	printf("alias        %s%s\nstate        %s\n", e->alias, e->has_key ? "" : " (no private key)",
	    state_of(state, k, e));
	cert_text_print(&e->info);
	if (e->chain_count > 1)
		printf("chain        %zu certificates\n", e->chain_count);
	return KC_OK;
}

static int show_pending(const struct cli *c, const struct request_info *r)
{
	if (c->json)
		return cli_print_json(pending_json(r));
	printf("alias        %s\nstate        pending\n", r->alias);
	cert_request_print(r);
	return KC_OK;
}

static int show_alias(const struct cli *c, const char *alias)
{
	struct keystore k = { .own = NULL };
	const struct identity_entry *e = NULL;
	bool found = false;
	int rc = keystore_load(&k, c->conf);

	if (rc == KC_OK)
		e = keystore_find(&k, c->conf, alias);
	if (e != NULL)
		rc = show_entry(c, &k, e);
	for (size_t i = 0; rc == KC_OK && e == NULL && !found && i < k.pending.count; i++) {
		found = strcmp(k.pending.entries[i].alias, alias) == 0;
		if (found)
			rc = show_pending(c, &k.pending.entries[i]);
	}
	if (rc == KC_OK && e == NULL && !found)
		rc = err_set(KC_ENOENT, "alias %s: not in the keystore %s", alias, c->conf->keystore_dir);
	keystore_fini(&k);
	return rc;
}

static int cmd_show(struct cli *c)
{
	const char *option = cli_string(c, "alias"), *wanted = c->argc > 0 ? c->argv[0] : NULL;
	char *alias = NULL;
	int rc = cli_args(c, 0, 1);

	if (rc < 0)
		return rc;
	/* An alias comes first: what else it may be has a '/' or a ':' in it, or can be given so. */
	if (wanted != NULL && !token_is_uri(wanted) &&
	    !(identity_check_alias(wanted) == KC_OK && cert_exists(c->conf, wanted))) {
		if (file_exists(wanted))
			return cert_look_file(c, wanted);
		if (strchr(wanted, ':') != NULL)
			return cert_look_peer(c, wanted);
		return err_set(KC_ENOENT, "%s: no alias of the keystore %s, no file, and no HOST:PORT", wanted,
		    c->conf->keystore_dir);
	}
	if (wanted == NULL)
		wanted = option != NULL ? option : c->conf->tls_alias;
	if (wanted == NULL)
		rc = identity_resolve(&alias, c->conf->keystore_dir, NULL);
	if (rc == KC_OK)
		rc = show_alias(c, wanted != NULL ? wanted : alias);
	free(alias);
	return rc;
}

/* --- list --- */

#define ALIAS_WIDTH 20
#define LIST_FORMAT "%-20s  %-3s  %-17s  %-11s  %-9s  %-24s  %-20s  %9s  %-21s  %s\n"

static void print_row(const struct keystore *k, const struct identity_entry *e)
{
	char end[CLOCK_UTC_SIZE], days[24], state[STATE_SIZE];
	char *alias = token_is_uri(e->alias) ? columns_fit(e->alias, ALIAS_WIDTH) : mem_xstrdup(e->alias);
	const char *role = cert_role_name(e->info.role), *key = e->has_key ? "yes" : "no";

	clock_utc(end, e->info.not_after);
	snprintf(days, sizeof(days), "%ld", cert_info_days_left(&e->info, time(NULL)));
	state_of(state, k, e);
	if (e->unreadable != NULL)
		printf(LIST_FORMAT, alias, key, state, "-", "-", "-", "-", "-", "-", "-");
	else
		printf(LIST_FORMAT, alias, key, state, e->info.key_type, role[0] != '\0' ? role : "-",
		    e->info.cn[0] != '\0' ? e->info.cn : e->info.subject, end, days, cert_info_uses(&e->info),
		    e->info.sha256);
	free(alias);
}

/* The others are shown already. */
static int first_unreadable(const struct keystore *k)
{
	for (size_t i = 0; i < k->certs.count; i++)
		if (k->certs.entries[i].unreadable != NULL)
			return err_set(KC_EFORMAT, "%s", k->certs.entries[i].unreadable);
	return KC_OK;
}

static int print_list(const struct cli *c, const struct keystore *k)
{
	json_t *array;

	if (c->json) {
		array = json_array();
		for (size_t i = 0; i < k->certs.count; i++)
			json_array_append_new(array, entry_json(k, &k->certs.entries[i]));
		for (size_t i = 0; i < k->pending.count; i++)
			json_array_append_new(array, pending_json(&k->pending.entries[i]));
		return cli_print_json(json_pack("{so}", "certificates", array));
	}
	printf(LIST_FORMAT, "ALIAS", "KEY", "STATE", "TYPE", "ROLE", "COMMON NAME", "VALID UNTIL", "DAYS LEFT", "USES",
	    "SHA-256");
	for (size_t i = 0; i < k->certs.count; i++)
		print_row(k, &k->certs.entries[i]);
	for (size_t i = 0; i < k->pending.count; i++) {
		const struct request_info *r = &k->pending.entries[i];

		printf(LIST_FORMAT, r->alias, r->has_key ? "yes" : "no", "pending", r->key_type, "-",
		    r->cn[0] != '\0' ? r->cn : r->subject, "-", "-", "-", "-");
	}
	return KC_OK;
}

static json_t *retired_json(const struct retired_entry *e)
{
	json_t *o = e->has_cert ? cert_text_json("alias", e->alias, &e->info) : json_pack("{s:s}", "alias", e->alias);
	char at[CLOCK_UTC_SIZE];

	clock_utc(at, e->retired_at);
	json_object_set_new(o, "retired_at", json_string(at));
	json_object_set_new(o, "file", json_string(e->file));
	json_object_set_new(o, "has_key", json_boolean(e->has_key));
	return o;
}

#define RETIRED_FORMAT "%-20s  %-20s  %-3s  %-24s  %-20s  %s\n"

static int print_retired(const struct cli *c, const struct retired_list *list)
{
	json_t *array;

	if (c->json) {
		array = json_array();
		for (size_t i = 0; i < list->count; i++)
			json_array_append_new(array, retired_json(&list->entries[i]));
		return cli_print_json(json_pack("{so}", "retired", array));
	}
	printf(RETIRED_FORMAT, "ALIAS", "RETIRED", "KEY", "COMMON NAME", "VALID UNTIL", "FILE");
	for (size_t i = 0; i < list->count; i++) {
		const struct retired_entry *e = &list->entries[i];
		char at[CLOCK_UTC_SIZE], end[CLOCK_UTC_SIZE];

		clock_utc(at, e->retired_at);
		clock_utc(end, e->info.not_after);
		printf(RETIRED_FORMAT, e->alias, at, e->has_key ? "yes" : "no", e->has_cert ? e->info.cn : "(request)",
		    e->has_cert ? end : "-", e->file);
	}
	return KC_OK;
}

static int list_retired(const struct cli *c)
{
	struct retired_list list = { 0 };
	int rc = retired_list_load(&list, c->conf->keystore_dir);

	if (rc == KC_OK)
		rc = print_retired(c, &list);
	retired_list_fini(&list);
	return rc;
}

static int cmd_list(struct cli *c)
{
	struct keystore k = { .own = NULL };
	int rc = cli_args(c, 0, 0);

	if (rc < 0)
		return rc;
	if (cli_flag(c, "retired"))
		return list_retired(c);
	rc = keystore_load(&k, c->conf);
	if (rc == KC_OK)
		rc = print_list(c, &k);
	if (rc == KC_OK)
		rc = first_unreadable(&k);
	keystore_fini(&k);
	return rc;
}

static const struct cli_option show_options[] = {
	{ "alias", 'a', CLI_STRING, "NAME", "which one (else the one of backup.TLSCertAlias, else the only one)" },
	{ "p12-password-file", 0, CLI_STRING, "FILE", "password of a PKCS#12 file" },
	{ NULL },
};

static const struct cli_option list_options[] = {
	{ "retired", 0, CLI_FLAG, NULL, "what was replaced or removed instead" },
	{ NULL },
};

const struct cli_command cmd_cert_show_commands[] = {
	{ "cert show", "[ALIAS|FILE|HOST:PORT]",
	    "describe a certificate of the keystore, those in a file, or those that a machine shows", show_options,
	    CLI_CONF, cmd_show },
	{ "cert list", "", "list the certificates of the keystore, and the requests that are pending", list_options,
	    CLI_CONF, cmd_list },
	{ NULL },
};
