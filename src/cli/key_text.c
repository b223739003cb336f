/* SPDX-License-Identifier: Apache-2.0 */
/* key_text: a key's record as text and as JSON. */
#include "key_text.h"

#include "base/mem.h"
#include "base/member.h"

static json_t *json_name(const char *text)
{
	return text[0] == '\0' ? json_null() : json_string(text);
}

json_t *key_text_json(const struct keydb_key *key)
{
	json_t *o = json_object();

	json_object_set_new(o, "uuid", json_string(key->uuid));
	json_object_set_new(o, "alias", json_name(key->alias));
	json_object_set_new(o, "group", json_name(key->group));
	json_object_set_new(o, "kind", json_string(keydb_kind_name(key->kind)));
	json_object_set_new(o, "algorithm", json_string(key->algorithm));
	json_object_set_new(o, "state", json_string(keydb_state_name(key->state)));
	json_object_set_new(o, "held", json_boolean(key->held));
	json_object_set_new(o, "created", member_time(key->created));
	json_object_set_new(o, "activated", member_time(key->activated));
	json_object_set_new(o, "deactivated", member_time(key->deactivated));
	json_object_set_new(o, "compromised", member_time(key->compromised));
	json_object_set_new(o, "destroyed", member_time(key->destroyed));
	json_object_set_new(o, "master_key", key->master_key == 0 ? json_null() : json_integer(key->master_key));
	return o;
}

char *key_text_name(const struct keydb_key *key)
{
	return key->alias[0] == '\0' ? mem_xstrdup(key->uuid) : mem_xasprintf("%s (%s)", key->uuid, key->alias);
}
