/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto: the table of message types and the states of a session. A frame is allowed by its row or ends the session;
 * there are no other rules anywhere. What control bodies hold is in proto_members.c.
 */
#include "proto.h"

#include <assert.h>

#include "base/err.h"

/* Who may send: by role, by who made the connection, or by both. */
enum who { MASTER = 1, CLONE = 2, EITHER = 3, CONNECTING = 4, ACCEPTING_CLONE = 8, ACCEPTING_MASTER = 16 };

/* One permission: in `state`, `who` may send the row's type, which leads to `next`. */
struct step {
	enum proto_state state;
	enum who who;
	enum proto_state next;
};

#define STEPS_MAX 13
struct row {
	const char *name;
	size_t min, max;
	struct step steps[STEPS_MAX];
};

#define BODY_MIN 2 /* {} */

#define ANYWHERE(next_of_open)                                                    \
	{                                                                         \
		{ PROTO_S_HELLO, EITHER, next_of_open(PROTO_S_HELLO) },           \
		    { PROTO_S_GREETED, EITHER, next_of_open(PROTO_S_GREETED) },   \
		    { PROTO_S_IDLE, EITHER, next_of_open(PROTO_S_IDLE) },         \
		    { PROTO_S_OFFERED, EITHER, next_of_open(PROTO_S_OFFERED) },   \
		    { PROTO_S_TRANSFER, EITHER, next_of_open(PROTO_S_TRANSFER) }, \
		    { PROTO_S_RESTORE, EITHER, next_of_open(PROTO_S_RESTORE) },   \
		    { PROTO_S_REPORTS, EITHER, next_of_open(PROTO_S_REPORTS) },   \
		    { PROTO_S_REPORTED, EITHER, next_of_open(PROTO_S_REPORTED) }, \
		    { PROTO_S_DIRECTED, EITHER, next_of_open(PROTO_S_DIRECTED) }, \
		    { PROTO_S_ASKED, EITHER, next_of_open(PROTO_S_ASKED) },       \
		    { PROTO_S_JOIN, EITHER, next_of_open(PROTO_S_JOIN) },         \
		    { PROTO_S_JOINING, EITHER, next_of_open(PROTO_S_JOINING) },   \
		    { PROTO_S_ENDED, EITHER, PROTO_S_ENDED },                     \
	}
#define SAME(s)	 s
#define ENDED(s) PROTO_S_ENDED

static const struct row rows[PROTO_TYPES] = {
	[PROTO_ALIVE] = { "alive", 0, 0, ANYWHERE(SAME) },
	[PROTO_HELLO] = { "hello", BODY_MIN, PROTO_CONTROL_MAX,
	    { { PROTO_S_HELLO, CONNECTING, PROTO_S_GREETED }, { PROTO_S_GREETED, ACCEPTING_CLONE, PROTO_S_IDLE },
		{ PROTO_S_GREETED, ACCEPTING_MASTER, PROTO_S_REPORTS } } },
	[PROTO_OFFER] = { "offer", BODY_MIN, PROTO_CONTROL_MAX, { { PROTO_S_IDLE, MASTER, PROTO_S_OFFERED } } },
	[PROTO_ACCEPT] = { "accept", BODY_MIN, PROTO_CONTROL_MAX, { { PROTO_S_OFFERED, CLONE, PROTO_S_TRANSFER } } },
	[PROTO_DECLINE] = { "decline", BODY_MIN, PROTO_CONTROL_MAX, { { PROTO_S_OFFERED, CLONE, PROTO_S_IDLE } } },
	[PROTO_DATA] = { "data", 1, PROTO_DATA_MAX, { { PROTO_S_TRANSFER, MASTER, PROTO_S_TRANSFER } } },
	[PROTO_END] = { "end", BODY_MIN, PROTO_CONTROL_MAX, { { PROTO_S_TRANSFER, MASTER, PROTO_S_RESTORE } } },
	[PROTO_PROGRESS] = { "progress", BODY_MIN, PROTO_CONTROL_MAX, { { PROTO_S_RESTORE, CLONE, PROTO_S_RESTORE } } },
	[PROTO_RESULT] = { "result", BODY_MIN, PROTO_CONTROL_MAX,
	    { { PROTO_S_RESTORE, CLONE, PROTO_S_IDLE }, { PROTO_S_TRANSFER, CLONE, PROTO_S_ENDED } } },
	[PROTO_BYE] = { "bye", 0, 0, ANYWHERE(ENDED) },
	[PROTO_ERROR] = { "error", BODY_MIN, PROTO_CONTROL_MAX, ANYWHERE(ENDED) },
	[PROTO_REPORT] = { "report", BODY_MIN, PROTO_CONTROL_MAX, { { PROTO_S_REPORTS, CLONE, PROTO_S_REPORTED } } },
	[PROTO_ACK] = { "ack", BODY_MIN, PROTO_CONTROL_MAX, { { PROTO_S_REPORTED, MASTER, PROTO_S_REPORTS } } },
	[PROTO_DIRECTIVE] = { "directive", BODY_MIN, PROTO_CONTROL_MAX,
	    { { PROTO_S_IDLE, MASTER, PROTO_S_DIRECTED } } },
	[PROTO_DIRECTED] = { "directed", BODY_MIN, PROTO_CONTROL_MAX, { { PROTO_S_DIRECTED, CLONE, PROTO_S_IDLE } } },
	[PROTO_CERT_REQUEST] = { "cert-request", BODY_MIN, PROTO_CONTROL_MAX,
	    { { PROTO_S_REPORTS, CLONE, PROTO_S_ASKED } } },
	[PROTO_CERT] = { "cert", BODY_MIN, PROTO_CONTROL_MAX, { { PROTO_S_ASKED, MASTER, PROTO_S_REPORTS } } },
	[PROTO_JOIN] = { "join", BODY_MIN, PROTO_CONTROL_MAX, { { PROTO_S_JOIN, CLONE, PROTO_S_JOINING } } },
	[PROTO_JOINED] = { "joined", BODY_MIN, PROTO_CONTROL_MAX, { { PROTO_S_JOINING, MASTER, PROTO_S_ENDED } } },
};

void proto_fsm_init(struct proto_fsm *f, enum proto_role self, bool connecting)
{
	f->state = PROTO_S_HELLO;
	f->self = self;
	f->connecting = connecting;
}

void proto_fsm_enroll(struct proto_fsm *f)
{
	assert(f->state == PROTO_S_HELLO);
	f->state = PROTO_S_JOIN;
}

static bool is_known(uint8_t type)
{
	return type < PROTO_TYPES && rows[type].name != NULL;
}

static bool is_sender(const struct proto_fsm *f, bool received, enum who who)
{
	bool master = (f->self == PROTO_MASTER) != received;
	bool connecting = f->connecting != received;

	return (who & MASTER && master) || (who & CLONE && !master) || (who & CONNECTING && connecting) ||
	       (who & ACCEPTING_CLONE && !connecting && !master) || (who & ACCEPTING_MASTER && !connecting && master);
}

static const struct step *find_step(const struct proto_fsm *f, bool received, uint8_t type)
{
	if (!is_known(type))
		return NULL;
	for (size_t i = 0; i < STEPS_MAX; i++) {
		const struct step *s = &rows[type].steps[i];

		if (s->state == f->state && is_sender(f, received, s->who))
			return s;
	}
	return NULL;
}

static const char *state_name(enum proto_state state)
{
	switch (state) {
	case PROTO_S_HELLO:
		return "hello";
	case PROTO_S_GREETED:
		return "greeted";
	case PROTO_S_IDLE:
		return "idle";
	case PROTO_S_OFFERED:
		return "offered";
	case PROTO_S_TRANSFER:
		return "transfer";
	case PROTO_S_RESTORE:
		return "restore";
	case PROTO_S_ENDED:
		return "ended";
	case PROTO_S_REPORTS:
		return "reports";
	case PROTO_S_REPORTED:
		return "reported";
	case PROTO_S_DIRECTED:
		return "directed";
	case PROTO_S_ASKED:
		return "asked";
	case PROTO_S_JOIN:
		return "join";
	case PROTO_S_JOINING:
		return "joining";
	}
	return "unknown";
}

int proto_fsm_check(const struct proto_fsm *f, bool received, uint8_t type, size_t length)
{
	const struct row *r;

	if (!is_known(type))
		return err_set(KC_EPROTO, "message of unknown type %u", type);
	r = &rows[type];
	if (find_step(f, received, type) == NULL)
		return err_set(KC_EPROTO, "%s is not allowed in state %s", r->name, state_name(f->state));
	if (length > r->max)
		return err_set(KC_EPROTO, "%s of %zu bytes is over its limit of %zu", r->name, length, r->max);
	if (length < r->min)
		return err_set(KC_EPROTO, "%s of %zu bytes is under its minimum of %zu", r->name, length, r->min);
	return KC_OK;
}

void proto_fsm_step(struct proto_fsm *f, bool received, uint8_t type)
{
	const struct step *s = find_step(f, received, type);

	assert(s != NULL);
	f->state = s->next;
}

const char *proto_type_name(uint8_t type)
{
	return is_known(type) ? rows[type].name : "unknown";
}
