/* SPDX-License-Identifier: Apache-2.0 */
/* cert_work: what the commands that put something into the keystore have in common. */
#ifndef KC_CERT_WORK_H
#define KC_CERT_WORK_H

#include "cli.h"
#include "keystore/identity.h"

/* Has the alias a certificate; a certificate, or a request that is pending? */
bool cert_has_certificate(const struct conf *conf, const char *alias);
bool cert_exists(const struct conf *conf, const char *alias);
/* Is it the certificate that the running daemon has loaded? False where none runs. */
bool cert_in_use_by_daemon(struct cli *c, const char *alias);

/* KC_ECERT if it is valid for longer than cert.MaximumYears allows. */
int cert_check_years(const struct conf *conf, const struct cert_info *info);
/* identity_save(), audited. */
int cert_save(struct cli *c, enum audit_event event, const struct identity *id, const char *alias, bool replace);
/* "VERB ALIAS: …" with its end; with `days`, that another end could have been asked for; and what has to follow. */
int cert_print_saved(const struct cli *c, const char *verb, const char *alias, const struct identity *id, bool days);

#endif
