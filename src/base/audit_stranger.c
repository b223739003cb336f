/* SPDX-License-Identifier: Apache-2.0 */
/* audit_stranger: whoever knocks at a port a thousand times a second must not fill the disk with audit records. */
#include "audit_stranger.h"

#include <stdio.h>
#include <string.h>

#include "err.h"

static int write_sum(struct stranger *t, struct audit *a)
{
	struct audit_record r = { .event = AUDIT_PEER_REFUSED, .outcome = AUDIT_FAILURE };
	char detail[sizeof(t->reason) + 80];
	int rc = KC_OK;

	if (t->more > 0) {
		snprintf(
		    detail, sizeof(detail), "%llu more within a minute: %s", (unsigned long long)t->more, t->reason);
		r.peer = t->address[0] != '\0' ? t->address : NULL;
		r.code = t->code;
		r.detail = detail;
		rc = audit_write(a, &r);
	}
	if (rc == KC_OK)
		memset(t, 0, sizeof(*t)); /* else the count waits for a better time */
	return rc;
}

static bool over(const struct stranger *t, uint64_t now_ms)
{
	return t->used && now_ms - t->since_ms >= STRANGER_MINUTE_MS;
}

int strangers_flush(struct strangers *s, struct audit *a, uint64_t now_ms, bool force)
{
	int rc = KC_OK;

	for (size_t i = 0; i < STRANGER_MAX && rc == KC_OK; i++)
		if (s->table[i].used && (force || over(&s->table[i], now_ms)))
			rc = write_sum(&s->table[i], a);
	if (rc == KC_OK && s->others.used && (force || over(&s->others, now_ms)))
		rc = write_sum(&s->others, a);
	return rc;
}

static struct stranger *find(struct strangers *s, const char *address, const char *code)
{
	struct stranger *unused = NULL;

	for (size_t i = 0; i < STRANGER_MAX; i++) {
		struct stranger *t = &s->table[i];

		if (t->used && strncmp(t->address, address, sizeof(t->address) - 1) == 0 && strcmp(t->code, code) == 0)
			return t;
		if (!t->used && unused == NULL)
			unused = t;
	}
	return unused;
}

int strangers_note(
    struct strangers *s, struct audit *a, uint64_t now_ms, const char *address, const char *code, const char *reason)
{
	struct stranger *t;
	int rc = strangers_flush(s, a, now_ms, false);

	if (rc < 0)
		return rc;
	t = find(s, address, code);
	if (t == NULL) {
		t = &s->others;
		if (!t->used)
			t->since_ms = now_ms;
		t->used = true;
		t->more++;
		snprintf(t->code, sizeof(t->code), "%s", code);
		snprintf(t->reason, sizeof(t->reason), "from further addresses, the last from %s", address);
		return KC_OK;
	}
	if (t->used) {
		t->more++;
		return KC_OK;
	}
	rc = audit_write(a, &(struct audit_record){ .event = AUDIT_PEER_REFUSED,
				.outcome = AUDIT_FAILURE,
				.peer = address,
				.code = code,
				.detail = reason });
	if (rc < 0)
		return rc;
	snprintf(t->address, sizeof(t->address), "%s", address);
	snprintf(t->code, sizeof(t->code), "%s", code);
	snprintf(t->reason, sizeof(t->reason), "%s", reason);
	t->since_ms = now_ms;
	t->used = true;
	return KC_OK;
}
