/* SPDX-License-Identifier: Apache-2.0 */
/* cert_text: certificates for people and programs. */
#ifndef KC_CERT_TEXT_H
#define KC_CERT_TEXT_H

#include <jansson.h>

#include "base/buf.h"
#include "base/conf.h"
#include "keystore/cert.h"
#include "keystore/identity.h"
#include "keystore/request.h"

/* Everything of `info` with stable names, and `name_key`: name. New reference. */
json_t *cert_text_json(const char *name_key, const char *name, const struct cert_info *info);
/* The lines of `cert show` on standard output. */
void cert_text_print(const struct cert_info *info);
/* The same of a request. */
json_t *cert_request_json(const struct request_info *info);
void cert_request_print(const struct request_info *info);
/* Does this chain, leaf first, verify here for both sides of TLS? *why is heap where it does not. */
bool cert_is_trusted(char **why, const struct conf *conf, const struct cert_der *chain, size_t count);
/* Where what this certificate hangs on is not trusted here: how to change that. */
void cert_text_hint_trust(const struct conf *conf, const struct identity *id, const char *alias);
/* "CN" and the SHA-256, for an audit record. Heap. */
char *cert_text_detail(const char *what, const char *name, const struct cert_info *info);

/* The answer to an export: the path of the file, or else (NULL) the bytes themselves, text or, of DER, base64. A
 * private key goes into files only. New reference. */
json_t *cert_text_export_json(const char *alias, bool with_key, const char *path, const struct buf *bytes, bool der);

#endif
