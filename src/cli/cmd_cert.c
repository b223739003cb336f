/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_cert: what leaves the keystore. A private key leaves it encrypted, under a password that comes from a file or a
 * terminal, and only into a file that did not exist. What makes and takes certificates is in cmd_cert_make.c and
 * cmd_cert_import.c, what shows them in cmd_cert_show.c.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cert_revoke.h"
#include "cert_text.h"
#include "cert_work.h"
#include "daemon/rotation.h"
#include "daemon_client.h"
#include "families.h"
#include "keystore/identity.h"
#include "keystore/retired.h"

#define OUTPUT_MAX (1024 * 1024)

/* What is given, else the one this machine speaks with. */
static const char *wanted_alias(const struct cli *c)
{
	const char *alias = cli_string(c, "alias");

	return alias != NULL ? alias : c->conf->tls_alias;
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

	buf_init(&bytes, OUTPUT_MAX);
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

/* --- remove --- */

/* The old and the new one of a rotation that is under way on this master. */
static bool in_rotation(const struct cli *c, const char *alias)
{
	struct rotation r;
	bool needed = rotation_load(&r, c->conf->state_dir) == KC_OK && r.phase != ROTATION_NONE &&
		      (strcmp(r.old_alias, alias) == 0 || strcmp(r.new_alias, alias) == 0);

	rotation_fini(&r);
	return needed;
}

/* The alias that TLS uses: by the configuration, or in the daemon that runs and has not been told of a change. */
static int check_unused(struct cli *c, const char *alias)
{
	char *own = NULL;
	bool used;

	used = identity_resolve(&own, c->conf->keystore_dir, c->conf->tls_alias) == KC_OK && strcmp(own, alias) == 0;
	free(own);
	if (used)
		return err_set(KC_EPERM,
		    "alias %s: this machine speaks TLS with it; first 'keyclone config set backup.TLSCertAlias=NAME' "
		    "of "
		    "another one, and 'keyclone reload'",
		    alias);
	if (cert_in_use_by_daemon(c, alias))
		return err_set(
		    KC_EPERM, "alias %s: the running keycloned speaks TLS with it until 'keyclone reload'", alias);
	return in_rotation(c, alias)
		   ? err_set(KC_EPERM, "alias %s: a rotation of certificates needs it: 'keyclone cert rotate --status'",
			 alias)
		   : KC_OK;
}

static int work_remove(struct cli *c, struct audit_record *r, void *arg)
{
	(void)r, (void)arg;
	return identity_remove(c->conf->keystore_dir, c->argv[0]);
}

static int cmd_remove(struct cli *c)
{
	char *detail, *retired;
	int rc = cli_args(c, 1, 1);

	if (rc == KC_OK)
		rc = identity_check_alias(c->argv[0]);
	if (rc == KC_OK)
		rc = check_unused(c, c->argv[0]);
	if (rc < 0)
		return rc;
	detail = mem_xasprintf("alias %s", c->argv[0]);
	rc = cli_audited(c, &(struct audit_record){ .event = AUDIT_CERT_REMOVE, .detail = detail }, work_remove, NULL);
	free(detail);
	if (rc < 0)
		return rc;
	retired = file_join(c->conf->keystore_dir, RETIRED_DIR);
	if (c->json)
		rc = cli_print_json(json_pack("{s:s, s:s}", "removed", c->argv[0], "retired_to", retired));
	else
		printf("removed %s; it is kept in %s ('keyclone cert list --retired')\n", c->argv[0], retired);
	free(retired);
	return rc;
}

static const struct cli_option export_options[] = {
	{ "alias", 'a', CLI_STRING, "NAME", "which one (else the one of backup.TLSCertAlias, else the only one)" },
	{ "format", 'f', CLI_STRING, "FORMAT",
	    "pem (chain; the default), base64 or der (certificate), p12 (all, with key)" },
	{ "output", 'o', CLI_STRING, "FILE", "a new file; nothing is overwritten" },
	{ "with-key", 0, CLI_FLAG, NULL, "add the private key, encrypted (pem)" },
	{ "p12-password-file", 0, CLI_STRING, "FILE", "password for the private key" },
	{ NULL },
};

const struct cli_command cmd_cert_commands[] = {
	{ "cert export", "", "write a certificate, or with its key, for another machine or product", export_options,
	    CLI_CONF, cmd_export },
	{ "cert remove", "ALIAS", "move a certificate that is not in use, its key and its request, out of the way",
	    NULL, CLI_CONF, cmd_remove },
	{ "cert revoke", "SHA256|SERIAL|FILE", "take back a certificate of the own authority", NULL, CLI_CONF,
	    cert_revoke },
	{ NULL },
};
