/* SPDX-License-Identifier: Apache-2.0 */
/* lifecycle: the tables of kinds, states and allowed transitions. */
#include "lifecycle.h"

#include <ctype.h>

#include "base/err.h"

#define BIT(state) (1u << (state))

static const char *const kind_names[KEYDB_KIND_COUNT] = {
	[KEYDB_SYMMETRIC] = "symmetric",
	[KEYDB_PRIVATE] = "private",
	[KEYDB_CERTIFICATE] = "certificate",
};

static const struct {
	const char *name;
	unsigned next;
	bool material;
} states[KEYDB_STATE_COUNT] = {
	[KEYDB_PRE_ACTIVE] = { "pre-active", BIT(KEYDB_ACTIVE) | BIT(KEYDB_COMPROMISED) | BIT(KEYDB_DESTROYED), true },
	[KEYDB_ACTIVE] = { "active", BIT(KEYDB_DEACTIVATED) | BIT(KEYDB_COMPROMISED), true },
	[KEYDB_DEACTIVATED] = { "deactivated", BIT(KEYDB_COMPROMISED) | BIT(KEYDB_DESTROYED), true },
	[KEYDB_COMPROMISED] = { "compromised", BIT(KEYDB_DESTROYED_COMPROMISED), true },
	[KEYDB_DESTROYED] = { "destroyed", BIT(KEYDB_DESTROYED_COMPROMISED), false },
	[KEYDB_DESTROYED_COMPROMISED] = { "destroyed-compromised", 0, false },
};

const char *keydb_kind_name(enum keydb_kind kind)
{
	return kind_names[kind];
}

const char *keydb_state_name(enum keydb_state state)
{
	return states[state].name;
}

/* Equal but for case, '-' and '_'. */
static bool same_name(const char *a, const char *b)
{
	for (;; a++, b++) {
		while (*a == '-' || *a == '_')
			a++;
		while (*b == '-' || *b == '_')
			b++;
		if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
			return false;
		if (*a == '\0')
			return true;
	}
}

int keydb_kind_parse(enum keydb_kind *kind, const char *text)
{
	for (int i = 0; i < KEYDB_KIND_COUNT; i++)
		if (same_name(text, kind_names[i])) {
			*kind = (enum keydb_kind)i;
			return KC_OK;
		}
	return err_set(KC_EUSAGE, "%s: no kind of key: symmetric, private or certificate", text);
}

int keydb_state_parse(enum keydb_state *state, const char *text)
{
	for (int i = 0; i < KEYDB_STATE_COUNT; i++)
		if (same_name(text, states[i].name)) {
			*state = (enum keydb_state)i;
			return KC_OK;
		}
	return err_set(KC_EUSAGE,
	    "%s: no state of a key: pre-active, active, deactivated, compromised, destroyed or destroyed-compromised",
	    text);
}

bool keydb_state_may_follow(enum keydb_state from, enum keydb_state to)
{
	return (states[from].next & BIT(to)) != 0;
}

bool keydb_state_has_material(enum keydb_state state)
{
	return states[state].material;
}
