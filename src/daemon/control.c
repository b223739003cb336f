/* SPDX-License-Identifier: Apache-2.0 */
/* control: accepts clients, looks up the verb's row, checks who asks, calls its handler. One request a client at a
 * time. */
#include "control.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/ipc.h"
#include "base/mem.h"
#include "daemon/check.h"
#include "daemon/clone.h"
#include "daemon/daemon.h"
#include "daemon/enroll.h"
#include "daemon/failover.h"
#include "daemon/master.h"
#include "daemon/renew.h"
#include "daemon/restore_order.h"
#include "daemon/rotate.h"
#include "daemon/task.h"

#define CLIENTS_MAX 64
#define REQUEST_MAX 65536
#define WAITING_MAX (IPC_MAX + 65536u) /* of answers that a client does not take */

struct control {
	struct daemon *daemon;
	struct loop_fd *watch;
	struct control_client *clients;
	char *path;
	unsigned count;
	int fd;
};

struct control_client {
	struct control_client *next;
	struct control *control;
	struct ipc_peer *peer;
	void (*gone)(struct control_client *c, void *arg);
	void *arg;
	char who[64];
	bool may_change;
	bool busy; /* a request is being worked on */
};

static void verb_status(struct daemon *d, struct control_client *c, const json_t *request)
{
	json_t *result = ipc_result_new(KC_OK);

	(void)request;
	json_object_set_new(result, "status", status_json(d));
	control_answer(c, result);
}

static void verb_replicate_now(struct daemon *d, struct control_client *c, const json_t *request)
{
	if (d->master == NULL)
		control_answer(
		    c, ipc_result_new(err_set(KC_EUSAGE, "this machine is a clone; replicate-now runs on its master")));
	else
		master_replicate_now(d->master, c, request);
}

static void verb_start(struct daemon *d, struct control_client *c, const json_t *request)
{
	(void)request;
	task_set(d, c, true);
}

static void verb_stop(struct daemon *d, struct control_client *c, const json_t *request)
{
	(void)request;
	task_set(d, c, false);
}

static void hold(struct daemon *d, struct control_client *c, const json_t *request, bool held)
{
	if (d->master == NULL)
		control_answer(
		    c, ipc_result_new(err_set(KC_EUSAGE, "this machine is a clone; its master holds and resumes")));
	else
		master_hold(d->master, c, request, held);
}

static void verb_clone_hold(struct daemon *d, struct control_client *c, const json_t *request)
{
	hold(d, c, request, true);
}

static void verb_clone_resume(struct daemon *d, struct control_client *c, const json_t *request)
{
	hold(d, c, request, false);
}

static void verb_restore_now(struct daemon *d, struct control_client *c, const json_t *request)
{
	(void)request;
	if (d->clone == NULL)
		control_answer(c, ipc_result_new(err_set(KC_EUSAGE, "this machine is the master; run it on the clone, "
								    "or 'keyclone replicate-now --restore-now' here")));
	else
		clone_restore_now(d->clone, c);
}

static void verb_diverged_list(struct daemon *d, struct control_client *c, const json_t *request)
{
	(void)request;
	if (d->clone == NULL)
		control_answer(c, ipc_result_new(err_set(KC_EUSAGE, "this machine is the master; ask the clone")));
	else
		clone_diverged_list(d->clone, c);
}

static void verb_diverged_discard(struct daemon *d, struct control_client *c, const json_t *request)
{
	if (d->master != NULL && json_is_string(json_object_get(request, "clone")))
		master_discard(d->master, c, request);
	else if (d->master != NULL)
		control_answer(c, ipc_result_new(err_set(KC_EUSAGE,
				      "this machine is the master; name the clone with --clone, or run it there")));
	else if (json_is_string(json_object_get(request, "clone")))
		control_answer(
		    c, ipc_result_new(err_set(KC_EUSAGE, "this machine is a clone; --clone is for its master")));
	else
		clone_diverged_discard(d->clone, c);
}

static bool rotates(struct daemon *d, struct control_client *c)
{
	if (d->rotate == NULL)
		control_answer(c, ipc_result_new(err_set(
				      KC_EUSAGE, "this machine is a clone; certificates are rotated from its master")));
	return d->rotate != NULL;
}

static void verb_cert_rotate(struct daemon *d, struct control_client *c, const json_t *request)
{
	if (rotates(d, c))
		rotate_begin(d->rotate, c, request);
}

static void verb_cert_rotate_abort(struct daemon *d, struct control_client *c, const json_t *request)
{
	if (rotates(d, c))
		rotate_abort(d->rotate, c, request);
}

static void verb_cert_rotate_status(struct daemon *d, struct control_client *c, const json_t *request)
{
	json_t *result;

	(void)request;
	if (!rotates(d, c))
		return;
	result = ipc_result_new(KC_OK);
	json_object_set_new(result, "rotation", rotate_status(d->rotate));
	control_answer(c, result);
}

static void verb_backup_restore(struct daemon *d, struct control_client *c, const json_t *request)
{
	restore_order(d, c, request);
}

/* A reload outlives its client: the answer goes to a holder that knows whether the client is still there. */
struct reload_wait {
	struct control_client *client;
};

static void reload_client_gone(struct control_client *c, void *arg)
{
	struct reload_wait *w = arg;

	(void)c;
	w->client = NULL;
}

static void reload_done(int rc, const json_t *result, void *arg)
{
	struct reload_wait *w = arg;

	(void)rc;
	if (w->client != NULL)
		control_answer(w->client, json_deep_copy(result));
	free(w);
}

static void verb_reload(struct daemon *d, struct control_client *c, const json_t *request)
{
	struct reload_wait *w = mem_xalloc(sizeof(*w));

	(void)request;
	w->client = c;
	control_on_gone(c, reload_client_gone, w);
	daemon_reload(d, reload_done, w);
}

static void verb_cert_renew(struct daemon *d, struct control_client *c, const json_t *request)
{
	(void)request;
	renew_now(d->renew, c);
}

static void verb_cert_fetch(struct daemon *d, struct control_client *c, const json_t *request)
{
	(void)request;
	renew_fetch(d->renew, c);
}

/* verb, changes something?, handler */
static const struct verb {
	const char *name;
	bool changes;
	void (*run)(struct daemon *d, struct control_client *c, const json_t *request);
} verbs[] = {
	{ "status", false, verb_status },
	{ "replicate-now", true, verb_replicate_now },
	{ "restore-now", true, verb_restore_now },
	{ "start", true, verb_start },
	{ "stop", true, verb_stop },
	{ "reload", true, verb_reload },
	{ "clone-hold", true, verb_clone_hold },
	{ "clone-resume", true, verb_clone_resume },
	{ "check", false, check_peers },
	{ "cert-rotate", true, verb_cert_rotate },
	{ "cert-rotate-abort", true, verb_cert_rotate_abort },
	{ "cert-rotate-status", false, verb_cert_rotate_status },
	{ "backup-restore", true, verb_backup_restore },
	{ "diverged-list", false, verb_diverged_list },
	{ "diverged-discard", true, verb_diverged_discard },
	{ "cert-renew", true, verb_cert_renew },
	{ "cert-fetch", true, verb_cert_fetch },
	{ "enroll-token", true, enroll_verb_token },
	{ "enroll-revoke", true, enroll_verb_revoke },
	{ "promote", true, failover_promote },
	{ "demote", true, failover_demote },
};

static void client_free(struct control_client *c)
{
	struct control_client **at = &c->control->clients;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	c->control->count--;
	if (c->gone != NULL)
		c->gone(c, c->arg);
	ipc_peer_free(c->peer);
	free(c);
}

static void on_close(struct ipc_peer *p, void *arg)
{
	(void)p;
	client_free(arg);
}

static void on_msg(struct ipc_peer *p, enum ipc_type type, json_t *body, void *arg)
{
	struct control_client *c = arg;
	const char *name = json_string_value(json_object_get(body, "verb"));

	if (type != IPC_REQUEST || name == NULL || c->busy) {
		ipc_peer_finish(p);
		return;
	}
	c->busy = true;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(verbs[i].name, name) != 0)
			continue;
		if (verbs[i].changes && !c->may_change)
			control_answer(
			    c, ipc_result_new(err_set(KC_EPERM, "%s: only root and the service's user may", name)));
		else if (c->control->daemon->ending)
			control_answer(c, ipc_result_new(err_set(KC_EDAEMON, "the daemon is ending")));
		else
			verbs[i].run(c->control->daemon, c, body);
		return;
	}
	control_answer(c, ipc_result_new(err_set(KC_EUSAGE, "unknown request '%s'", name)));
}

/* Room for one more: whoever has been here for longest without asking anything goes. */
static void drop_idle(struct control *ctl)
{
	struct control_client *oldest = NULL;

	for (struct control_client *c = ctl->clients; c != NULL; c = c->next)
		if (!c->busy)
			oldest = c;
	if (oldest != NULL)
		client_free(oldest);
}

static void on_client(int fd, int events, void *arg)
{
	struct control *ctl = arg;
	struct control_client *c;
	int s = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	uid_t uid;
	gid_t gid;
	pid_t pid;

	(void)events;
	if (s < 0)
		return;
	if (ctl->count >= CLIENTS_MAX)
		drop_idle(ctl);
	if (ctl->count >= CLIENTS_MAX || ipc_peer_user(&uid, &gid, &pid, s) < 0) {
		close(s);
		return;
	}
	c = mem_xalloc(sizeof(*c));
	c->control = ctl;
	c->may_change = uid == 0 || uid == geteuid();
	snprintf(c->who, sizeof(c->who), uid == 0 ? "by root" : "by user id %u", (unsigned)uid);
	c->peer = ipc_peer_new(ctl->daemon->loop, s, on_msg, on_close, c);
	ipc_peer_limit(c->peer, REQUEST_MAX, WAITING_MAX);
	c->next = ctl->clients;
	ctl->clients = c;
	ctl->count++;
}

int control_new(struct control **out, struct daemon *d)
{
	struct control *c;
	char *path = file_join(d->conf->run_dir, "control.sock");
	int fd = -1, rc = ipc_listen(&fd, path, 0660);

	if (rc < 0) {
		free(path);
		return rc;
	}
	c = mem_xalloc(sizeof(*c));
	c->daemon = d;
	c->fd = fd;
	c->path = path;
	c->watch = loop_fd_new(d->loop, fd, on_client, c);
	loop_fd_want(c->watch, LOOP_READ);
	*out = c;
	return KC_OK;
}

void control_free(struct control *c)
{
	if (c == NULL)
		return;
	while (c->clients != NULL)
		client_free(c->clients);
	loop_fd_free(c->watch);
	close(c->fd);
	unlink(c->path);
	free(c->path);
	free(c);
}

void control_progress(struct control_client *c, const json_t *progress)
{
	ipc_peer_send(c->peer, IPC_PROGRESS, progress);
}

void control_answer(struct control_client *c, json_t *result)
{
	c->busy = false;
	c->gone = NULL;
	ipc_peer_send(c->peer, IPC_RESULT, result);
	json_decref(result);
}

void control_on_gone(struct control_client *c, void (*gone)(struct control_client *c, void *arg), void *arg)
{
	c->gone = gone;
	c->arg = arg;
}

const char *control_who(const struct control_client *c)
{
	return c->who;
}
