/* SPDX-License-Identifier: Apache-2.0 */
/* check: with a clone that a session is open with, nothing is tried; the others are contacted. */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/ipc.h"
#include "base/mem.h"
#include "base/member.h"
#include "contact.h"
#include "control.h"
#include "daemon.h"
#include "master.h"

struct check {
	struct daemon *d;
	struct control_client *client;
	struct contacts *contacts;
};

static void check_free(struct check *k)
{
	contacts_free(k->contacts);
	free(k);
}

static void on_gone(struct control_client *client, void *arg)
{
	(void)client;
	check_free(arg);
}

static void on_done(const json_t *peers, void *arg)
{
	struct check *k = arg;
	struct daemon *d = k->d;
	json_t *answer = ipc_result_new(KC_OK);

	json_object_set_new(answer, "peers", json_deep_copy(peers));
	json_object_set_new(
	    answer, "port", json_integer(d->master != NULL ? d->conf->master_listen_port : d->conf->listen_port));
	json_object_set_new(answer, "ancestors", lineage_json(&d->ancestors));
	json_object_set_new(answer, "status", status_json(d));
	control_answer(k->client, answer);
	check_free(k);
}

void check_peers(struct daemon *d, struct control_client *client, const json_t *request)
{
	struct check *k = mem_xalloc(sizeof(*k));
	struct contacts_options o = { .loop = d->loop,
		.creds = d->creds,
		.conf = d->conf,
		.self = &d->self,
		.state = d->state,
		.host = d->host,
		.signer = d->signer,
		.recipient = d->recipient };
	int rc = KC_OK;

	k->d = d;
	k->client = client;
	k->contacts = contacts_new(&o, on_done, k);
	if (d->master != NULL)
		rc = master_add_contacts(d->master, k->contacts, member_text(request, "clone"));
	else
		contacts_add_master(k->contacts);
	if (rc < 0) {
		control_answer(client, ipc_result_new(rc));
		check_free(k);
		return;
	}
	control_on_gone(client, on_gone, k);
	contacts_start(k->contacts);
}
