/* SPDX-License-Identifier: Apache-2.0 */
/* cert_options: what `cert create` and `cert request` are told about a certificate, as a request. */
#ifndef KC_CERT_OPTIONS_H
#define KC_CERT_OPTIONS_H

#include "cli.h"
#include "keystore/issue.h"

#define CERT_SANS_MAX 64

struct cert_wanted {
	struct issue_request request; /* what it points to is of the options, or here */
	const char *sans[CERT_SANS_MAX];
	char *storage; /* pieces of --san */
	char *subject; /* made of --cn, --o, … */
};

/* Subject, names and key type; days and role are the caller's. KC_EUSAGE, also without a common name. */
int cert_wanted_read(struct cert_wanted *w, const struct cli *c);
void cert_wanted_fini(struct cert_wanted *w);
/* --days, which no option of a subject is, or the default. KC_EUSAGE: more or fewer than are possible. */
int cert_days_read(unsigned *days, const struct cli *c);
/* Is any part of a subject given? */
bool cert_wanted_given(const struct cli *c);

/* The options it reads, for the tables of its callers. */
#define CERT_SUBJECT_OPTIONS                                                                                         \
	{ "cn", 0, CLI_STRING, "NAME", "common name" }, { "o", 0, CLI_STRING, "TEXT", "organisation" },              \
	    { "ou", 0, CLI_STRING, "TEXT", "unit of it" }, { "l", 0, CLI_STRING, "TEXT", "place" },                  \
	    { "st", 0, CLI_STRING, "TEXT", "state or province" },                                                    \
	    { "c", 0, CLI_STRING, "CC", "country, two letters" },                                                    \
	    { "subject", 0, CLI_STRING, "DN", "the whole subject instead, such as 'CN=a,O=b'" },                     \
	    { "san", 0, CLI_MANY, "NAME[,NAME]", "host name or address it is for (dns:NAME, ip:ADDRESS, or bare)" }, \
	{                                                                                                            \
		"key-type", 0, CLI_STRING, "TYPE",                                                                   \
		    "ecdsa-p256 (the default), ecdsa-p384, ecdsa-p521, ed25519, rsa-2048, rsa-3072, rsa-4096"        \
	}

#endif
