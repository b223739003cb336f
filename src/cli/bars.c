/* SPDX-License-Identifier: Apache-2.0 */
/* bars: draws over its own lines on a terminal; elsewhere says each change once. */
#include "bars.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/host.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"
#include "columns.h"
#include "status_text.h"

#define CLONES_MAX    20
#define BAR_MAX	      40
#define BAR_MIN	      5
#define STATE_WIDTH   11
#define PERCENT_WIDTH 5

struct bars {
	FILE *out;
	bool silent;
	bool terminal;
	unsigned lines;		/* drawn by the last update */
	unsigned columns, rows; /* of the terminal */
	unsigned name, bar;	/* widths */
	unsigned best[CLONES_MAX];
	char phase[32];
	char last[CLONES_MAX][24]; /* state last said of each clone */
};

struct bars *bars_new(FILE *out, bool silent)
{
	struct bars *b = mem_xalloc(sizeof(*b));
	const char *term = getenv("TERM");

	b->out = out;
	b->silent = silent;
	b->terminal = isatty(fileno(out)) && term != NULL && strcmp(term, "dumb") != 0;
	return b;
}

void bars_free(struct bars *b)
{
	free(b);
}

static char *name_of(const json_t *clone)
{
	return host_port_format(member_text(clone, "host"), (int)member_int(clone, "port"));
}

static bool is_final(const char *state)
{
	return strcmp(state, "current") == 0 || strcmp(state, "postponed") == 0 || strcmp(state, "failed") == 0 ||
	       strcmp(state, "unreachable") == 0 || strcmp(state, "refused") == 0 || strcmp(state, "diverged") == 0 ||
	       strcmp(state, "held") == 0 || strcmp(state, "stopped") == 0;
}

/* A push is the first half of the way, the restore the second. */
static unsigned share(const json_t *clone)
{
	const char *state = member_text(clone, "state");
	unsigned percent = (unsigned)member_u64(clone, "percent");

	if (strcmp(state, "current") == 0 || strcmp(state, "postponed") == 0)
		return 100;
	/* A task is down, here or there; what was forced came through all the same. */
	if (strcmp(state, "stopped") == 0)
		return member_u64(clone, "behind") == 0 ? 100 : 0;
	if (strcmp(state, "pushing") == 0)
		return percent / 2;
	return strcmp(state, "restoring") == 0 ? 50 + percent * 49 / 100 : 0;
}

/* The phases of a backup are one thing for who waits for it. */
static const char *phase_text(const json_t *progress)
{
	const char *phase = member_text(progress, "phase");

	return strcmp(phase, "check") == 0  ? "looking for changes"
	       : strcmp(phase, "push") == 0 ? "sending to the clones"
					    : "making a backup";
}

/* --- on a terminal --- */

/* The phases of a restore count anew; to who waits it goes forward only. */
static unsigned forward(struct bars *b, size_t i, const json_t *clone)
{
	unsigned now = share(clone);

	if (i >= CLONES_MAX)
		return now;
	if (strcmp(member_text(clone, "state"), "restoring") != 0 || now > b->best[i])
		b->best[i] = now;
	return b->best[i];
}

static void measure(struct bars *b, const json_t *clones)
{
	struct winsize w = { 0 };
	unsigned rest;

	(void)ioctl(fileno(b->out), TIOCGWINSZ, &w);
	b->columns = w.ws_col >= 20 ? w.ws_col : 80;
	b->rows = w.ws_row >= 5 ? w.ws_row : 24;
	b->name = columns_for_names(clones, 15, b->columns < 60 ? b->columns * 3 / 8 : b->columns / 3);
	rest = b->name + STATE_WIDTH + PERCENT_WIDTH + 6; /* blanks, brackets, the last column */
	b->bar = b->columns < rest + BAR_MIN ? 0 : b->columns - rest;
	if (b->bar > BAR_MAX)
		b->bar = BAR_MAX;
}

static void put_line(struct bars *b, const char *line, bool whole)
{
	fprintf(b->out, "\r%.*s\033[K\n", (int)(whole ? strlen(line) : columns_cut(line, b->columns - 1)), line);
	b->lines++;
}

static void draw_clone(struct bars *b, size_t i, const json_t *clone, bool last)
{
	char bar[BAR_MAX + 1] = "", hour[60], *plain = name_of(clone), *name = columns_fit(plain, b->name), *line;
	const char *state = member_text(clone, "state");
	unsigned percent = forward(b, i, clone);
	bool failed = is_final(state) && percent < 100;

	memset(bar, '.', b->bar);
	memset(bar, '#', percent * b->bar / 100);
	if (strcmp(state, "postponed") == 0)
		line = mem_xasprintf("%s %-*s %s", name, STATE_WIDTH, state,
		    status_hour(hour, sizeof(hour), member_text(clone, "postponed_until")));
	else if (failed)
		line = mem_xasprintf("%s %-*s %s", name, STATE_WIDTH, state, status_reason(clone));
	else if (b->bar == 0)
		line = mem_xasprintf("%s %-*s %3u %%", name, STATE_WIDTH, state, percent);
	else
		line = mem_xasprintf("%s %-*s [%s] %3u %%", name, STATE_WIDTH, state, bar, percent);
	put_line(
	    b, line, last && failed); /* nothing is drawn over the last picture: why something failed is said whole */
	free(line);
	free(name);
	free(plain);
}

/* Those that are done give way where the terminal is too low for all. */
static void draw_some(struct bars *b, const json_t *clones, size_t room)
{
	size_t i, n = json_array_size(clones), done = 0, left[2];
	char line[100];
	json_t *clone;

	json_array_foreach(clones, i, clone)
		done += share(clone) == 100;
	left[false] = n - done < room ? n - done : room;
	left[true] = room - left[false];
	json_array_foreach(clones, i, clone) {
		size_t *budget = &left[share(clone) == 100];

		if (*budget > 0) {
			draw_clone(b, i, clone, false);
			--*budget;
		}
	}
	snprintf(line, sizeof(line), "… and %zu more; %zu of %zu are done", n - room, done, n);
	put_line(b, line, false);
}

static unsigned overall(const struct bars *b, const json_t *progress, const json_t *clones)
{
	unsigned sum = 0;
	size_t i, n = json_array_size(clones);

	if (strcmp(member_text(progress, "phase"), "push") != 0 || n == 0)
		return (unsigned)member_u64(progress, "percent");
	for (i = 0; i < n && i < CLONES_MAX; i++)
		sum += b->best[i];
	return sum / (unsigned)n;
}

static void draw(struct bars *b, const json_t *progress, bool last)
{
	const json_t *clones = json_object_get(progress, "clones");
	size_t i, n = json_array_size(clones);
	char line[100];
	json_t *clone;

	measure(b, clones);
	if (b->lines > 0)
		fprintf(b->out, "\033[%uA", b->lines);
	b->lines = 0;
	json_array_foreach(clones, i, clone)
		forward(b, i, clone);
	if (member_text(progress, "phase")[0] != '\0') {
		snprintf(line, sizeof(line), "%-24s %3u %%", phase_text(progress), overall(b, progress, clones));
		put_line(b, line, false);
	}
	if (last || n + 2 <= b->rows) {
		json_array_foreach(clones, i, clone)
			draw_clone(b, i, clone, last);
	} else {
		draw_some(b, clones, b->rows - 3);
	}
	fputs("\033[J", b->out); /* lines of an earlier, longer picture */
	fflush(b->out);
}

/* --- elsewhere --- */

static void say(struct bars *b, const json_t *progress)
{
	char *name, hour[60];
	size_t i;
	json_t *clone;

	if (member_text(progress, "phase")[0] != '\0' && strcmp(b->phase, phase_text(progress)) != 0) {
		STR_COPY(b->phase, phase_text(progress));
		fprintf(b->out, "%s\n", b->phase);
	}
	json_array_foreach(json_object_get(progress, "clones"), i, clone) {
		const char *state = member_text(clone, "state");

		/* Attempts that come and go say nothing new. */
		if (i >= CLONES_MAX || strcmp(b->last[i], state) == 0 || strcmp(state, "connecting") == 0 ||
		    strcmp(state, "behind") == 0)
			continue;
		STR_COPY(b->last[i], state);
		name = name_of(clone);
		if (is_final(state) && share(clone) < 100)
			fprintf(b->out, "%s: %s: %s\n", name, state, status_reason(clone));
		else if (strcmp(state, "postponed") == 0)
			fprintf(b->out, "%s: %s, %s\n", name, state,
			    status_hour(hour, sizeof(hour), member_text(clone, "postponed_until")));
		else
			fprintf(b->out, "%s: %s\n", name, state);
		free(name);
	}
	fflush(b->out);
}

static void update(struct bars *b, const json_t *progress, bool last)
{
	if (b->silent)
		return;
	if (b->terminal)
		draw(b, progress, last);
	else
		say(b, progress);
}

void bars_update(struct bars *b, const json_t *progress)
{
	update(b, progress, false);
}

void bars_finish(struct bars *b, const json_t *result, bool no_wait)
{
	const json_t *clones = json_object_get(result, "clones");
	size_t done = 0, wait = 0, i;
	json_t *clone;

	if (b->silent)
		return;
	if (no_wait) {
		fputs("The replication has begun; 'keyclone status' shows how it goes.\n", b->out);
		return;
	}
	update(b, result, true);
	json_array_foreach(clones, i, clone) {
		done += share(clone) == 100;
		wait += strcmp(member_text(clone, "state"), "postponed") == 0;
	}
	if (json_array_size(clones) == 0)
		fprintf(b->out,
		    "Generation %lld: backup only, no clone is configured ('keyclone clone add HOST:PORT').\n",
		    member_int(result, "generation"));
	else
		fprintf(b->out, "%s %lld: %zu of %zu clones have it%s.\n",
		    strncmp(member_text(result, "check"), "failed", 6) == 0 ? "No new backup was made. Generation"
									    : "Generation",
		    member_int(result, "generation"), done, json_array_size(clones),
		    wait > 0 ? ", stored or restored" : "");
}
