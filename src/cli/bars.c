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

#define CLONES_MAX 20
#define BAR_MAX	   40

struct bars {
	FILE *out;
	bool silent;
	bool terminal;
	unsigned lines; /* drawn by the last update */
	unsigned columns;
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
	       strcmp(state, "held") == 0;
}

/* A push is the first half of the way, the restore the second. */
static unsigned share(const json_t *clone)
{
	const char *state = member_text(clone, "state");
	unsigned percent = (unsigned)member_u64(clone, "percent");

	if (strcmp(state, "current") == 0 || strcmp(state, "postponed") == 0)
		return 100;
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

static void put_line(struct bars *b, const char *line)
{
	int width = b->columns > 0 ? (int)b->columns - 1 : 79;

	fprintf(b->out, "\r%.*s\033[K\n", width, line);
	b->lines++;
}

static void draw_bar(struct bars *b, const json_t *clone)
{
	char bar[BAR_MAX + 1], line[600], *name = name_of(clone);
	const char *state = member_text(clone, "state"), *error = member_text(clone, "last_error");
	unsigned width = b->columns > 90 ? BAR_MAX : b->columns > 60 ? 20 : 10, full = share(clone) * width / 100;

	memset(bar, '.', width);
	memset(bar, '#', full);
	bar[width] = '\0';
	if (is_final(state) && share(clone) < 100)
		snprintf(line, sizeof(line), "%-24s %-11s %s", name, state, error);
	else
		snprintf(line, sizeof(line), "%-24s %-11s [%s] %3u %%", name, state, bar, share(clone));
	put_line(b, line);
	free(name);
}

static void draw(struct bars *b, const json_t *progress)
{
	struct winsize w;
	char line[100];
	size_t i;
	json_t *clone;

	b->columns = ioctl(fileno(b->out), TIOCGWINSZ, &w) == 0 ? w.ws_col : 80;
	if (b->lines > 0)
		fprintf(b->out, "\033[%uA", b->lines);
	b->lines = 0;
	if (member_text(progress, "phase")[0] != '\0') {
		snprintf(
		    line, sizeof(line), "%-36s %3d %%", phase_text(progress), (int)member_int(progress, "percent"));
		put_line(b, line);
	}
	json_array_foreach(json_object_get(progress, "clones"), i, clone)
		draw_bar(b, clone);
	fputs("\033[J", b->out); /* lines of an earlier, longer picture */
	fflush(b->out);
}

static void say(struct bars *b, const json_t *progress)
{
	char *name;
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
			fprintf(b->out, "%s: %s: %s\n", name, state, member_text(clone, "last_error"));
		else
			fprintf(b->out, "%s: %s\n", name, state);
		free(name);
	}
	fflush(b->out);
}

void bars_update(struct bars *b, const json_t *progress)
{
	if (b->silent)
		return;
	if (b->terminal)
		draw(b, progress);
	else
		say(b, progress);
}

void bars_finish(struct bars *b, const json_t *result, bool no_wait)
{
	const json_t *clones = json_object_get(result, "clones");
	size_t done = 0, i;
	json_t *clone;

	if (b->silent)
		return;
	if (no_wait) {
		fputs("The replication has begun; 'keyclone status' shows how it goes.\n", b->out);
		return;
	}
	bars_update(b, result);
	json_array_foreach(clones, i, clone)
		done += share(clone) == 100;
	if (json_array_size(clones) == 0)
		fprintf(b->out,
		    "Generation %lld: backup only, no clone is configured ('keyclone clone add HOST:PORT').\n",
		    member_int(result, "generation"));
	else
		fprintf(b->out, "Generation %lld: %zu of %zu clones have it.\n", member_int(result, "generation"), done,
		    json_array_size(clones));
}
