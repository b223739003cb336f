/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enroll_keys: the keys of the tokens that are valid. They are the worker's (invites.h): the daemon gets them at its
 * start and is told of what commands change; it has no other copy than the one in its memory.
 */
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/hex.h"
#include "base/ipc.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"
#include "daemon/control.h"
#include "enroll_int.h"
#include "master_int.h"

#define LOAD_TIMEOUT_MS 60000
#define TRIES_MS	60000
#define TRIES_MAX	10 /* wrong tokens of one address in that time */
#define EXPIRY_MAX_MS	3600000

/* --- the list --- */

static struct enroll_key *by_id(struct enroll *e, const char *id)
{
	for (size_t i = 0; i < INVITES_MAX; i++)
		if (strcmp(e->keys[i].id, id) == 0)
			return &e->keys[i];
	return NULL;
}

static void forget(struct enroll_key *k)
{
	mem_wipe(k, sizeof(*k));
}

static int put(struct enroll *e, const json_t *token)
{
	const char *id = member_text(token, "id");
	struct enroll_key *k = by_id(e, id);

	if (k == NULL)
		k = by_id(e, "");
	if (k == NULL)
		return err_set(KC_ELIMIT, "%d enrolment tokens are valid, the most there can be", INVITES_MAX);
	forget(k);
	if (strlen(id) != INVITE_ID_SIZE - 1 || !hex_decode(k->psk, sizeof(k->psk), member_text(token, "psk")))
		return err_set(KC_EPROTO, "an enrolment token cannot be read");
	STR_COPY(k->id, id);
	k->expires = member_int(token, "expires");
	k->uses = member_u64(token, "uses");
	return KC_OK;
}

static int64_t now_s(void)
{
	return (int64_t)time(NULL);
}

void enroll_set_expiry(struct enroll *e)
{
	int64_t next = 0, wait;

	for (size_t i = 0; i < INVITES_MAX; i++) {
		struct enroll_key *k = &e->keys[i];

		if (k->id[0] != '\0' && (next == 0 || k->expires < next))
			next = k->expires;
	}
	if (next == 0) {
		loop_timer_clear(e->expiry);
		return;
	}
	wait = (next - now_s()) * 1000 + 500;
	loop_timer_set(e->expiry, wait < 500 ? 500 : wait > EXPIRY_MAX_MS ? EXPIRY_MAX_MS : (uint64_t)wait);
}

/* The worker erases in the file what is past its time whenever it reads it. */
void enroll_on_expiry(void *arg)
{
	struct enroll *e = arg;
	bool any = false;

	for (size_t i = 0; i < INVITES_MAX; i++) {
		struct enroll_key *k = &e->keys[i];

		if (k->id[0] == '\0' || k->expires > now_s() || k->reserved > 0)
			continue;
		log_info("enrolment token %s has expired", k->id);
		forget(k);
		any = true;
	}
	if (any)
		jobs_add(e->master->d->jobs, json_pack("{s:s}", "verb", "tokens"), NULL, NULL, NULL, NULL);
	enroll_set_expiry(e);
}

int enroll_load(struct enroll *e)
{
	json_t *result = NULL, *token;
	size_t i;
	int rc = jobs_call(&result, e->master->d->jobs, json_pack("{s:s}", "verb", "tokens"), LOAD_TIMEOUT_MS);

	e->keys = mem_secret_new(INVITES_MAX * sizeof(*e->keys));
	if (rc == KC_OK)
		json_array_foreach(json_object_get(result, "tokens"), i, token)
			if (rc == KC_OK)
				rc = put(e, token);
	json_decref(result);
	enroll_set_expiry(e);
	return rc;
}

struct enroll_key *enroll_find(struct enroll *e, const char *id)
{
	struct enroll_key *k = id[0] != '\0' ? by_id(e, id) : NULL;

	return k != NULL && k->expires > now_s() && k->uses > k->reserved ? k : NULL;
}

void enroll_unreserve(struct enroll *e, const char *id)
{
	struct enroll_key *k = by_id(e, id);

	if (k != NULL && k->reserved > 0)
		k->reserved--;
}

void enroll_used(struct enroll *e, const char *id)
{
	struct enroll_key *k = by_id(e, id);

	enroll_unreserve(e, id);
	if (k != NULL && --k->uses == 0)
		forget(k);
	enroll_set_expiry(e);
}

/* --- what strangers may try --- */

/* Of this address; where it has no row, a new one, an old one that does not count any more, or that of all others. */
static struct enroll_tries *tries_of(struct enroll *e, const char *address, bool make)
{
	uint64_t now = loop_now(e->master->d->loop);
	struct enroll_tries *room = NULL;

	for (size_t i = 0; i < ENROLL_ADDRESSES; i++) {
		struct enroll_tries *t = &e->tries[i];

		if (t->address[0] != '\0' && now - t->since >= TRIES_MS)
			*t = (struct enroll_tries){ 0 };
		if (t->address[0] != '\0' && strcmp(t->address, address) == 0)
			return t;
		if (t->address[0] == '\0' && room == NULL)
			room = t;
	}
	if (now - e->others.since >= TRIES_MS)
		e->others = (struct enroll_tries){ .since = now };
	if (room == NULL)
		return &e->others;
	if (!make)
		return NULL;
	STR_COPY(room->address, address);
	room->since = now;
	return room;
}

void enroll_refused(struct enroll *e, const char *address, enum peer_verdict v)
{
	if (v == PEER_NO_TOKEN || v == PEER_BAD_TOKEN)
		tries_of(e, address, true)->wrong++;
}

static enum peer_verdict find(uint8_t psk[TLS_PSK_BYTES], const char *id, const char *address, void *arg)
{
	struct enroll *e = arg;
	const struct enroll_tries *t = tries_of(e, address, false);
	const struct enroll_key *k;

	if (t != NULL && t->wrong >= TRIES_MAX)
		return PEER_MANY_TOKENS;
	k = enroll_find(e, id);
	if (k == NULL)
		return PEER_NO_TOKEN;
	memcpy(psk, k->psk, TLS_PSK_BYTES);
	return PEER_TOKEN;
}

struct conn_tokens enroll_tokens(struct enroll *e)
{
	return (struct conn_tokens){ find, e };
}

/* --- commands --- */

static struct enroll *of_master(struct daemon *d, struct control_client *c)
{
	if (d->master == NULL)
		control_answer(
		    c, ipc_result_new(err_set(KC_EUSAGE, "this machine is a clone; its master enrols clones")));
	return d->master != NULL ? d->master->enroll : NULL;
}

void enroll_verb_token(struct daemon *d, struct control_client *c, const json_t *request)
{
	struct enroll *e = of_master(d, c);

	if (e == NULL)
		return;
	control_answer(c, ipc_result_new(put(e, request)));
	enroll_set_expiry(e);
}

void enroll_verb_revoke(struct daemon *d, struct control_client *c, const json_t *request)
{
	struct enroll *e = of_master(d, c);
	struct enroll_key *k;

	if (e == NULL)
		return;
	k = by_id(e, member_text(request, "id"));
	if (k != NULL && k->id[0] != '\0')
		forget(k);
	control_answer(c, ipc_result_new(KC_OK));
	enroll_set_expiry(e);
}
