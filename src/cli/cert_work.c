/* SPDX-License-Identifier: Apache-2.0 */
/* cert_work: saving an identity and saying so. */
#include "cert_work.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "cert_text.h"
#include "daemon_client.h"

static bool has_file(const struct conf *conf, const char *alias, const char *suffix)
{
	char *name = mem_xasprintf("%s%s", alias, suffix), *path = file_join(conf->keystore_dir, name);
	bool has = file_exists(path);

	free(name);
	free(path);
	return has;
}

bool cert_has_certificate(const struct conf *conf, const char *alias)
{
	return has_file(conf, alias, ".crt");
}

bool cert_exists(const struct conf *conf, const char *alias)
{
	return has_file(conf, alias, ".crt") || has_file(conf, alias, ".csr");
}

bool cert_in_use_by_daemon(struct cli *c, const char *alias)
{
	json_t *result = NULL;
	bool used = false;

	if (!daemon_running(c))
		return false;
	if (daemon_call(&result, c, json_pack("{s:s}", "verb", "status"), NULL, NULL) == KC_OK) {
		const json_t *status = json_object_get(result, "status"),
			     *own = json_array_get(json_object_get(status, "certificates"), 0);

		used = strcmp(member_text(own, "alias"), alias) == 0;
	}
	json_decref(result);
	return used;
}

int cert_check_years(const struct conf *conf, const struct cert_info *info)
{
	char begin[CLOCK_UTC_SIZE], end[CLOCK_UTC_SIZE];

	if (!cert_info_exceeds(info, conf->max_cert_years))
		return KC_OK;
	clock_utc(begin, info->not_before);
	clock_utc(end, info->not_after);
	return err_set(KC_ECERT,
	    "certificate %s is valid from %s to %s, for more than the %d years of cert.MaximumYears",
	    info->cn[0] != '\0' ? info->cn : info->subject, begin, end, conf->max_cert_years);
}

struct saving {
	const struct identity *id;
	const char *alias;
	bool replace;
};

static int work_save(struct cli *c, struct audit_record *r, void *arg)
{
	const struct saving *s = arg;

	(void)r;
	return identity_save(s->id, c->conf->keystore_dir, s->alias, s->replace);
}

int cert_save(struct cli *c, enum audit_event event, const struct identity *id, const char *alias, bool replace)
{
	struct saving s = { .id = id, .alias = alias, .replace = replace };
	char *detail = cert_text_detail("alias", alias, identity_info(id));
	int rc = cli_audited(c, &(struct audit_record){ .event = event, .detail = detail }, work_save, &s);

	free(detail);
	return rc;
}

static bool is_own(const struct conf *conf, const char *alias)
{
	char *own = NULL;
	bool is = identity_resolve(&own, conf->keystore_dir, conf->tls_alias) == KC_OK && strcmp(own, alias) == 0;

	free(own);
	return is;
}

static void print_dates(const char *alias, const struct cert_info *info, bool days)
{
	char begin[CLOCK_UTC_SIZE], end[CLOCK_UTC_SIZE], span[CLOCK_SPAN_SIZE];
	time_t now = time(NULL);

	clock_utc(begin, info->not_before);
	clock_utc(end, info->not_after);
	clock_span(span, info->not_after - now);
	if (info->not_after < now) {
		printf("  expired %s ago, at %s\n", span, end);
		log_warn("alias %s: the certificate expired at %s, %s ago", alias, end, span);
		return;
	}
	printf("  valid %ld days, until %s%s\n", cert_info_days_left(info, now - 1), end,
	    days ? "; --days sets another life" : "");
	if (info->not_before > now)
		log_warn("alias %s: the certificate is not valid before %s", alias, begin);
}

int cert_print_saved(const struct cli *c, const char *verb, const char *alias, const struct identity *id, bool days)
{
	const struct cert_info *info = identity_info(id);

	if (c->json)
		return cli_print_json(cert_text_json("alias", alias, info));
	printf("%s %s: %s, %s, SHA-256 %s\n", verb, alias, info->subject, info->key_type, info->sha256);
	print_dates(alias, info, days);
	cert_text_hint_trust(c->conf, id, alias);
	if (is_own(c->conf, alias))
		daemon_hint_reload(c);
	else
		printf("  This machine speaks with it after 'keyclone config set backup.TLSCertAlias=%s'.\n", alias);
	return KC_OK;
}
