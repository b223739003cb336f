/* SPDX-License-Identifier: Apache-2.0 */
/*
 * retired: what was replaced in the keystore or removed from it, in its folder retired/, and what was removed from the
 * truststore, in a folder of that name there.
 *
 *     <alias>.<when>.<sha>.crt    the chain as it was
 *     <alias>.<when>.<sha>.key    its key, encrypted under the same tls.secret, unless a renewal kept it in use
 *     <alias>.<when>.<sha>.csr    its request
 *     <name>.<when>.<sha>.pem     a file of the truststore; `sha` is of the file
 *
 * `when` is UTC, 20260619T145059Z; `sha` the first 16 digits of the SHA-256 of the certificate, or where there was none
 * of the public key that waited for one. Nothing there is ever overwritten, used, or removed by keyclone.
 */
#ifndef KC_RETIRED_H
#define KC_RETIRED_H

#include <stdint.h>

#include "cert.h"

#define RETIRED_DIR "retired" /* in the keystore and in the truststore */

struct retired_entry {
	char *alias;
	char *file; /* its name without a suffix */
	int64_t retired_at;
	bool has_key, has_cert;
	struct cert_info info; /* empty for a request that never had a certificate */
};
struct retired_list {
	struct retired_entry *entries; /* by alias, then by time */
	size_t count;
};
/* A keystore without the folder has none; files that are not named like ours are left out. */
int retired_list_load(struct retired_list *list, const char *keystore_dir);
void retired_list_fini(struct retired_list *list);

#endif
