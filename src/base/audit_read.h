/* SPDX-License-Identifier: Apache-2.0 */
/*
 * audit_read: reads an audit log over its rotations, follows it, and verifies its chain. Never writes.
 *
 *     struct audit_reader *r;
 *     struct audit_line line;
 *     rc = audit_reader_open(&r, path);
 *     while (rc == KC_OK && (got = audit_reader_next(r, &line)) > 0)
 *             if (audit_filter_match(&filter, &line)) …
 *     audit_reader_free(r);
 */
#ifndef KC_AUDIT_READ_H
#define KC_AUDIT_READ_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "audit.h"
#include "buf.h"

#define AUDIT_LINE_MAX 16384 /* bytes of a line; no writer makes one so long */

/* Borrowed from the reader until its next call. */
struct audit_line {
	const char *file;     /* path of the file it was read from */
	unsigned long number; /* line in the file, from 1 */
	const char *text;     /* without newline, NUL-terminated (it may hold NULs of its own after a crash) */
	size_t len;
	const json_t *json; /* the object; NULL: not a record */
	bool terminated;    /* false: the end of a file without a newline */
};

struct audit_reader;

/* Opens all files of the log at one instant (rotations do not disturb it). KC_ENOENT where there is no log. */
int audit_reader_open(struct audit_reader **out, const char *path);
void audit_reader_free(struct audit_reader *r); /* NULL is a no-op */

/* The next line, oldest file first: 1; 0 at the present end; < 0 an error. An unterminated last line of the newest
 * file is held back, as its writer may be at work. After 0 it may be called again: new lines and files are found. */
int audit_reader_next(struct audit_reader *r, struct audit_line *line);
/* At the end: that unterminated rest, under the writers' lock. 1, or 0 where there is none. */
int audit_reader_rest(struct audit_reader *r, struct audit_line *line);
/* Wait until the log may have grown, at most timeout_ms (-1: for ever). KC_OK; KC_ETIMEOUT; KC_ECANCELED after a
 * signal. */
int audit_reader_wait(struct audit_reader *r, int timeout_ms);

struct audit_filter {
	int64_t since_ms;  /* milliseconds since the epoch; 0: all */
	const char *peer;  /* HOST:PORT, or HOST with any port; also in the list of a run's end; NULL: all */
	const char *event; /* the name or its beginning ("push"); NULL: all */
	bool failed;	   /* outcome "failure" only */
};
bool audit_filter_match(const struct audit_filter *f, const struct audit_line *line);

/* "2026-06-19T14:50:59Z" (offsets and fractions too), "2026-06-19 [HH:MM[:SS]]" local, "HH:MM" today, or an age:
 * "90s", "15m", "2h", "7d". KC_EUSAGE. */
int audit_parse_since(int64_t *ms, const char *text, time_t now);

/*
 * The table for people, appended to `b`. A day has a line of its own, then each of its records begins with its local
 * time and goes on, indented, as long as it needs; words are kept whole.
 */
struct audit_table {
	unsigned width; /* columns; 0: 80 */
	bool colour;	/* for a terminal: failures red, what went well green */
	char day[16];	/* the last one that was put; "" at the beginning */
};
void audit_format(struct buf *b, struct audit_table *t, const struct audit_line *line);
void audit_format_heading(struct buf *b, const struct audit_table *t);

/* A record that is known from elsewhere. hash "": not known. */
struct audit_point {
	uint64_t seq;
	char hash[AUDIT_HASH_SIZE];
};

enum audit_problem {
	AUDIT_SOUND,
	AUDIT_EDITED,	 /* a line is not what the next one's prev, or a known point, says it was */
	AUDIT_REMOVED,	 /* records are missing: at the start, in the middle or (with `newest`) at the end */
	AUDIT_REORDERED, /* a sequence number comes late or twice */
	AUDIT_TORN	 /* the last line is not whole: a crash that no writer has closed yet, or a cut */
};

struct audit_verdict {
	enum audit_problem problem;
	char *file; /* heap, where the first bad line is; NULL where sound */
	unsigned long line;
	char text[256];	      /* what is wrong, one line */
	uint64_t records;     /* sound ones up to there */
	uint64_t first, last; /* their sequence numbers */
	unsigned torn;	      /* lines cut short by a crash and closed properly: not tampering, but not whole either */
	unsigned files;
};

/*
 * Check the whole chain. `start`: what on_head was given last, NULL where nothing was ever deleted: then the log must
 * begin with seq 1. `newest`: a later record known from elsewhere (an earlier audit_head, a peer), or NULL.
 * KC_OK with a sound verdict; KC_EFOUND (exit 2) with the first problem; other codes: it could not be read.
 */
int audit_verify(
    struct audit_verdict *v, const char *path, const struct audit_point *start, const struct audit_point *newest);
void audit_verdict_fini(struct audit_verdict *v);
const char *audit_problem_name(enum audit_problem p); /* "edited" */

#endif
