/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_client: connects, waiting for a daemon that is just starting, and speaks ipc.h. */
#include "daemon_client.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/ipc.h"
#include "base/member.h"

#define START_WAIT_MS 5000
#define START_STEP_MS 50

static int connect_daemon(int *fd, const struct cli *c, int wait_ms)
{
	char *path = file_join(c->conf->run_dir, "control.sock");
	struct timespec step = { .tv_nsec = START_STEP_MS * 1000000L };
	int rc;

	for (;; wait_ms -= START_STEP_MS) {
		rc = ipc_connect(fd, path);
		if (rc != KC_EDAEMON || wait_ms <= 0)
			break;
		nanosleep(&step, NULL);
	}
	free(path);
	return rc;
}

bool daemon_running(const struct cli *c)
{
	int fd = -1;

	if (connect_daemon(&fd, c, 0) < 0)
		return false;
	close(fd);
	return true;
}

void daemon_hint_reload(const struct cli *c)
{
	if (!c->json && daemon_running(c))
		puts("The running keycloned takes it over with 'keyclone reload'.");
}

int daemon_call(
    json_t **result, struct cli *c, json_t *request, void (*progress)(const json_t *p, void *arg), void *arg)
{
	int fd = -1, rc = connect_daemon(&fd, c, START_WAIT_MS);

	*result = NULL;
	if (rc == KC_OK)
		rc = ipc_send(fd, IPC_REQUEST, request);
	while (rc == KC_OK) {
		enum ipc_type type;
		json_t *body = NULL;

		rc = ipc_recv(&type, &body, fd, -1);
		if (rc == KC_ENET)
			rc = err_set(KC_EDAEMON, "the daemon ended before it answered");
		if (rc == KC_OK && type == IPC_RESULT) {
			rc = ipc_result_code(body);
			*result = body;
			break;
		}
		if (rc == KC_OK && type == IPC_PROGRESS && progress != NULL)
			progress(body, arg);
		json_decref(body);
	}
	json_decref(request);
	if (fd >= 0)
		close(fd);
	return rc;
}

int daemon_tell(bool *told, unsigned *ended, struct cli *c, const char *failed)
{
	json_t *result = NULL;
	int rc;

	*told = daemon_running(c);
	if (!*told)
		return KC_OK;
	rc = daemon_call(&result, c, json_pack("{s:s}", "verb", "reload"), NULL, NULL);
	if (ended != NULL)
		*ended = (unsigned)member_u64(result, "sessions_ended");
	json_decref(result);
	return rc < 0 ? err_prefix(rc, "%s", failed) : KC_OK;
}
