/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_client: one request to the running daemon over its control socket. */
#ifndef KC_DAEMON_CLIENT_H
#define KC_DAEMON_CLIENT_H

#include <jansson.h>

#include "cli.h"

/*
 * Sends `request` (taken) and waits for its result; `progress` (may be NULL) is called for each progress message. A
 * daemon that is just starting is waited for, up to 5 s. *result (the caller's; NULL where none came) is set on
 * failures of the request, too. KC_EDAEMON: nobody answers.
 */
int daemon_call(
    json_t **result, struct cli *c, json_t *request, void (*progress)(const json_t *p, void *arg), void *arg);

/* Says, where a daemon runs and reads it only then, that what was changed needs `reload`. */
void daemon_hint_reload(const struct cli *c);

/* A daemon that runs reads files and configuration anew; *told false: none does. If it cannot, what was changed and
 * what runs differ: an error, with `failed` before the reason. *ended (may be NULL): the sessions it has ended because
 * their certificate is revoked now; untouched where none runs. */
int daemon_tell(bool *told, unsigned *ended, struct cli *c, const char *failed);

/* Is a daemon running for this configuration? One try. */
bool daemon_running(const struct cli *c);

#endif
