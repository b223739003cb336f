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
	char begin[CLOCK_UTC_SIZE], end[CLOCK_UTC_SIZE];

	clock_utc(begin, info->not_before);
	clock_utc(end, info->not_after);
	printf("subject      %s\nissuer       %s\nserial       %s\nkey          %s\n", info->subject,
	    info->self_signed ? "itself" : info->issuer, info->serial, info->key_type);
	print_names(info);
	if (info->role != CERT_ROLE_NONE)
		printf("role         %s\n", cert_role_name(info->role));
	printf("uses         %s%s%s\n",
	    info->ca	   ? "authority"
	    : info->client ? "TLS client"
			   : "",
	    !info->ca && info->client && info->server ? ", " : "", !info->ca && info->server ? "TLS server" : "");
	printf("valid        %s to %s, %ld days left\n", begin, end, cert_info_days_left(info, time(NULL)));
	printf("SHA-256      %s\npublic key   %s\n", info->sha256, info->spki_sha256);
}

void cert_text_hint_trust(const struct conf *conf, const struct identity *id, const char *alias)
{
	size_t count = identity_chain_count(id);
	struct cert_der *chain = mem_xalloc(count * sizeof(*chain));
	struct trust *trust = NULL;

	for (size_t i = 0; i < count; i++)
		chain[i] = identity_chain_der(id, i);
	/* Of what trust_verify() may find, an end or a use is said elsewhere. */
	if (trust_load(&trust, conf->truststore_dir) == KC_OK &&
	    trust_verify(NULL, trust, chain, count, CERT_USE_SERVER, 0) == KC_ECERT &&
	    strstr(err_text(KC_ECERT), "not in the truststore") != NULL)
		printf(
		    "Who issued it is not trusted here yet: 'keyclone trust add %s/%s.crt', then 'keyclone reload'.\n",
		    conf->keystore_dir, alias);
	trust_free(trust);
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
