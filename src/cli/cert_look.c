/* SPDX-License-Identifier: Apache-2.0 */
/* cert_look: certificates in files and of peers, as they are. */
#include "cert_look.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/host.h"
#include "base/mem.h"
#include "cert_text.h"
#include "daemon/look.h"
#include "keystore/foreign.h"
#include "keystore/trust.h"

#define INPUT_MAX (1024 * 1024)

/* An authority serves no side of TLS: it is trusted if it is in the truststore itself. */
static char *why_not_authority(const struct cli *c, const struct cert_info *info)
{
	struct trust_list list = { 0 };
	bool found = false;
	int rc = trust_list_load(&list, c->conf->truststore_dir);

	for (size_t i = 0; rc == KC_OK && !found && i < list.count; i++)
		found = strcmp(list.entries[i].info.sha256, info->sha256) == 0;
	trust_list_fini(&list);
	if (rc < 0)
		return mem_xstrdup(err_text(rc));
	return found ? NULL : mem_xasprintf("not in the truststore %s", c->conf->truststore_dir);
}

/* Is certificate i trusted here, with the others as its chain? NULL: yes; else why not, heap. */
static char *why_not(const struct cli *c, const struct cert_list *l, size_t i)
{
	struct cert_der *chain = mem_xalloc(l->count * sizeof(*chain));
	size_t n = 0;
	char *why = NULL;

	if (l->infos[i].ca) {
		free(chain);
		return why_not_authority(c, &l->infos[i]);
	}
	chain[n++] = l->ders[i];
	for (size_t k = 0; k < l->count; k++)
		if (k != i)
			chain[n++] = l->ders[k];
	cert_is_trusted(&why, c->conf, chain, n);
	free(chain);
	return why;
}

/* Authorities are not asked about: what they issue is. */
static bool is_leaf(const struct cert_list *l, size_t i)
{
	return !l->infos[i].ca || l->infos[i].self_signed || l->count == 1;
}

static json_t *list_json(const struct cli *c, const struct cert_list *l)
{
	json_t *array = json_array();

	for (size_t i = 0; i < l->count; i++) {
		json_t *o = cert_text_json("alias", "", &l->infos[i]);
		char *why = is_leaf(l, i) ? why_not(c, l, i) : NULL;

		json_object_del(o, "alias");
		if (is_leaf(l, i)) {
			json_object_set_new(o, "trusted", json_boolean(why == NULL));
			json_object_set_new(o, "reason", why != NULL ? json_string(why) : json_null());
		}
		json_array_append_new(array, o);
		free(why);
	}
	return array;
}

static void print_trust(const struct cli *c, const struct cert_list *l, size_t i)
{
	char *why = why_not(c, l, i);

	printf("trusted here %s%s\n", why == NULL ? "yes" : "no: ", why != NULL ? why : "");
	free(why);
}

static void print_certs(const struct cli *c, const struct cert_list *l)
{
	for (size_t i = 0; i < l->count; i++) {
		if (i > 0)
			putchar('\n');
		if (l->count > 1)
			printf("certificate  %zu of %zu\n", i + 1, l->count);
		cert_text_print(&l->infos[i]);
		if (is_leaf(l, i))
			print_trust(c, l, i);
	}
}

/* --- files --- */

static bool is_request(const struct buf *b)
{
	return memmem(buf_data(b), buf_len(b), "CERTIFICATE REQUEST-----", 24) != NULL &&
	       memmem(buf_data(b), buf_len(b), "BEGIN CERTIFICATE-----", 22) == NULL;
}

static int show_request(const struct cli *c, const struct buf *b, const char *path)
{
	struct request_info info = { 0 };
	json_t *o;
	int rc = request_info_from(&info, buf_data(b), buf_len(b), path);

	if (rc < 0)
		return rc;
	if (c->json) {
		o = cert_request_json(&info);
		json_object_set_new(o, "file", json_string(path));
		rc = cli_print_json(o);
	} else {
		printf("file         %s, a certificate request\n", path);
		cert_request_print(&info);
	}
	request_info_fini(&info);
	return rc;
}

static int read_list(struct cert_list *l, const struct buf *b, const struct cli *c, const char *path)
{
	const char *file = cli_string(c, "p12-password-file");
	char *password = NULL;
	int rc = KC_EPASSWORD;

	if (file == NULL && (rc = cert_list_read(l, buf_data(b), buf_len(b), NULL, path)) != KC_EPASSWORD)
		return rc;
	if (file == NULL && !isatty(STDIN_FILENO))
		return rc;
	rc = cli_password(&password, file, "password of the file", false, "p12-password-file");
	if (rc == KC_OK)
		rc = cert_list_read(l, buf_data(b), buf_len(b), password, path);
	mem_secret_free(password);
	return rc;
}

static int show_certs(const struct cli *c, const struct buf *b, const char *path)
{
	struct cert_list l = { 0 };
	int rc = read_list(&l, b, c, path);

	if (rc < 0)
		return rc;
	if (c->json) {
		rc = cli_print_json(json_pack(
		    "{s:s, s:b, s:o}", "file", path, "has_key", (int)l.has_key, "certificates", list_json(c, &l)));
	} else {
		printf("file         %s%s\n", path, l.has_key ? ", with a private key" : "");
		print_certs(c, &l);
	}
	cert_list_fini(&l);
	return rc;
}

int cert_look_file(struct cli *c, const char *path)
{
	char *line = NULL;
	struct buf b;
	int rc;

	buf_init(&b, INPUT_MAX);
	rc = file_read(&b, path);
	if (rc == KC_OK)
		line = foreign_conversion(buf_data(&b), buf_len(&b), path);
	if (rc == KC_OK && line != NULL) {
		rc =
		    err_set(KC_EFORMAT, "%s: %s, which is not read here; 'keyclone cert import' says how to convert it",
			path, foreign_kind(buf_data(&b), buf_len(&b), path));
	} else if (rc == KC_OK) {
		rc = buf_len(&b) > 0 && is_request(&b) ? show_request(c, &b, path) : show_certs(c, &b, path);
	}
	free(line);
	buf_fini(&b);
	return rc;
}

/* --- peers --- */

static int show_peer(const struct cli *c, const char *address, const char *host, const struct look *k)
{
	const struct cert_list *l = &k->chain;
	bool for_host = l->count > 0 && cert_info_matches(&l->infos[0], host);
	json_t *o;
	char *why;

	if (c->json) {
		why = why_not(c, l, 0);
		o = json_pack("{s:s, s:s, s:b, s:b, s:s?, s:o}", "address", address, "protocol", k->protocol,
		    "matches_host", (int)for_host, "trusted", (int)(why == NULL), "reason", why, "certificates",
		    list_json(c, l));

		free(why);
		return cli_print_json(o);
	}
	printf(
	    "address      %s, %s\n", address, k->protocol[0] != '\0' ? k->protocol : "the session was refused later");
	printf("for the host %s\n", for_host ? "yes" : "no, its names are others");
	print_certs(c, l);
	return KC_OK;
}

int cert_look_peer(struct cli *c, const char *address)
{
	struct look k = { .chain = { 0 } };
	char *host = NULL;
	int port = 0, rc = host_port_parse(&host, &port, address);

	if (rc == KC_OK && port == 0)
		rc = cli_usage(c, "%s: the port is missing: HOST:PORT", address);
	if (rc == KC_OK)
		rc = look_at(&k, c->conf, host, port);
	if (rc < 0) {
		free(host);
		return err_prefix(rc, "%s", address);
	}
	rc = show_peer(c, address, host, &k);
	look_fini(&k);
	free(host);
	return rc;
}
