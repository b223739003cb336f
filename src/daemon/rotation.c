/* SPDX-License-Identifier: Apache-2.0 */
/* rotation: its order, and its file. */
#include "rotation.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"

#define FILE_NAME "rotation.json"
#define FILE_MAX  (1024 * 1024)

static const char *const phase_names[] = { [ROTATION_NONE] = "none",
	[ROTATION_BEGIN] = "begin",
	[ROTATION_PREPARE] = "prepare",
	[ROTATION_SWITCH] = "switch",
	[ROTATION_MASTER] = "master",
	[ROTATION_VERIFY] = "verify",
	[ROTATION_REVOKE] = "revoke",
	[ROTATION_RETIRE] = "retire",
	[ROTATION_END] = "end",
	[ROTATION_BACK_MASTER] = "back-master",
	[ROTATION_BACK] = "back",
	[ROTATION_BACK_END] = "back-end" };

static const char *const step_names[] = { [ROTATION_TRUST] = "trust",
	[ROTATION_REQUEST] = "request",
	[ROTATION_INSTALL] = "install",
	[ROTATION_SWITCHING] = "switch",
	[ROTATION_VERIFYING] = "verify",
	[ROTATION_RETIRING] = "retire",
	[ROTATION_DONE] = "done",
	[ROTATION_GO_BACK] = "back",
	[ROTATION_WAIT] = "wait" };

static const char *const kind_names[] = { [ROTATION_UNKNOWN] = "unknown",
	[ROTATION_SITE] = "site",
	[ROTATION_OWN] = "own",
	[ROTATION_EXTERNAL] = "external" };

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

const char *rotation_phase_name(enum rotation_phase phase)
{
	return phase_names[phase];
}

const char *rotation_step_name(enum rotation_step step)
{
	return step_names[step];
}

const char *rotation_kind_name(enum rotation_kind kind)
{
	return kind_names[kind];
}

static void clone_fini(struct rotation_clone *c)
{
	json_decref(c->sans);
	memset(c, 0, sizeof(*c));
}

void rotation_fini(struct rotation *r)
{
	for (size_t i = 0; i < r->count; i++)
		clone_fini(&r->clones[i]);
	free(r->certificates);
	free(r->crl);
	json_decref(r->forget);
	json_decref(r->forget_new);
	memset(r, 0, sizeof(*r));
}

void rotation_set_aside(struct rotation *r, struct rotation *before)
{
	rotation_fini(before);
	*before = *r;
	*r = (struct rotation){ .serial = before->serial };
}

void rotation_bring_back(struct rotation *r, struct rotation *before)
{
	rotation_fini(r);
	*r = *before;
	*before = (struct rotation){ .serial = 0 };
}

/* --- the order --- */

/* The phase in which a step may be taken, and from then on. */
static enum rotation_phase phase_of(enum rotation_step step)
{
	switch (step) {
	case ROTATION_TRUST:
	case ROTATION_REQUEST:
	case ROTATION_INSTALL:
		return ROTATION_PREPARE;
	case ROTATION_SWITCHING:
		return ROTATION_SWITCH;
	case ROTATION_VERIFYING:
		return ROTATION_VERIFY;
	default:
		return ROTATION_RETIRE;
	}
}

enum rotation_step rotation_due(const struct rotation *r, size_t i)
{
	const struct rotation_clone *c = &r->clones[i];

	if (r->phase == ROTATION_BACK)
		return c->back ? ROTATION_DONE : ROTATION_GO_BACK;
	if (r->phase < ROTATION_PREPARE || r->phase > ROTATION_RETIRE)
		return ROTATION_WAIT;
	if (c->next == ROTATION_DONE)
		return ROTATION_DONE;
	return phase_of(c->next) <= r->phase ? c->next : ROTATION_WAIT;
}

static bool needs(const struct rotation_clone *c, enum rotation_step step)
{
	switch (step) {
	case ROTATION_REQUEST:
		return c->kind == ROTATION_OWN;
	case ROTATION_INSTALL:
	case ROTATION_SWITCHING:
		return c->kind != ROTATION_EXTERNAL;
	default:
		return true;
	}
}

static void become(struct rotation_clone *c, enum rotation_step next)
{
	c->next = next;
	c->since = time(NULL);
	c->error[0] = '\0';
}

void rotation_did(struct rotation *r, size_t i, enum rotation_step step)
{
	struct rotation_clone *c = &r->clones[i];
	enum rotation_step next = step + 1;

	if (step == ROTATION_GO_BACK) {
		c->back = true;
		c->error[0] = '\0';
		return;
	}
	while (next < ROTATION_DONE && !needs(c, next))
		next++;
	become(c, next);
}

void rotation_again(struct rotation *r, size_t i, enum rotation_step step)
{
	r->clones[i].next = step;
}

static bool all_past(const struct rotation *r, enum rotation_phase phase)
{
	for (size_t i = 0; i < r->count; i++) {
		const struct rotation_clone *c = &r->clones[i];

		if (r->phase == ROTATION_BACK ? !c->back : c->next != ROTATION_DONE && phase_of(c->next) <= phase)
			return false;
	}
	return true;
}

void rotation_forward(struct rotation *r)
{
	if (r->phase == ROTATION_END || r->phase == ROTATION_BACK_END) {
		r->undone = r->phase == ROTATION_BACK_END;
		r->ended = time(NULL);
		r->phase = ROTATION_NONE;
	} else {
		r->phase++;
	}
	for (size_t i = 0; i < r->count; i++)
		r->clones[i].since = time(NULL);
}

bool rotation_advance(struct rotation *r)
{
	switch (r->phase) {
	case ROTATION_PREPARE:
	case ROTATION_SWITCH:
	case ROTATION_VERIFY:
	case ROTATION_RETIRE:
	case ROTATION_BACK:
		if (!all_past(r, r->phase))
			return false;
		rotation_forward(r);
		return true;
	default:
		return false;
	}
}

int rotation_undo(struct rotation *r)
{
	if (r->phase == ROTATION_NONE)
		return err_set(KC_EUSAGE, "no rotation of certificates is under way");
	if (r->phase >= ROTATION_BACK_MASTER)
		return KC_OK;
	if (r->phase == ROTATION_BEGIN)
		return err_set(KC_EBUSY, "it begins right now: try again");
	if (r->phase >= ROTATION_REVOKE)
		return err_set(KC_EBUSY, "the old certificates are being retired already: rotate again, to another");
	r->phase = ROTATION_BACK_MASTER;
	/* Who was told nothing, as far as is known, has nothing to take back. */
	for (size_t i = 0; i < r->count; i++) {
		r->clones[i].back = r->clones[i].next == ROTATION_TRUST;
		r->clones[i].error[0] = '\0';
	}
	return KC_OK;
}

/* --- clones --- */

struct rotation_clone *rotation_find(struct rotation *r, const char *name)
{
	for (size_t i = 0; i < r->count; i++)
		if (strcmp(r->clones[i].name, name) == 0)
			return &r->clones[i];
	return NULL;
}

static bool is_among(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

bool rotation_set_clones(struct rotation *r, const char *const *names, size_t count)
{
	bool changed = false;

	for (size_t i = 0; i < r->count;) {
		if (is_among(names, count, r->clones[i].name)) {
			i++;
			continue;
		}
		clone_fini(&r->clones[i]);
		memmove(&r->clones[i], &r->clones[i + 1], (r->count - i - 1) * sizeof(r->clones[0]));
		memset(&r->clones[--r->count], 0, sizeof(r->clones[0]));
		changed = true;
	}
	for (size_t i = 0; i < count && r->count < ROTATION_CLONES; i++) {
		struct rotation_clone *c = &r->clones[r->count];

		if (rotation_find(r, names[i]) != NULL)
			continue;
		STR_COPY(c->name, names[i]);
		c->since = time(NULL);
		c->back = r->phase >= ROTATION_BACK_MASTER;
		r->count++;
		changed = true;
	}
	return changed;
}

#define DATE_LEN (ROTATION_DAY - 1)

void rotation_day(char day[ROTATION_DAY], int64_t t)
{
	time_t at = (time_t)t;
	struct tm tm;

	if (gmtime_r(&at, &tm) == NULL || strftime(day, ROTATION_DAY, "%Y%m%d", &tm) == 0)
		memcpy(day, "00000000", ROTATION_DAY);
}

void rotation_alias(char alias[ROTATION_ALIAS], const char *old, const char *suffix)
{
	const char *dash = strrchr(old, '-');
	size_t n = strlen(old);

	if (dash != NULL && strspn(dash + 1, "0123456789") == DATE_LEN &&
	    (dash[1 + DATE_LEN] == '\0' || dash[1 + DATE_LEN] == '.'))
		n = (size_t)(dash - old);
	snprintf(alias, ROTATION_ALIAS, "%.*s-%.12s", n > 50 ? 50 : (int)n, old, suffix);
}

bool rotation_has_external(const struct rotation *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (r->clones[i].kind == ROTATION_EXTERNAL)
			return true;
	return false;
}

/* --- the file --- */

static json_t *clone_json(const struct rotation_clone *c)
{
	return json_pack("{s:s, s:s, s:s, s:b, s:s, s:s, s:s, s:s, s:s, s:O?, s:I, s:s}", "name", c->name, "kind",
	    kind_names[c->kind], "next", step_names[c->next], "back", (int)c->back, "alias", c->alias, "new_alias",
	    c->new_alias, "sha256", c->sha256, "serial", c->serial, "cn", c->cn, "sans", c->sans, "since",
	    (json_int_t)c->since, "error", c->error);
}

static json_t *whole_json(const struct rotation *r)
{
	json_t *clones = json_array(), *j;

	for (size_t i = 0; i < r->count; i++)
		json_array_append_new(clones, clone_json(&r->clones[i]));
	j = json_pack("{s:i, s:s, s:s, s:I, s:I, s:b, s:b, s:b, s:s, s:i, s:I, s:b, s:o}", "format", 1, "phase",
	    phase_names[r->phase], "id", r->id, "began", (json_int_t)r->began, "serial", (json_int_t)r->serial, "make",
	    (int)r->make, "authority", (int)r->authority, "own", (int)r->own, "key_type", r->key_type, "days",
	    (int)r->days, "ended", (json_int_t)r->ended, "undone", (int)r->undone, "clones", clones);
	json_object_update_new(
	    j, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s?, s:s?, s:O?, s:O?}", "old_alias",
		   r->old_alias, "new_alias", r->new_alias, "old_sha256", r->old_sha256, "new_sha256", r->new_sha256,
		   "old_spki", r->old_spki, "new_spki", r->new_spki, "old_serial", r->old_serial, "add_cn", r->add_cn,
		   "drop_cn", r->drop_cn, "certificates", r->certificates, "crl", r->crl, "forget", r->forget,
		   "forget_new", r->forget_new));
	return j;
}

static int index_of(const char *const *names, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(names[i], name) == 0)
			return (int)i;
	return 0;
}

static void read_clone(struct rotation_clone *c, const json_t *j)
{
	json_t *sans = json_object_get(j, "sans");

	STR_COPY(c->name, member_text(j, "name"));
	STR_COPY(c->alias, member_text(j, "alias"));
	STR_COPY(c->new_alias, member_text(j, "new_alias"));
	STR_COPY(c->sha256, member_text(j, "sha256"));
	STR_COPY(c->serial, member_text(j, "serial"));
	STR_COPY(c->cn, member_text(j, "cn"));
	STR_COPY(c->error, member_text(j, "error"));
	c->kind = (enum rotation_kind)index_of(kind_names, COUNT(kind_names), member_text(j, "kind"));
	c->next = (enum rotation_step)index_of(step_names, COUNT(step_names), member_text(j, "next"));
	c->back = json_is_true(json_object_get(j, "back"));
	c->since = member_int(j, "since");
	c->sans = json_is_array(sans) ? json_incref(sans) : NULL;
}

static json_t *list_of(const json_t *j, const char *name)
{
	json_t *list = json_object_get(j, name);

	return json_is_array(list) ? json_incref(list) : NULL;
}

static void read_whole(struct rotation *r, const json_t *j)
{
	const json_t *clones = json_object_get(j, "clones");
	const char *pem = json_string_value(json_object_get(j, "certificates"));
	const char *crl = json_string_value(json_object_get(j, "crl"));

	r->phase = (enum rotation_phase)index_of(phase_names, COUNT(phase_names), member_text(j, "phase"));
	STR_COPY(r->id, member_text(j, "id"));
	r->began = member_int(j, "began");
	r->serial = member_u64(j, "serial");
	r->make = json_is_true(json_object_get(j, "make"));
	r->authority = json_is_true(json_object_get(j, "authority"));
	r->own = json_is_true(json_object_get(j, "own"));
	r->undone = json_is_true(json_object_get(j, "undone"));
	r->ended = member_int(j, "ended");
	r->days = (unsigned)member_u64(j, "days");
	STR_COPY(r->key_type, member_text(j, "key_type"));
	STR_COPY(r->old_alias, member_text(j, "old_alias"));
	STR_COPY(r->new_alias, member_text(j, "new_alias"));
	STR_COPY(r->old_sha256, member_text(j, "old_sha256"));
	STR_COPY(r->new_sha256, member_text(j, "new_sha256"));
	STR_COPY(r->old_spki, member_text(j, "old_spki"));
	STR_COPY(r->new_spki, member_text(j, "new_spki"));
	STR_COPY(r->old_serial, member_text(j, "old_serial"));
	STR_COPY(r->add_cn, member_text(j, "add_cn"));
	STR_COPY(r->drop_cn, member_text(j, "drop_cn"));
	r->certificates = pem != NULL ? mem_xstrdup(pem) : NULL;
	r->crl = crl != NULL ? mem_xstrdup(crl) : NULL;
	r->forget = list_of(j, "forget");
	r->forget_new = list_of(j, "forget_new");
	for (size_t i = 0; i < json_array_size(clones) && r->count < ROTATION_CLONES; i++)
		read_clone(&r->clones[r->count++], json_array_get(clones, i));
}

int rotation_load(struct rotation *r, const char *state_dir)
{
	char *path = file_join(state_dir, FILE_NAME);
	json_t *j = NULL;
	struct buf b;
	int rc;

	memset(r, 0, sizeof(*r));
	buf_init(&b, FILE_MAX);
	rc = file_read(&b, path);
	if (rc == KC_OK)
		j = json_loadb((const char *)buf_data(&b), buf_len(&b), 0, NULL);
	if (rc == KC_OK && !json_is_object(j))
		rc = err_set(KC_EFORMAT, "%s: damaged", path);
	if (rc == KC_OK)
		read_whole(r, j);
	json_decref(j);
	buf_fini(&b);
	free(path);
	return rc == KC_ENOENT ? KC_OK : rc;
}

int rotation_save(const struct rotation *r, const char *state_dir)
{
	char *path = file_join(state_dir, FILE_NAME), *text;
	json_t *j = whole_json(r);
	int rc;

	text = json_dumps(j, JSON_INDENT(1));
	rc = file_replace(path, text, strlen(text), 0600);
	free(text);
	json_decref(j);
	free(path);
	return rc;
}

json_t *rotation_json(const struct rotation *r)
{
	json_t *clones = json_array();

	if (r->id[0] == '\0') {
		json_decref(clones);
		return json_null();
	}
	for (size_t i = 0; i < r->count; i++) {
		const struct rotation_clone *c = &r->clones[i];
		enum rotation_step due = rotation_due(r, i);

		json_array_append_new(
		    clones, json_pack("{s:s, s:s, s:s, s:b, s:o, s:s?}", "clone", c->name, "kind", kind_names[c->kind],
				"step", step_names[due == ROTATION_WAIT ? c->next : due], "waits",
				(int)(due != ROTATION_DONE && due != ROTATION_WAIT), "since", member_time(c->since),
				"error", c->error[0] != '\0' ? c->error : NULL));
	}
	return json_pack("{s:s, s:b, s:s, s:s, s:s, s:b, s:o, s:o, s:b, s:o}", "id", r->id, "active",
	    (int)(r->phase != ROTATION_NONE), "phase", phase_names[r->phase], "from", r->old_alias, "to", r->new_alias,
	    "new_authority", (int)r->authority, "began", member_time(r->began), "ended", member_time(r->ended),
	    "undone", (int)r->undone, "clones", clones);
}
