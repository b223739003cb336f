/* SPDX-License-Identifier: Apache-2.0 */
/* changes: before and after, compared. */
#include "changes.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/host.h"
#include "base/mem.h"
#include "base/member.h"
#include "keystore/trust.h"

#define TEXT_MAX 800 /* of an audit record */

static void add(json_t *list, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(json_t *list, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(list, json_string(text));
}

json_t *changes_trusted(const struct conf *c)
{
	struct trust_list list = { NULL, 0 };
	json_t *names = json_object();

	if (trust_list_load(&list, c->truststore_dir) < 0)
		return names;
	for (size_t i = 0; i < list.count; i++) {
		char *name = mem_xasprintf("%s (SHA-256 %.16s…)", list.entries[i].name, list.entries[i].info.sha256);

		json_object_set_new(names, name, json_true());
		free(name);
	}
	trust_list_fini(&list);
	return names;
}

void changes_names(json_t *list, const struct conf_list *names)
{
	for (size_t i = 0; i < names->count; i++)
		if (strncmp(names->items[i], CONF_CLIENT_IP, strlen(CONF_CLIENT_IP)) != 0)
			json_array_append_new(list, json_string(names->items[i]));
}

static void one_way(json_t *list, const struct conf *a, const struct conf *b, const char *what)
{
	for (size_t i = 0; i < b->clone_count; i++) {
		bool found = false;
		char *name;

		for (size_t k = 0; !found && k < a->clone_count; k++)
			found =
			    strcmp(a->clones[k].host, b->clones[i].host) == 0 && a->clones[k].port == b->clones[i].port;
		if (found)
			continue;
		name = host_port_format(b->clones[i].host, b->clones[i].port);
		add(list, "clone %.300s %s", name, what);
		free(name);
	}
}

void changes_clones(json_t *list, const struct conf *now, const struct conf *next)
{
	one_way(list, now, next, "added");
	one_way(list, next, now, "removed");
}

void changes_certificate(json_t *list, const json_t *now, const json_t *next)
{
	if (strcmp(member_text(now, "sha256"), member_text(next, "sha256")) != 0)
		add(list, "certificate %.200s (SHA-256 %.16s…)", member_text(next, "alias"),
		    member_text(next, "sha256"));
}

void changes_trust(json_t *list, const json_t *now, const json_t *next)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)next, name, value)
		if (json_object_get(now, name) == NULL)
			add(list, "trusted certificate %.300s added", name);
	json_object_foreach((json_t *)now, name, value)
		if (json_object_get(next, name) == NULL)
			add(list, "trusted certificate %.300s removed", name);
	(void)value;
}

static bool has_crl(const struct trust *t, const struct trust_crl *wanted)
{
	for (size_t i = 0; i < trust_crl_count(t); i++) {
		struct trust_crl c = trust_crl_at(t, i);

		if (strcmp(c.issuer, wanted->issuer) == 0 && strcmp(c.number, wanted->number) == 0 &&
		    c.this_update == wanted->this_update && c.revoked == wanted->revoked)
			return true;
	}
	return false;
}

void changes_crls(json_t *list, const struct trust *now, const struct trust *next)
{
	for (size_t i = 0; i < trust_crl_count(next); i++) {
		struct trust_crl c = trust_crl_at(next, i);

		if (!has_crl(now, &c))
			add(list, "revocation list of %.200s (%zu revoked)", c.issuer, c.revoked);
	}
	for (size_t i = 0; i < trust_crl_count(now); i++) {
		struct trust_crl c = trust_crl_at(now, i);

		if (!has_crl(next, &c))
			add(list, "revocation list of %.200s (%zu revoked) no longer in force", c.issuer, c.revoked);
	}
}

static void append(struct buf *text, const char *begin, const json_t *list)
{
	size_t i;
	json_t *e;

	json_array_foreach(list, i, e) {
		const char *item = json_string_value(e);

		if (buf_len(text) + strlen(item) + 40 > TEXT_MAX) {
			buf_put_str(text, ", …");
			return;
		}
		buf_putf(text, "%s%s", i > 0 ? ", " : begin, item);
	}
}

char *changes_text(const json_t *changed, const json_t *restart)
{
	struct buf text;
	char *copy;

	buf_init(&text, TEXT_MAX + 1);
	append(&text, "changed: ", changed);
	append(&text, buf_len(&text) > 0 ? "; needs a restart: " : "needs a restart: ", restart);
	copy = mem_xstrdup(buf_len(&text) > 0 ? buf_str(&text) : "nothing has changed");
	buf_fini(&text);
	return copy;
}
