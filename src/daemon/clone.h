/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clone: the role that receives backups, restores them into the live key database by the worker, and answers.
 *
 *     offer ──fits?──> stored (durably, with its travel header) ──> restore job ──intent?──> state ──go──> applied
 *                                                                                                            └─> result
 *
 * With an hour for restores (restore.DailyStartReplicationRestoreTime) what is stored waits for it, and the answer is
 * `postponed`; what comes of it later is reported to the master's listen port until that has taken it.
 *
 * What is stored and not applied is restored at the next start too, without the master. An intent left by a crash is
 * resolved first: the database has either the old digest or the new one.
 */
#ifndef KC_CLONE_H
#define KC_CLONE_H

#include <jansson.h>
#include <stdbool.h>

struct clone_role;
struct control_client;
struct daemon;

int clone_new(struct clone_role **c, struct daemon *d);
void clone_free(struct clone_role *c);
int clone_start(struct clone_role *c);
/* The daemon ends: nothing new is accepted. */
void clone_stop(struct clone_role *c);
/* For a promotion: what is stored is applied now, whatever its hour. KC_EAGAIN: that is under way, ask again;
 * KC_EDIVERGED; or why it cannot be. */
int clone_apply_stored(struct clone_role *c);
void clone_diverged_list(struct clone_role *c, struct control_client *client);
void clone_diverged_discard(struct clone_role *c, struct control_client *client);
/* Applies what is stored, without waiting for its hour or its master; answers when that is done. */
void clone_restore_now(struct clone_role *c, struct control_client *client);
/* The task was put up or down: the master is told. */
void clone_set_task(struct clone_role *c, bool up);
void clone_reloaded(struct clone_role *c);
/* What our hello says has changed: the master hears it at once. */
void clone_greet_anew(struct clone_role *c);
/* Ask the master's listen port for a certificate: `done` is called once, from the loop; with KC_OK *cert is it, else
 * err_text says why there is none. KC_EBUSY: one is asked for already. */
struct proto_cert;
struct proto_cert_request;
typedef void (*clone_cert_fn)(int rc, const struct proto_cert *cert, void *arg);
int clone_ask_certificate(struct clone_role *c, const struct proto_cert_request *q, clone_cert_fn done, void *arg);
/* An operator restores: offers are declined until clone_release. KC_EBUSY: a restore is under way. `changed`: the key
 * database and d->self may be others now. */
int clone_keep_still(struct clone_role *c);
void clone_release(struct clone_role *c, bool changed);
void clone_status(const struct clone_role *c, json_t *status);

#endif
