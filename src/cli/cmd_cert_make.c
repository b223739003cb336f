/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_cert_make: `cert create` and `cert request`: a new key with its certificate, or one that waits for it. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "cert_options.h"
#include "cert_text.h"
#include "cert_work.h"
#include "families.h"
#include "keystore/identity.h"
#include "keystore/request.h"

/* --- create --- */

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

static int make(struct identity **id, const struct cli *c)
{
	struct issue_authority *authority = NULL;
	struct cert_wanted w = { .storage = NULL };
	int rc = cert_wanted_read(&w, c);

	if (rc == KC_OK)
		rc = cert_days_read(&w.request.days, c);
	if (rc == KC_OK)
		rc = read_role(&w.request, c);
	if (rc == KC_OK && cli_flag(c, "issued"))
		rc = issue_authority_load(&authority, c->conf->secrets_dir);
	if (rc == KC_OK)
		rc = issue_identity(id, authority, &w.request);
	issue_authority_free(authority);
	cert_wanted_fini(&w);
	return rc;
}

static int check_free(const struct cli *c, const char *alias)
{
	int rc = alias != NULL ? identity_check_alias(alias) : cli_usage(c, "--alias NAME is missing");

	/* Before a key is made, which may take seconds. */
	if (rc == KC_OK && !cli_flag(c, "replace") && cert_exists(c->conf, alias))
		rc = err_set(KC_EEXIST, "alias %s: exists already in %s; --replace takes its place", alias,
		    c->conf->keystore_dir);
	return rc;
}

static int cmd_create(struct cli *c)
{
	const char *alias = cli_string(c, "alias");
	struct identity *id = NULL;
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = check_free(c, alias);
	if (rc == KC_OK)
		rc = make(&id, c);
	if (rc == KC_OK)
		rc = cert_save(c, AUDIT_CERT_CREATE, id, alias, cli_flag(c, "replace"));
	if (rc == KC_OK)
		rc = cert_print_saved(c, "created", alias, id, cli_string(c, "days") == NULL);
	identity_free(id);
	return rc;
}

/* --- request --- */

struct requesting {
	const char *alias, *output;
	const struct request *request; /* NULL: the one that is kept is written once more */
	const struct buf *pem;
};

/* The file is written before the key is kept, and gets its name after that: no request without its key. */
static int work_request(struct cli *c, struct audit_record *r, void *arg)
{
	const struct requesting *q = arg;
	struct file_new f = FILE_NEW_EMPTY;
	int rc = q->output != NULL ? file_new_begin(&f, q->output, 0644) : KC_OK;

	(void)r;
	if (rc < 0)
		return rc;
	if (q->output != NULL)
		file_new_write(&f, buf_data(q->pem), buf_len(q->pem));
	rc = f.status;
	if (rc == KC_OK && q->request != NULL)
		rc = request_save(q->request, c->conf->keystore_dir, q->alias, cli_flag(c, "replace"));
	if (rc < 0)
		file_new_abort(&f);
	else if (q->output != NULL)
		rc = file_new_commit_excl(&f);
	return rc;
}

static json_t *request_json(const struct requesting *q, const struct request_info *info)
{
	json_t *o = cert_request_json(info);

	json_object_set_new(o, "alias", json_string(q->alias));
	if (q->output != NULL)
		json_object_set_new(o, "output", json_string(q->output));
	else
		json_object_set_new(o, "request", json_stringn((const char *)buf_data(q->pem), buf_len(q->pem)));
	return o;
}

/* The request itself may go to standard output; what is said about it does not mix with it. */
static int print_request(const struct cli *c, const struct requesting *q, const struct request_info *info)
{
	FILE *out = q->output != NULL ? stdout : stderr;

	if (c->json)
		return cli_print_json(request_json(q, info));
	if (q->output == NULL && cli_write(NULL, buf_data(q->pem), buf_len(q->pem), 0) < 0)
		return KC_ESYS;
	fprintf(out, "%s %s: %s, %s%s%s\n", q->request != NULL ? "requested" : "written again:", q->alias,
	    info->subject, info->key_type, q->output != NULL ? ", in " : "", q->output != NULL ? q->output : "");
	fprintf(out,
	    "  Send it to the authority. %s is pending until 'keyclone cert import FILE' gets the certificate.\n"
	    "  Its private key is in %s only: back that up as well.\n",
	    q->alias, c->conf->keystore_dir);
	return KC_OK;
}

static int finish_request(struct cli *c, struct requesting *q)
{
	struct request_info info = { 0 };
	char *detail;
	int rc = request_info_from(&info, buf_data(q->pem), buf_len(q->pem), q->alias);

	if (rc < 0)
		return rc;
	detail = mem_xasprintf("alias %s, request for %s, public key %s%s", q->alias, info.subject, info.spki_sha256,
	    q->request != NULL ? "" : ", written once more");
	rc = cli_audited(c, &(struct audit_record){ .event = AUDIT_CERT_REQUEST, .detail = detail }, work_request, q);
	if (rc == KC_OK)
		rc = print_request(c, q, &info);
	free(detail);
	request_info_fini(&info);
	return rc;
}

static int new_request(struct request **request, struct buf *pem, const struct cli *c, const char *alias)
{
	struct cert_wanted w = { .storage = NULL };
	int rc = cert_wanted_read(&w, c);

	if (rc == KC_OK)
		rc = check_free(c, alias);
	if (rc == KC_OK && cert_has_certificate(c->conf, alias))
		rc = err_set(KC_EEXIST, "alias %s: has a certificate; a new key needs another alias", alias);
	if (rc == KC_OK)
		rc = request_new(request, &w.request);
	if (rc == KC_OK)
		rc = request_pem(pem, *request);
	cert_wanted_fini(&w);
	return rc;
}

static int cmd_request(struct cli *c)
{
	struct requesting q = { .alias = cli_string(c, "alias"), .output = cli_string(c, "output") };
	struct request *request = NULL;
	struct buf pem;
	int rc = cli_args(c, 0, 0);

	if (q.output != NULL && strcmp(q.output, "-") == 0)
		q.output = NULL;
	if (rc == KC_OK && q.alias == NULL)
		rc = cli_usage(c, "--alias NAME is missing");
	if (rc == KC_OK && q.output != NULL && file_exists(q.output))
		rc = err_set(KC_EEXIST, "%s: exists already; a request is written into a new file only", q.output);
	if (rc < 0)
		return rc;
	buf_init(&pem, REQUEST_MAX);
	if (!cert_wanted_given(c) && cert_exists(c->conf, q.alias))
		rc = request_kept(&pem, c->conf->keystore_dir, q.alias);
	else
		rc = new_request(&request, &pem, c, q.alias);
	q.request = request;
	q.pem = &pem;
	if (rc == KC_OK)
		rc = finish_request(c, &q);
	request_free(request);
	buf_fini(&pem);
	return rc;
}

static const struct cli_option create_options[] = {
	{ "alias", 'a', CLI_STRING, "NAME", "its name in the keystore" },
	CERT_SUBJECT_OPTIONS,
	{ "days", 0, CLI_NUMBER, "N", "how long it is valid (825)" },
	{ "issued", 0, CLI_FLAG, NULL, "issued by the own authority instead of self-signed" },
	{ "role", 0, CLI_STRING, "ROLE", "master or clone: what the holder may speak as (with --issued)" },
	{ "replace", 0, CLI_FLAG, NULL, "replace the alias if it exists" },
	{ NULL },
};

static const struct cli_option request_options[] = {
	{ "alias", 'a', CLI_STRING, "NAME", "its name in the keystore; alone: the request that is kept, once more" },
	CERT_SUBJECT_OPTIONS,
	{ "output", 'o', CLI_STRING, "FILE", "a new file; nothing is overwritten (else standard output)" },
	{ "replace", 0, CLI_FLAG, NULL, "instead of a request that is pending under this alias" },
	{ NULL },
};

const struct cli_command cmd_cert_make_commands[] = {
	{ "cert create", "", "make a key and its certificate", create_options, CLI_CONF, cmd_create },
	{ "cert request", "", "make a key, and the request for a certificate from an authority", request_options,
	    CLI_CONF, cmd_request },
	{ NULL },
};
