/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_verify: walks the chain from its beginning and names the first line that does not fit.
 *
 * Each record is held against what the one before says of itself: its number, and its hash. A line that is no record
 * is accepted only where the next one is the `audit.repair` that closed it after a crash. What cannot be found here:
 * a chain cut at its end or forged as a whole, unless a later head is known from elsewhere (`newest`).
 */
#include "audit_read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit_chain.h"
#include "err.h"
#include "mem.h"

struct place {
	char *file;
	unsigned long line;
};

struct walk {
	struct audit_verdict *v;
	const struct audit_point *start, *newest;
	uint64_t seq; /* of the last record that fits */
	char hash[AUDIT_HASH_SIZE];
	bool any;	   /* there was one in the log */
	bool torn;	   /* the last line was not a record: the next one must repair it */
	struct place last; /* of the last line */
	/* the last record's prev is wrong: the next one shows whether itself or the one before was edited */
	bool doubt;
	struct place suspect;
};

static bool known(const struct audit_point *p)
{
	return p != NULL && p->hash[0] != '\0';
}

static void place_set(struct place *p, const char *file, unsigned long line)
{
	if (p->file == NULL || strcmp(p->file, file) != 0) {
		free(p->file);
		p->file = mem_xstrdup(file);
	}
	p->line = line;
}

static int found(struct walk *w, enum audit_problem problem, const char *file, unsigned long line, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
static int found(struct walk *w, enum audit_problem problem, const char *file, unsigned long line, const char *fmt, ...)
{
	va_list ap;

	w->v->problem = problem;
	w->v->file = mem_xstrdup(file);
	w->v->line = line;
	va_start(ap, fmt);
	vsnprintf(w->v->text, sizeof(w->v->text), fmt, ap);
	va_end(ap);
	return err_set(KC_EFOUND, "%s:%lu: %s: %s", file, line, audit_problem_name(problem), w->v->text);
}

static int found_edited(struct walk *w, const struct place *p)
{
	return found(w, AUDIT_EDITED, p->file, p->line, "the record is not the one that the next record followed");
}

/* A record cut short begins as a record does; after a power failure its bytes may also be zeros. */
static bool looks_torn(const struct walk *w, const struct audit_line *line)
{
	char begin[48];
	size_t n = (size_t)snprintf(begin, sizeof(begin), "{\"seq\":%" PRIu64 ",\"time\":\"", w->seq + 1);

	if (line->len > 0 && line->text[0] == '\0') {
		for (size_t i = 0; i < line->len; i++)
			if (line->text[i] != '\0')
				return false;
		return true;
	}
	return memcmp(line->text, begin, line->len < n ? line->len : n) == 0;
}

static int take_non_record(struct walk *w, const struct audit_line *line)
{
	if (w->doubt)
		return found_edited(w, &w->suspect);
	if (w->torn || !line->terminated || !looks_torn(w, line))
		return found(w, AUDIT_EDITED, line->file, line->number, "not a record");
	w->torn = true;
	audit_chain_hash(w->hash, line->text, line->len);
	return KC_OK;
}

static bool closes_torn(const json_t *o)
{
	const char *event = json_string_value(json_object_get(o, "event"));

	return event != NULL && strcmp(event, audit_event_name(AUDIT_AUDIT_REPAIR)) == 0;
}

/* Numbers do not follow. A missing record that comes later was moved, not removed. */
static int out_of_order(struct walk *w, struct audit_reader *r, const struct audit_line *line, uint64_t seq)
{
	uint64_t missing = w->seq + 1, s;
	char *file = mem_xstrdup(line->file);
	unsigned long number = line->number;
	struct audit_line later;
	bool moved = false;
	int rc;

	while (!moved && seq > missing && audit_reader_next(r, &later) > 0) {
		s = later.json != NULL ? (uint64_t)json_integer_value(json_object_get(later.json, "seq")) : 0;
		moved = s == missing;
	}
	if (seq < missing || moved)
		rc = found(
		    w, AUDIT_REORDERED, file, number, "record %" PRIu64 " where %" PRIu64 " belongs", seq, missing);
	else if (seq == missing + 1)
		rc = found(w, AUDIT_REMOVED, file, number, "record %" PRIu64 " is missing before it", missing);
	else
		rc = found(w, AUDIT_REMOVED, file, number, "records %" PRIu64 " to %" PRIu64 " are missing before it",
		    missing, seq - 1);
	free(file);
	return rc;
}

/* The oldest record there is. Files that the rotation had remembered and not yet deleted may be there still. */
static bool may_begin(const struct walk *w, uint64_t seq)
{
	return !w->any && !w->torn && known(w->start) && seq <= w->start->seq;
}

static int check_points(struct walk *w, const struct audit_line *line)
{
	const struct audit_point *points[] = { w->start, w->newest };

	for (size_t i = 0; i < 2; i++)
		if (known(points[i]) && points[i]->seq == w->seq && strcmp(points[i]->hash, w->hash) != 0)
			return found(w, AUDIT_EDITED, line->file, line->number,
			    "record %" PRIu64 " is not the one that was remembered", w->seq);
	return KC_OK;
}

static int take_record(struct walk *w, struct audit_reader *r, const struct audit_line *line)
{
	uint64_t seq = (uint64_t)json_integer_value(json_object_get(line->json, "seq"));
	bool fits = strcmp(json_string_value(json_object_get(line->json, "prev")), w->hash) == 0;

	if (w->doubt)
		return found_edited(w, fits ? &w->suspect : &w->last);
	if (!may_begin(w, seq)) {
		if (w->torn && !(fits && closes_torn(line->json)))
			return found(w, AUDIT_EDITED, w->last.file, w->last.line, "not a record");
		if (seq != w->seq + 1 && fits && w->any)
			return found(w, AUDIT_EDITED, line->file, line->number, "its number was %" PRIu64, w->seq + 1);
		if (seq != w->seq + 1)
			return out_of_order(w, r, line, seq);
		if (!fits && !w->any)
			return found(w, AUDIT_REMOVED, line->file, line->number,
			    "it does not follow the last record of the files before");
		if (!fits) {
			w->doubt = true;
			place_set(&w->suspect, w->last.file, w->last.line);
		}
	}
	if (w->torn)
		w->v->torn++;
	w->torn = false;
	if (!w->any)
		w->v->first = seq;
	w->any = true;
	w->seq = seq;
	audit_chain_hash(w->hash, line->text, line->len);
	if (w->doubt)
		return KC_OK;
	w->v->last = seq;
	w->v->records++;
	return check_points(w, line);
}

/* All lines fitted so far; is this the end that it should be? */
static int take_end(struct walk *w, struct audit_reader *r, const char *path)
{
	struct audit_line rest;
	int rc;

	if (w->doubt)
		return found_edited(w, &w->suspect);
	if (w->torn)
		return found(w, AUDIT_EDITED, w->last.file, w->last.line, "not a record");
	rc = audit_reader_rest(r, &rest);
	if (rc < 0)
		return rc;
	if (rc > 0)
		return found(w, AUDIT_TORN, rest.file, rest.number,
		    "the last line is cut short, by a crash that no writer has met yet, or by somebody");
	for (int i = 0; i < 2; i++) {
		const struct audit_point *p = i == 0 ? w->start : w->newest;

		if (known(p) && p->seq > w->seq)
			return found(w, AUDIT_REMOVED, w->last.file != NULL ? w->last.file : path,
			    w->last.line > 0 ? w->last.line : 1,
			    "the log ends at record %" PRIu64 ", but %" PRIu64 " was written", w->any ? w->seq : 0,
			    p->seq);
	}
	return KC_OK;
}

static int walk_lines(struct walk *w, struct audit_reader *r, const char *path)
{
	struct audit_line line;
	int got, rc = KC_OK;

	while (rc == KC_OK && (got = audit_reader_next(r, &line)) != 0) {
		if (got < 0)
			return got;
		if (w->last.file == NULL || strcmp(w->last.file, line.file) != 0)
			w->v->files++;
		if (line.json != NULL && line.terminated)
			rc = take_record(w, r, &line);
		else
			rc = take_non_record(w, &line);
		if (rc == KC_OK)
			place_set(&w->last, line.file, line.number);
	}
	return rc == KC_OK ? take_end(w, r, path) : rc;
}

int audit_verify(
    struct audit_verdict *v, const char *path, const struct audit_point *start, const struct audit_point *newest)
{
	struct walk w = { .v = v, .start = start, .newest = newest, .hash = AUDIT_NO_HASH };
	struct audit_reader *r = NULL;
	int rc;

	memset(v, 0, sizeof(*v));
	if (known(start)) {
		w.seq = start->seq;
		memcpy(w.hash, start->hash, sizeof(w.hash));
	}
	rc = audit_reader_open(&r, path);
	if (rc == KC_OK)
		rc = walk_lines(&w, r, path);
	audit_reader_free(r);
	free(w.last.file);
	free(w.suspect.file);
	return rc;
}

void audit_verdict_fini(struct audit_verdict *v)
{
	free(v->file);
	v->file = NULL;
}

const char *audit_problem_name(enum audit_problem p)
{
	static const char *const names[] = { "sound", "edited", "removed", "reordered", "torn" };

	return names[p];
}
