/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker: `keycloned --worker`: the process that opens the key database and the secrets. It has no network socket, does
 * one request at a time from descriptor 3 (ipc.h) and ends when that closes. What it finds out about the database stays
 * with it between requests: an open connection, the version it last saw, the file key of the last backup.
 *
 *   verb        request                                         result, beside "rc" and "error"
 *   config      –                                               conf (without secrets), sealed (bool), errors
 *   open        –                                               database {kind, path, rows}, recipient, signer
 *   check       digest, schema                                  changed, rows, digest
 *   backup      lineage, generation, host                       path, name, size, header_size, payload_size, sha256,
 *               (progress: phase, percent, bytes, path,         recovery, file_id, digest, schema, rows, room
 *                header_size, file_id, digest, room)
 *   wrap        backup (path), clones [{clone, recipient}]      headers {clone: base64}, refused {clone: {rc, error}}
 *               (a recipient is pinned when it is first seen: recipients.h)
 *   restore     backup (path), travel, lineage, generation,     status restored|unchanged, digest, schema, rows
 *               digest (applied, "" at first contact), discard,
 *               signer; asks {"ask": "intent", …}
 *   resolve     old_digest, digest                              which: old|new|neither
 *   diverged    backup, travel                                  rows [{table, key, what}], count
 */
#ifndef KC_WORKER_H
#define KC_WORKER_H

#include <jansson.h>

struct worker;

/* main of `keycloned --worker`. Returns the exit status. */
int worker_main(const char *conf_path);

/* For the files with the jobs: a row of the table of verbs. *result has "rc" set by the caller afterwards. */
typedef int (*worker_verb_fn)(json_t *result, struct worker *w, const json_t *request);

#endif
