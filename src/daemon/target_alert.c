/* SPDX-License-Identifier: Apache-2.0 */
/* target_alert: when a clone's trouble needs a person: at once where no retry cures it, else when the second try failed
 * too. It is over when the clone is current. */
#include <inttypes.h>
#include <stdio.h>

#include "base/err.h"
#include "daemon/alert.h"
#include "daemon/contact.h"
#include "master_int.h"

#define TRIES 2

static bool kind_of(enum alert_kind *kind, enum fleet_state s)
{
	switch (s) {
	case FLEET_FAILED:
		*kind = ALERT_CLONE_FAILED;
		return true;
	case FLEET_UNREACHABLE:
		*kind = ALERT_CLONE_UNREACHABLE;
		return true;
	case FLEET_REFUSED:
		*kind = ALERT_CLONE_REFUSED;
		return true;
	case FLEET_DIVERGED:
		*kind = ALERT_CLONE_DIVERGED;
		return true;
	default:
		return false;
	}
}

void target_alert(struct target *t, enum fleet_state to)
{
	const struct fleet_record *r = fleet_record(t->clone);
	struct daemon *d = t->master->d;
	enum alert_kind kind;
	char text[80];

	if (to == FLEET_CURRENT || to == FLEET_POSTPONED) {
		t->failures = 0;
		snprintf(text, sizeof(text), "%s, generation %" PRIu64, fleet_state_name(to),
		    to == FLEET_CURRENT ? r->applied : r->stored);
		alert_clear_clone(d, t->name, text);
	} else if (kind_of(&kind, to) && r->last_code != KC_EAGAIN && r->last_code != KC_ECANCELED) {
		t->failures++;
		if (t->failures >= TRIES || !err_retryable(r->last_code))
			alert_raise_clone(d, kind, t->name, r->last_error);
	}
}

void master_each_certificate(
    const struct master *m, void (*each)(const char *name, int64_t not_after, void *arg), void *arg)
{
	for (const struct target *t = m->targets; t != NULL; t = t->next)
		each(t->name, fleet_record(t->clone)->not_after, arg);
}

int master_add_contacts(const struct master *m, struct contacts *c, const char *name)
{
	const struct target *only = name[0] != '\0' ? target_find(m, name) : NULL;

	if (name[0] != '\0' && only == NULL)
		return err_set(KC_ENOENT, "%s is not a clone of this master", name);
	for (const struct target *t = m->targets; t != NULL; t = t->next) {
		const struct fleet_record *r = fleet_record(t->clone);
		const struct proto_hello *h = t->push != NULL ? push_peer_hello(t->push) : NULL;

		if (only != NULL && t != only)
			continue;
		if (h != NULL)
			contacts_add_open(c, r->host, r->port, h, push_clock_offset(t->push), push_cert(t->push));
		else
			contacts_add(c, r->host, r->port);
	}
	return KC_OK;
}
