/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lineage: histories, and who follows whom. Plain data and pure rules, shared by state, manifest, protocol and both
 * roles.
 *
 * A lineage is the random id of one master's history. A promotion, or a restore on the master, begins a child: it
 * remembers its ancestors, nearest first, each with the generation of that ancestor at which the way to the child left
 * it (its fork). Up to the fork ancestor and child are the same history; what came later in the ancestor is not in the
 * child.
 */
#ifndef KC_LINEAGE_H
#define KC_LINEAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINEAGE_LEN  32 /* hex digits */
#define LINEAGE_MAX  16 /* ancestors that are remembered; older ones are forgotten */
#define LINEAGE_TEXT (LINEAGE_MAX * (LINEAGE_LEN + 18) + 1)

struct lineage_fork {
	char lineage[LINEAGE_LEN + 1];
	uint64_t fork;
};

struct lineage_list {
	size_t count;
	struct lineage_fork of[LINEAGE_MAX]; /* nearest first */
};

bool lineage_is_valid(const char *lineage); /* 32 lower-case hex digits */

/* The entry of an ancestor; NULL: it is none. */
const struct lineage_fork *lineage_find(const struct lineage_list *ancestors, const char *lineage);
/* Put one in front; the oldest of a full list is forgotten. */
void lineage_push(struct lineage_list *ancestors, const char *lineage, uint64_t fork);
/*
 * The ancestors of a child of `own` that begins with the content of generation `fork` of `of`. That is `own` itself, or
 * another history (an older one, or a foreign one): then nothing that `own` ever made is in the child, and it is an
 * ancestor with fork 0. An empty `own` is left out.
 */
void lineage_of_child(struct lineage_list *child, const char *own, const struct lineage_list *own_ancestors,
    const char *of, uint64_t fork);

/* One line, "LINEAGE:FORK …", for state; and JSON, [{"lineage", "fork"}, …], for manifest and hello. Parsing refuses
 * (KC_EFORMAT) what is malformed, more than LINEAGE_MAX, or names one twice. */
void lineage_format(char text[LINEAGE_TEXT], const struct lineage_list *list);
int lineage_parse(struct lineage_list *list, const char *text);
json_t *lineage_json(const struct lineage_list *list); /* new reference */
int lineage_from_json(struct lineage_list *list, const json_t *json);

/* What a clone follows, or is offered. */
struct lineage_place {
	const char *lineage; /* "": none yet */
	const struct lineage_list *ancestors;
	uint64_t generation; /* applied; offered */
	const char *digest;  /* content digest of it; NULL or "": not known */
};

enum lineage_verdict {
	LINEAGE_FIRST,	 /* the clone follows nobody yet */
	LINEAGE_SAME,	 /* its own lineage: generations decide */
	LINEAGE_FOLLOW,	 /* a child of its lineage, and all that it has is in the child */
	LINEAGE_FORKED,	 /* a child of its lineage, but it has applied more than the fork: it may have rows that the
			    child  lacks */
	LINEAGE_FENCED,	 /* an ancestor of its lineage: the master was replaced, and may not push any more */
	LINEAGE_FOREIGN, /* neither knows the other */
};

/* The rule of following. At a hello nothing is offered yet: without a digest of `offer`, LINEAGE_FORKED means that it
 * depends on that. */
enum lineage_verdict lineage_judge(const struct lineage_place *own, const struct lineage_place *offer);

#endif
