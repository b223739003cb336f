/* SPDX-License-Identifier: Apache-2.0 */
/* cert_text: what cmd_cert.c and cmd_trust.c show. */
#include "cert_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "keystore/trust.h"

static json_t *strings(char *const *list, size_t count)
{
	json_t *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_array_append_new(array, json_string(list[i]));
	return array;
}

json_t *cert_text_json(const char *name_key, const char *name, const struct cert_info *info)
{
	char begin[CLOCK_UTC_SIZE], end[CLOCK_UTC_SIZE];
	json_t *o = json_object();

	clock_utc(begin, info->not_before);
	clock_utc(end, info->not_after);
	json_object_set_new(o, name_key, json_string(name));
	json_object_set_new(o, "cn", json_string(info->cn));
	json_object_set_new(o, "subject", json_string(info->subject));
	json_object_set_new(o, "issuer", json_string(info->issuer));
	json_object_set_new(o, "serial", json_string(info->serial));
	json_object_set_new(o, "key_type", json_string(info->key_type));
	json_object_set_new(
	    o, "role", info->role != CERT_ROLE_NONE ? json_string(cert_role_name(info->role)) : json_null());
	json_object_set_new(o, "dns", strings(info->dns, info->dns_count));
	json_object_set_new(o, "ips", strings(info->ips, info->ip_count));
	json_object_set_new(o, "not_before", json_string(begin));
	json_object_set_new(o, "not_after", json_string(end));
	json_object_set_new(o, "days_left", json_integer(cert_info_days_left(info, time(NULL))));
	json_object_set_new(o, "authority", json_boolean(info->ca));
	json_object_set_new(o, "self_signed", json_boolean(info->self_signed));
	json_object_set_new(o, "tls_client", json_boolean(info->client));
	json_object_set_new(o, "tls_server", json_boolean(info->server));
	json_object_set_new(o, "uses", json_string(cert_info_uses(info)));
	json_object_set_new(o, "validity", json_string(cert_info_state(info, time(NULL))));
	json_object_set_new(o, "sha256", json_string(info->sha256));
	json_object_set_new(o, "spki_sha256", json_string(info->spki_sha256));
	return o;
}

static void print_names(const struct cert_info *info)
{
	if (info->dns_count + info->ip_count == 0)
		return;
	printf("names        ");
	for (size_t i = 0; i < info->dns_count; i++)
		printf("%s%s", i > 0 ? ", " : "", info->dns[i]);
	for (size_t i = 0; i < info->ip_count; i++)
		printf("%s%s", i + info->dns_count > 0 ? ", " : "", info->ips[i]);
	putchar('\n');
}

void cert_text_print(const struct cert_info *info)
{
	const char *state = cert_info_state(info, time(NULL));
	char begin[CLOCK_UTC_SIZE], end[CLOCK_UTC_SIZE];

	clock_utc(begin, info->not_before);
	clock_utc(end, info->not_after);
	printf("subject      %s\nissuer       %s\nserial       %s\nkey          %s\n", info->subject,
	    info->self_signed ? "itself" : info->issuer, info->serial, info->key_type);
	print_names(info);
	if (info->role != CERT_ROLE_NONE)
		printf("role         %s\n", cert_role_name(info->role));
	printf("uses         %s\n", cert_info_uses(info));
	printf("valid        %s to %s, %ld days left%s%s\n", begin, end, cert_info_days_left(info, time(NULL)),
	    strcmp(state, "valid") != 0 ? ": " : "", strcmp(state, "valid") != 0 ? state : "");
	printf("SHA-256      %s\npublic key   %s\n", info->sha256, info->spki_sha256);
}

json_t *cert_request_json(const struct request_info *info)
{
	char made[CLOCK_UTC_SIZE];
	json_t *o = json_pack("{s:s, s:s, s:s, s:s}", "cn", info->cn, "subject", info->subject, "key_type",
	    info->key_type, "spki_sha256", info->spki_sha256);

	if (info->alias == NULL)
		return o;
	clock_utc(made, info->made_at);
	json_object_set_new(o, "alias", json_string(info->alias));
	json_object_set_new(o, "has_key", json_boolean(info->has_key));
	json_object_set_new(o, "requested_at", json_string(made));
	return o;
}

void cert_request_print(const struct request_info *info)
{
	char made[CLOCK_UTC_SIZE];

	printf("subject      %s\nkey          %s\n", info->subject, info->key_type);
	if (info->alias != NULL) {
		clock_utc(made, info->made_at);
		printf("requested    %s, its certificate has not come yet%s\n", made,
		    info->has_key ? "" : "; the private key is missing: 'keyclone cert remove', and request again");
	}
	printf("public key   %s\n", info->spki_sha256);
}

bool cert_is_trusted(char **why, const struct conf *conf, const struct cert_der *chain, size_t count)
{
	struct trust *trust = NULL;
	int rc = trust_load(&trust, conf->truststore_dir);

	if (rc == KC_OK)
		rc = trust_verify(NULL, trust, chain, count, CERT_USE_SERVER, 0);
	if (rc == KC_OK)
		rc = trust_verify(NULL, trust, chain, count, CERT_USE_CLIENT, 0);
	trust_free(trust);
	if (rc < 0)
		*why = mem_xstrdup(err_text(rc));
	return rc == KC_OK;
}

/* The last of the chain does not end it: its issuer came with no file. */
static bool is_open(const struct identity *id, char **issuer)
{
	struct cert_der last = identity_chain_der(id, identity_chain_count(id) - 1);
	struct cert_info info = { 0 };
	bool open = cert_info_from_der(&info, last.data, last.size) == KC_OK && !info.self_signed;

	if (open)
		*issuer = mem_xstrdup(info.issuer);
	cert_info_fini(&info);
	return open;
}

void cert_text_hint_trust(const struct conf *conf, const struct identity *id, const char *alias)
{
	size_t count = identity_chain_count(id);
	struct cert_der *chain = mem_xalloc(count * sizeof(*chain));
	char *why = NULL, *issuer = NULL;

	for (size_t i = 0; i < count; i++)
		chain[i] = identity_chain_der(id, i);
	/* Of what may be wrong, an end or a use is said elsewhere. */
	if (cert_is_trusted(&why, conf, chain, count) || strstr(why, "not in the truststore") == NULL)
		;
	else if (is_open(id, &issuer))
		printf("Its chain ends before %s, who is not trusted here: import it again with --chain FILE, or "
		       "'keyclone trust add FILE'.\n",
		    issuer);
	else
		printf(
		    "Who issued it is not trusted here yet: 'keyclone trust add %s/%s.crt', then 'keyclone reload'.\n",
		    conf->keystore_dir, alias);
	free(issuer);
	free(why);
	free(chain);
}

char *cert_text_detail(const char *what, const char *name, const struct cert_info *info)
{
	return mem_xasprintf("%s %s, certificate %s, SHA-256 %s", what, name,
	    info->cn[0] != '\0' ? info->cn : info->subject, info->sha256);
}

json_t *cert_text_export_json(const char *alias, bool with_key, const char *path, const struct buf *bytes, bool der)
{
	json_t *o = json_pack("{s:s, s:b}", "alias", alias, "with_key", (int)with_key);
	char *text;

	if (path != NULL) {
		json_object_set_new(o, "output", json_string(path));
		return o;
	}
	text = der ? base64_encode(buf_data(bytes), buf_len(bytes))
		   : mem_xstrndup((const char *)buf_data(bytes), buf_len(bytes));
	json_object_set_new(o, "certificate", json_string(text));
	free(text);
	return o;
}
