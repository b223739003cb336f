/* SPDX-License-Identifier: Apache-2.0 */
/* cert_options: options to a request for a certificate. */
#include "cert_options.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#define SUBJECT_MAX 8192

static const struct {
	const char *option, *name;
} parts[] = { { "cn", "CN" }, { "ou", "OU" }, { "o", "O" }, { "l", "L" }, { "st", "ST" }, { "c", "C" } };
#define N_PARTS (sizeof(parts) / sizeof(parts[0]))

bool cert_wanted_given(const struct cli *c)
{
	bool given =
	    cli_string(c, "subject") != NULL || cli_many(c, "san", 0) != NULL || cli_string(c, "key-type") != NULL;

	for (size_t i = 0; i < N_PARTS; i++)
		given = given || cli_string(c, parts[i].option) != NULL;
	return given;
}

/* A value as RFC 4514 writes it. */
static void put_value(struct buf *b, const char *value)
{
	size_t n = strlen(value);

	for (size_t i = 0; i < n; i++) {
		bool edge = (i == 0 && (value[i] == ' ' || value[i] == '#')) || (i + 1 == n && value[i] == ' ');

		if (edge || strchr(",+\"\\<>;=", value[i]) != NULL)
			buf_put_str(b, "\\");
		buf_put(b, &value[i], 1);
	}
}

static int make_subject(char **subject, const struct cli *c)
{
	const char *country = cli_string(c, "c");
	struct buf b;
	int rc;

	if (country != NULL &&
	    (strlen(country) != 2 || !isalpha((unsigned char)country[0]) || !isalpha((unsigned char)country[1])))
		return cli_usage(c, "--c %s: a country has two letters", country);
	buf_init(&b, SUBJECT_MAX);
	for (size_t i = 0; i < N_PARTS; i++) {
		const char *value = cli_string(c, parts[i].option);

		if (value == NULL)
			continue;
		buf_putf(&b, "%s%s=", buf_len(&b) > 0 ? "," : "", parts[i].name);
		put_value(&b, value);
	}
	rc = buf_status(&b) == KC_OK ? KC_OK : cli_usage(c, "the subject is longer than %d bytes", SUBJECT_MAX);
	if (rc == KC_OK)
		*subject = mem_xstrdup(buf_str(&b));
	buf_fini(&b);
	return rc;
}

static int read_subject(struct cert_wanted *w, const struct cli *c)
{
	const char *cn = cli_string(c, "cn"), *subject = cli_string(c, "subject");
	bool more = false;

	for (size_t i = 1; i < N_PARTS; i++) {
		more = more || cli_string(c, parts[i].option) != NULL;
		if (subject != NULL && more)
			return cli_usage(c, "--%s is part of --subject", parts[i].option);
	}
	if (cn == NULL && subject == NULL)
		return cli_usage(c, "--cn NAME or --subject DN is missing");
	w->request.cn = cn;
	w->request.subject = subject;
	if (!more)
		return KC_OK;
	w->request.cn = NULL;
	if (cn[0] == '\0' || make_subject(&w->subject, c) < 0)
		return cn[0] == '\0' ? cli_usage(c, "--cn is empty") : KC_EUSAGE;
	w->request.subject = w->subject;
	return KC_OK;
}

/* A --san may hold several, with commas between. */
static int read_sans(struct cert_wanted *w, const struct cli *c)
{
	const char *given;
	char *all = mem_xstrdup(""), *p, *next;

	for (int i = 0; (given = cli_many(c, "san", i)) != NULL; i++) {
		char *longer = mem_xasprintf("%s%s%s", all, all[0] != '\0' ? "," : "", given);

		free(all);
		all = longer;
	}
	w->storage = all;
	for (p = all[0] != '\0' ? all : NULL; p != NULL; p = next) {
		next = strchr(p, ',');
		if (next != NULL)
			*next++ = '\0';
		if (w->request.san_count == CERT_SANS_MAX)
			return cli_usage(c, "more than %d alternative names", CERT_SANS_MAX);
		w->sans[w->request.san_count++] = p;
	}
	w->request.sans = w->sans;
	return KC_OK;
}

int cert_days_read(unsigned *days, const struct cli *c)
{
	uint64_t most = (uint64_t)c->conf->max_cert_years * ISSUE_YEAR_DAYS, given = cli_number(c, "days", 0);

	if (cli_string(c, "days") == NULL)
		given = most < ISSUE_DAYS_DEFAULT ? most : ISSUE_DAYS_DEFAULT;
	else if (given < 1 || given > most)
		return cli_usage(c, "--days %s: 1 to %llu are possible, cert.MaximumYears is %d", cli_string(c, "days"),
		    (unsigned long long)most, c->conf->max_cert_years);
	*days = (unsigned)given;
	return KC_OK;
}

int cert_wanted_read(struct cert_wanted *w, const struct cli *c)
{
	const char *type = cli_string(c, "key-type");
	int rc = read_subject(w, c);

	if (rc == KC_OK && type != NULL)
		rc = issue_key_from_name(&w->request.key, type);
	return rc == KC_OK ? read_sans(w, c) : rc;
}

void cert_wanted_fini(struct cert_wanted *w)
{
	free(w->storage);
	free(w->subject);
	*w = (struct cert_wanted){ 0 };
}
