/* SPDX-License-Identifier: Apache-2.0 */
/* by_hand: restores that an operator orders. */
#include "by_hand.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backup/create.h"
#include "backup/merge.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

struct running {
	const struct by_hand *b;
	char *safety; /* path of the safety backup */
};

static bool is_related(const struct by_hand *b, const struct manifest *m)
{
	static const struct lineage_list none = { 0 };
	const struct lineage_list *own = b->ancestors != NULL ? b->ancestors : &none;

	if (strcmp(m->lineage, b->lineage) == 0 || lineage_find(own, m->lineage) != NULL ||
	    lineage_find(&m->ancestors, b->lineage) != NULL)
		return true;
	/* Another branch of the same history: its rows may be carried over, its whole is another's. */
	for (size_t i = 0; b->merge && i < m->ancestors.count; i++)
		if (lineage_find(own, m->ancestors.of[i].lineage) != NULL)
			return true;
	return false;
}

/* Rows of a machine that has no lineage yet are anybody's; all others have one. */
static int accept(void *arg, const struct manifest *m)
{
	const struct by_hand *b = arg;

	if (b->force || b->lineage == NULL || b->lineage[0] == '\0' || is_related(b, m))
		return KC_OK;
	if (b->merge && strcmp(m->lineage, CREATE_NO_LINEAGE) == 0)
		return KC_OK; /* a safety backup: rows that a restore discarded, on their way back */
	return err_set(KC_EFOREIGN, "belongs to lineage %s, not to %s", m->lineage, b->lineage);
}

int by_hand_pins(struct sign_pins *pins, const struct secrets *s)
{
	int rc = sign_pins_load(pins, s->signers);

	if (rc < 0)
		return rc;
	pins->pins = mem_xrealloc(pins->pins, (pins->count + 1) * sizeof(*pins->pins));
	pins->pins[pins->count++] =
	    (struct sign_pin){ .pub = *sign_key_public(s->signing), .comment = mem_xstrdup("this machine") };
	return KC_OK;
}

json_t *by_hand_rows(const struct diverged_list *l)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(
		    rows, json_pack("{s:s, s:s, s:s}", "table", l->rows[i].table, "key", l->rows[i].key, "only",
			      !l->rows[i].in_live  ? "master"
			      : l->rows[i].changed ? "changed"
						   : "here"));
	return rows;
}

/* --- restore --- */

static int on_safety(void *arg)
{
	struct running *x = arg;

	free(x->safety);
	x->safety = NULL;
	return x->b->safety(x->b->arg, &x->safety);
}

static int on_intent(void *arg, const struct restore_intent *i)
{
	struct running *x = arg;

	return x->b->intent != NULL ? x->b->intent(x->b->arg, i) : KC_OK;
}

static int on_phase(void *arg, enum restore_phase phase, unsigned percent)
{
	struct running *x = arg;

	return x->b->progress(x->b->arg, restore_phase_name(phase), percent);
}

static void set_restored(json_t *j, const struct running *x, const struct restore_result *r, int rc)
{
	uint64_t vanish = r->diverged.live_only;

	json_object_set_new(j, "restored", json_boolean(rc == KC_OK));
	json_object_set_new(j, "database", json_string(x->b->target));
	json_object_set_new(j, "lineage", json_string(r->lineage));
	json_object_set_new(j, "generation", json_integer((json_int_t)r->generation));
	if (rc == KC_EDIVERGED)
		json_object_set_new(j, "would_vanish", json_integer((json_int_t)vanish));
	if (rc == KC_EDIVERGED)
		json_object_set_new(j, "rows", by_hand_rows(&r->diverged));
	if (rc < 0)
		return;
	json_object_set_new(j, "same", json_boolean(r->same));
	json_object_set_new(j, "ancestors", lineage_json(&r->ancestors));
	json_object_set_new(j, "rows", json_integer((json_int_t)r->rows));
	json_object_set_new(j, "digest", json_string(r->content));
	json_object_set_new(j, "schema", json_string(r->schema));
	json_object_set_new(j, "files", json_string(r->files));
	json_object_set_new(j, "discarded", json_integer((json_int_t)vanish));
	json_object_set_new(j, "safety_backup", x->safety != NULL ? json_string(x->safety) : json_null());
	if (r->warning != NULL)
		json_object_set_new(j, "warning", json_string(r->warning));
}

static int run_restore(json_t *result, struct running *x)
{
	const struct by_hand *b = x->b;
	struct restore_options o = { .image = b->image,
		.live = b->live,
		.discard = b->discard,
		.safety = on_safety,
		.master_key_file = b->master_key_file,
		.companions = b->companions,
		.files_beside = b->files_beside,
		.intent = on_intent,
		.progress = on_phase,
		.arg = x };
	struct restore_result r;
	unsigned long long n;
	int rc;

	o.image.accept = accept;
	o.image.accept_arg = (void *)b;
	rc = backup_restore(&r, &o);
	n = r.diverged.live_only;
	set_restored(result, x, &r, rc);
	restore_result_fini(&r);
	if (rc == KC_EDIVERGED)
		rc = err_set(
		    KC_EPERM, "%s: %llu row%s would vanish, which needs --discard", b->target, n, n == 1 ? "" : "s");
	return rc;
}

/* --- merge --- */

static int on_merge_phase(void *arg, const char *phase, unsigned percent)
{
	struct running *x = arg;

	return x->b->progress(x->b->arg, phase, percent);
}

static void set_merged(json_t *j, const struct running *x, const struct merge_result *r, int rc)
{
	json_t *tables = json_array(), *rows = json_array();

	for (size_t i = 0; i < r->n_tables; i++)
		json_array_append_new(
		    tables, json_pack("{s:s, s:I, s:I, s:I, s:I}", "table", r->tables[i].name, "added",
				(json_int_t)r->tables[i].added, "same", (json_int_t)r->tables[i].same, "differ",
				(json_int_t)r->tables[i].differ, "refused", (json_int_t)r->tables[i].refused));
	for (size_t i = 0; i < r->n_rows; i++)
		json_array_append_new(rows, json_pack("{s:s, s:s, s:s?}", "table", r->rows[i].table, "key",
						r->rows[i].key, "why", r->rows[i].why));
	json_object_set_new(j, "merged", json_boolean(rc == KC_OK));
	json_object_set_new(j, "database", json_string(x->b->target));
	json_object_set_new(j, "lineage", json_string(r->lineage));
	json_object_set_new(j, "generation", json_integer((json_int_t)r->generation));
	json_object_set_new(j, "added", json_integer(rc == KC_OK ? (json_int_t)r->added : 0));
	json_object_set_new(j, "differ", json_integer((json_int_t)r->differ));
	json_object_set_new(j, "refused", json_integer((json_int_t)r->refused));
	json_object_set_new(j, "tables", tables);
	json_object_set_new(j, "rows", rows);
}

static int run_merge(json_t *result, struct running *x)
{
	const struct by_hand *b = x->b;
	struct merge_options o = { .image = b->image,
		.live = b->live,
		.master_key_file = b->master_key_file,
		.progress = on_merge_phase,
		.arg = x };
	struct merge_result r;
	int rc;

	o.image.accept = accept;
	o.image.accept_arg = (void *)b;
	rc = backup_merge(&r, &o);
	set_merged(result, x, &r, rc);
	merge_result_fini(&r);
	return rc;
}

int by_hand_run(json_t *result, const struct by_hand *b)
{
	struct running x = { .b = b };
	int rc = b->merge ? run_merge(result, &x) : run_restore(result, &x);

	free(x.safety);
	return rc;
}

/* --- state --- */

void by_hand_intent(
    struct state_intent *i, const struct state_self *self, const struct restore_intent *r, const char *file)
{
	bool outside = strcmp(r->lineage, CREATE_NO_LINEAGE) == 0;

	memset(i, 0, sizeof(*i));
	STR_COPY(i->lineage, outside ? self->lineage : r->lineage);
	if (outside)
		STR_COPY(i->ancestors, self->ancestors);
	else
		lineage_format(i->ancestors, r->ancestors);
	i->generation = outside ? 0 : r->generation;
	STR_COPY(i->old_digest, r->old_content);
	STR_COPY(i->digest, r->content);
	STR_COPY(i->schema, r->schema);
	STR_COPY(i->files, r->files != NULL ? r->files : "");
	STR_COPY(i->own_digest, r->own);
	STR_COPY(i->backup, file);
	i->by_hand = true;
}

void by_hand_local_tables(char *text, size_t size, const struct conf *c)
{
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < c->local_tables.count && n < size; i++)
		n += (size_t)snprintf(text + n, size - n, "%s%s", i > 0 ? ";" : "", c->local_tables.items[i]);
}

static int take_on_clone(struct state_self *self, struct state *s, const struct state_intent *i, const struct conf *c)
{
	by_hand_local_tables(self->own_tables, sizeof(self->own_tables), c);
	STR_COPY(self->own_digest, i->own_digest);
	STR_COPY(self->lineage, i->lineage);
	STR_COPY(self->ancestors, i->ancestors);
	STR_COPY(self->digest, i->digest);
	STR_COPY(self->schema, i->schema);
	STR_COPY(self->files, i->files);
	STR_COPY(self->backup, i->backup);
	self->generation = self->complete = i->generation > 0 ? i->generation - 1 : 0;
	self->applied_at = (int64_t)time(NULL);
	self->by_hand = true;
	self->diverged = self->discard = false;
	self->diverged_detail[0] = '\0';
	return state_put_applied(s, self);
}

int by_hand_applied(struct state_self *self, struct state *s, const struct state_intent *i, const struct conf *c)
{
	int rc;

	if (c->role == CONF_CLONE)
		return take_on_clone(self, s, i, c);
	rc = state_begin(s);
	if (rc == KC_OK)
		rc = state_new_child(s, i->lineage, i->generation);
	if (rc == KC_OK)
		rc = state_clear_intent(s);
	if (rc == KC_OK)
		rc = state_commit(s);
	return rc == KC_OK ? state_get_self(self, s) : rc;
}
