/* SPDX-License-Identifier: Apache-2.0 */
/* cert_revoke: a certificate is named by itself, by its SHA-256 or by its serial number; the list is signed here, with
 * the authority's key in keystore.SecretsDir. */
#include "cert_revoke.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "daemon/state.h"
#include "daemon_client.h"
#include "keystore/identity.h"
#include "keystore/inspect.h"
#include "keystore/issue.h"
#include "keystore/trust.h"

#define LIST_MAX (16 * 1024 * 1024)
#define FILE_MAX (1024 * 1024)

struct work {
	const char *serial;
	size_t added;
};

static int sign(struct cli *c, struct audit_record *r, void *arg)
{
	struct work *w = arg;
	struct buf pem;
	int rc;

	(void)r;
	buf_init(&pem, LIST_MAX);
	rc = issue_revoke(&pem, &w->added, c->conf->secrets_dir, &w->serial, 1);
	if (rc == KC_OK)
		rc = trust_take_crl(NULL, c->conf->truststore_dir, buf_data(&pem), buf_len(&pem));
	buf_fini(&pem);
	return rc;
}

int cert_revoke_serial(bool *fresh, struct cli *c, const char *serial, const char *peer, const char *detail)
{
	struct audit_record r = { .event = AUDIT_CERT_REVOKE, .peer = peer, .detail = detail };
	struct work w = { .serial = serial };
	int rc = cli_audited(c, &r, sign, &w);

	if (rc == KC_OK && fresh != NULL)
		*fresh = w.added > 0;
	return rc;
}

/* --- which one --- */

struct found {
	char serial[48];
	char *what; /* for people */
};

static bool is_hex(const char *s)
{
	return s[0] != '\0' && s[strspn(s, "0123456789abcdefABCDEF")] == '\0';
}

static void take(struct found *f, const struct cert_info *info)
{
	snprintf(f->serial, sizeof(f->serial), "%s", info->serial);
	free(f->what);
	f->what = mem_xasprintf("%s (SHA-256 %.16s…, serial number %s)", info->subject, info->sha256, info->serial);
}

/* In the keystore, or shown by a clone. */
static int find_hash(struct found *f, struct cli *c, const char *hash)
{
	struct identity_list list = { 0 };
	struct state *s = NULL;
	struct state_clone clone;
	int rc = identity_list_load(&list, c->conf->keystore_dir);

	for (size_t i = 0; rc == KC_OK && i < list.count; i++)
		if (strcasecmp(list.entries[i].info.sha256, hash) == 0)
			take(f, &list.entries[i].info);
	identity_list_fini(&list);
	if (rc == KC_OK && f->what == NULL && state_open(&s, c->conf->state_dir, false) < 0)
		s = NULL;
	for (size_t i = 0; s != NULL && f->what == NULL && i < c->conf->clone_count; i++) {
		const struct conf_clone *known = &c->conf->clones[i];

		if (state_get_clone(&clone, s, known->host, (uint16_t)known->port) < 0 ||
		    strcasecmp(clone.certificate, hash) != 0)
			continue;
		snprintf(f->serial, sizeof(f->serial), "%s", clone.serial);
		f->what = mem_xasprintf("of the clone %s, port %d (SHA-256 %.16s…, serial number %s)", known->host,
		    known->port, hash, clone.serial);
	}
	state_close(s);
	if (rc == KC_OK && f->what == NULL)
		rc = err_set(KC_ENOENT,
		    "%s: neither in the keystore nor shown by a clone; its serial number or its file names it too",
		    hash);
	return rc;
}

static int check_issuer(const struct cert_info *info, const struct cli *c)
{
	struct issue_authority *a = NULL;
	int rc = issue_authority_load(&a, c->conf->secrets_dir);

	if (rc == KC_OK && strcmp(issue_authority_info(a)->subject, info->issuer) != 0)
		rc = err_set(
		    KC_ECERT, "certificate %s was issued by %s, not by the own authority", info->subject, info->issuer);
	issue_authority_free(a);
	return rc;
}

/* The first certificate in it. */
static int find_file(struct found *f, const struct cli *c, const char *path)
{
	struct inspected cert = { .der = NULL };
	struct cert_info info = { 0 };
	struct buf b;
	int rc;

	buf_init(&b, FILE_MAX);
	rc = file_read(&b, path);
	if (rc == KC_OK)
		rc = inspect_certificate(&cert, buf_data(&b), buf_len(&b),
		    memmem(buf_data(&b), buf_len(&b), "-----BEGIN ", 11) != NULL ? INSPECT_PEM : INSPECT_DER, path);
	if (rc == KC_OK)
		rc = cert_info_from_der(&info, cert.der, cert.size);
	if (rc == KC_OK)
		rc = check_issuer(&info, c);
	if (rc == KC_OK)
		take(f, &info);
	cert_info_fini(&info);
	mem_secret_free(cert.der);
	buf_fini(&b);
	return rc;
}

static int find_one(struct found *f, struct cli *c, const char *given)
{
	if (file_exists(given))
		return find_file(f, c, given);
	if (is_hex(given) && strlen(given) == CERT_HEX_SIZE - 1)
		return find_hash(f, c, given);
	if (!is_hex(given) || strlen(given) > ISSUE_SERIAL_HEX_MAX || strlen(given) % 2 != 0)
		return err_set(KC_ENOENT, "%s: neither a file, nor a SHA-256 or serial number in hex", given);
	snprintf(f->serial, sizeof(f->serial), "%s", given);
	f->what = mem_xasprintf("with the serial number %s", given);
	return KC_OK;
}

/* Not the one this machine speaks with: every clone would refuse it, and nobody could tell them of another. */
static int check_own(struct cli *c, const char *serial)
{
	struct identity *id = NULL;
	int rc = KC_OK;

	if (identity_open(&id, c->conf->keystore_dir, c->conf->tls_alias) == KC_OK &&
	    strcasecmp(identity_info(id)->serial, serial) == 0)
		rc = err_set(KC_EUSAGE, "certificate %s is the one that this machine speaks with", identity_alias(id));
	identity_free(id);
	return rc;
}

static void print_revoked(const char *what, bool fresh, bool told, unsigned ended)
{
	printf("The certificate %s %s.\n", what, fresh ? "is revoked" : "was revoked before");
	if (!told)
		puts("This master refuses it when keycloned starts.");
	else if (ended == 0)
		puts("This master refuses it from now on; no session with it was open.");
	else
		printf("This master refuses it from now on, and has ended %u session%s with it.\n", ended,
		    ended == 1 ? "" : "s");
}

int cert_revoke(struct cli *c)
{
	struct found f = { .what = NULL };
	bool fresh = false, told = false;
	unsigned ended = 0;
	int rc = cli_args(c, 1, 1);

	if (rc == KC_OK && c->conf->role != CONF_MASTER)
		rc = err_set(KC_EUSAGE, "this machine is a clone; its master has the authority");
	if (rc == KC_OK)
		rc = find_one(&f, c, c->argv[0]);
	if (rc == KC_OK)
		rc = check_own(c, f.serial);
	if (rc == KC_OK)
		rc = cert_revoke_serial(&fresh, c, f.serial, NULL, f.what);
	if (rc == KC_OK)
		rc = daemon_tell(&told, &ended, c, "it is revoked, but the running daemon did not take that over");
	if (rc == KC_OK && c->json)
		rc = cli_print_json(json_pack("{s:s, s:b, s:b, s:i}", "revoked", f.serial, "was_revoked", (int)!fresh,
		    "daemon", (int)told, "sessions_ended", (int)ended));
	else if (rc == KC_OK)
		print_revoked(f.what, fresh, told, ended);
	free(f.what);
	return rc;
}
