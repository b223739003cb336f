/* SPDX-License-Identifier: Apache-2.0 */
/*
 * worker: `keycloned --worker`: the process that opens the key database and the secrets. It has no network socket, does
 * one request at a time from descriptor 3 (ipc.h) and ends when that closes. What it finds out about the database stays
 * with it between requests: an open connection, the version it last saw, the file key of the last backup.
 *
 *   verb      request                                      result, beside "rc" and "error"
 *   config    –                                            conf (without secrets), sealed, password_id; or errors
 *                                                          [text]
 *   open      –                                            database {kind, path, rows}, recipient, password_id,
 *                                                          signer (master)
 *   ready     –                                            – (it is open, and what a dead worker left is gone)
 * master:
 *   check     digest, schema, files of the newest backup   moved: has anybody written since the newest backup?
 *             (or none of them: no comparison)             changed: … and is it another content?
 *   recount   digest, schema of the newest backup          counted: nobody has written since it was made; then same:
 *                                                          the database is that, to the row; count_ms
 *   backup    lineage, ancestors, host, digest, schema,    unchanged, digest, schema, files, rows; unless unchanged:
 *             files of the newest backup (none: make one), path, name, generation, size, header_size, sha256, file_id,
 *             base {generation, digest}, base_files,       database_size (an increment: of its changes), base (0: a
 *             chain (none or 0: a full); asks              full), chain, changes (text), why_full (text), timings
 *             {"ask": "generation", "increment": bool}
 *             for its number; and, of an increment that is complete and neither on disk nor named yet,
 *             {"ask": "whole", "whole": the result}: may it be kept?
 *             progress: phase, percent; while it grows (an increment: from 256 KiB): path, name, bytes, header_size,
 *             file_id, digest, generation, base, chain, database_size
 *   wrap      backup (path), clones [{clone, recipient}]   headers {clone: base64}, refused {clone: {rc, error}}
 *             (a recipient is pinned when it is first seen: recipients.h)
 *   system    lineage, ancestors, host, keys (newest        unchanged, password_bytes; unless unchanged: generation,
 *             generation), digest of what went into the    digest, name, size, header_size, sha256, file_id
 *             newest system backup (none: make one
 *             whatever); asks {"ask": "system"} for its
 *             number
 *   depot     clone, recipient, have (SHA-256): what the    sealed (base64), sha256, spki_sha256, not_after,
 *             depot keeps for it; asks as install does      serial (if the own authority made it for a clone)
 *   issue     csr (PEM), cn, sans [text], role, days (0:    chain (PEM), sha256, spki_sha256, not_after, serial
 *             the default): by the own authority; what      (of a clone's)
 *             the request says of itself does not count
 *   rotate-begin  new_alias, make (it is not there yet:     old_alias, old, new {sha256, spki, cn, serial, own}, own,
 *             make it), key_type, days, authority (another    certificates (PEM), forget, forget_new [sha256]
 *             own authority, too)
 *   rotate-directive  clone, recipient, directive {…};      body, signature; with a certificate: serial,
 *             csr, cn, sans, days: with its certificate;    not_after
 *             seal (alias): with that, sealed
 *   rotate-use  alias: it is the one in use from now on     –
 *   rotate-end  retire (alias), forget [sha256],            –
 *             keep_authorities, authority, undone
 *   tokens    –                                            tokens [{id, psk, expires, uses}]: those that are valid
 *   enroll    token (id), csr or chain (PEM), claimed,      chain (PEM; of a csr), authority, trust (PEM), sha256,
 *             host, port, recipient, lineage, proof         not_after, serial (of a csr), cn (of a chain), known:
 *             (invite.h)                                     was it of the fleet before? It is in the file now, its
 *                                                            recipient is pinned, the token is used
 * both:
 *   csr       purpose, cn, sans [text], key_type (none:     csr (PEM); the key stays here, one for each purpose
 *             ecdsa-p256)
 *   revoke    serials [hex]: of certificates that the      crl (PEM), added (how many were not yet)
 *             own authority made; the list goes into the
 *             truststore as well
 *   install   purpose, chain (PEM), alias, replace: the     alias, sha256, spki_sha256, not_after
 *             key of that purpose and what came for it
 *             into the keystore. renews: only in place of
 *             one that it is better than (renewal.h); asks
 *             {"ask": "renew", cn, sha256} before it writes
 *   external  alias: the set of tls.ExternalCertDir in its  as install; KC_ENOENT: no set, KC_EEXIST: it is in use
 *             place; asks as install does
 *   resolve   old_digest, digest, schema, files, signer,   which: old | new | neither; new: companions are complete
 *             backup (path), travel
 *   by-hand   backup (path), name, travel, lineage,        as by_hand_run; asks {"ask": "intent", …} as `restore` does
 *             ancestors, generation, merge, discard, force
 * clone:
 *   directive body, signature, as the master sent them;     step, reload (credentials have changed), answer {alias,
 *             asks {"ask": "begin", step, rotation}         sha256, csr, again, as the step has them}
 *             before anything is changed
 *   restore   backup (path), travel, chain (of an          changes (text), chain;
 *             increment; 0: a full), applied_content,
 *             lineage, generation,                         same, lineage, generation, digest, schema, rows, warning,
 *             own_lineage, own_ancestors, own_generation,  timings, ancestors; and, if rows differ, those of
 *             applied (digest, "": first contact),         `diverged`
 *             applied_backup, applied_travel, discard,
 *             files (companions last applied), signer;     files; pending (with a failure: the database is the new
 *             asks {"ask": "intent", lineage, ancestors,   one, companions are not: resolve goes on); take_over
 *             generation, old_digest, digest, schema,
 *             files} before it writes
 *   fetched   sealed (base64), alias, any_end: what the     as install
 *             master's depot had for us; asks as install
 *   diverged  backup (path), travel, applied, files,       rows_here [{table, key, only}], only_here, changed,
 *             signer, newest (path), newest_travel: what   only_master, diverged (text)
 *             waits to be restored
 *   self-check applied (digest), seen (the digest of the   digest (companions that strayed change it), count_ms (if it
 *             last look), files, signer, and where it is   was counted); diverged and the rest if it is neither of the
 *             there applied_backup, applied_travel         two
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
