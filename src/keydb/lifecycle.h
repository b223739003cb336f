/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lifecycle: kinds of keys, states of a key, and which state may follow which (NIST SP 800-57 part 1, as KMIP has it).
 *
 *     from \ to              active  deactivated  compromised  destroyed  destroyed-compromised
 *     pre-active              yes     -            yes          yes        -
 *     active                  -       yes          yes          -          -
 *     deactivated             -       -            yes          yes        -
 *     compromised             -       -            -            -          yes
 *     destroyed               -       -            -            -          yes
 *     destroyed-compromised   -       -            -            -          -
 *
 * Nothing comes back. The names below are what is stored in the database and shown.
 */
#ifndef KC_LIFECYCLE_H
#define KC_LIFECYCLE_H

#include <stdbool.h>

enum keydb_kind { KEYDB_SYMMETRIC, KEYDB_PRIVATE, KEYDB_CERTIFICATE, KEYDB_KIND_COUNT };

enum keydb_state {
	KEYDB_PRE_ACTIVE,
	KEYDB_ACTIVE,
	KEYDB_DEACTIVATED,
	KEYDB_COMPROMISED,
	KEYDB_DESTROYED,
	KEYDB_DESTROYED_COMPROMISED,
	KEYDB_STATE_COUNT
};

const char *keydb_kind_name(enum keydb_kind kind);
const char *keydb_state_name(enum keydb_state state); /* "pre-active" */

/* From a name, any case, '_' or nothing for '-'. KC_EUSAGE names the text and what is possible. */
int keydb_kind_parse(enum keydb_kind *kind, const char *text);
int keydb_state_parse(enum keydb_state *state, const char *text);

bool keydb_state_may_follow(enum keydb_state from, enum keydb_state to);
bool keydb_state_has_material(enum keydb_state state);

#endif
