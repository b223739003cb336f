/* SPDX-License-Identifier: Apache-2.0 */
/* lineage: histories as lists of forks, their two written forms, and the rule of following. */
#include "lineage.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "str.h"

#define GENERATION_MAX 9007199254740991u /* what every JSON parser keeps exactly */

bool lineage_is_valid(const char *lineage)
{
	return strlen(lineage) == LINEAGE_LEN && strspn(lineage, "0123456789abcdef") == LINEAGE_LEN;
}

const struct lineage_fork *lineage_find(const struct lineage_list *ancestors, const char *lineage)
{
	for (size_t i = 0; ancestors != NULL && i < ancestors->count; i++)
		if (strcmp(ancestors->of[i].lineage, lineage) == 0)
			return &ancestors->of[i];
	return NULL;
}

static void append(struct lineage_list *list, const char *lineage, uint64_t fork)
{
	if (list->count == LINEAGE_MAX || lineage_find(list, lineage) != NULL)
		return;
	STR_COPY(list->of[list->count].lineage, lineage);
	list->of[list->count++].fork = fork;
}

void lineage_push(struct lineage_list *ancestors, const char *lineage, uint64_t fork)
{
	struct lineage_list old = *ancestors;

	ancestors->count = 0;
	append(ancestors, lineage, fork);
	for (size_t i = 0; i < old.count; i++)
		append(ancestors, old.of[i].lineage, old.of[i].fork);
}

void lineage_of_child(struct lineage_list *child, const char *own, const struct lineage_list *own_ancestors,
    const char *of, uint64_t fork)
{
	size_t from = 0;

	child->count = 0;
	if (strcmp(own, of) != 0) {
		/* What lies between an older history and our own is left behind as a whole, too. */
		if (own[0] != '\0')
			append(child, own, 0);
		while (from < own_ancestors->count && strcmp(own_ancestors->of[from].lineage, of) != 0)
			append(child, own_ancestors->of[from++].lineage, 0);
		if (child->count == LINEAGE_MAX)
			child->count--;
	}
	append(child, of, fork);
	for (size_t i = from; i < own_ancestors->count; i++)
		append(child, own_ancestors->of[i].lineage, own_ancestors->of[i].fork);
}

void lineage_format(char text[LINEAGE_TEXT], const struct lineage_list *list)
{
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < list->count; i++)
		n += (size_t)snprintf(text + n, LINEAGE_TEXT - n, "%s%s:%" PRIu64, i > 0 ? " " : "",
		    list->of[i].lineage, list->of[i].fork);
}

static int add_checked(struct lineage_list *list, const char *lineage, uint64_t fork)
{
	if (!lineage_is_valid(lineage) || fork > GENERATION_MAX)
		return err_set(KC_EFORMAT, "an ancestor is not a lineage and a generation");
	if (list->count == LINEAGE_MAX)
		return err_set(KC_EFORMAT, "more than %d ancestors", LINEAGE_MAX);
	if (lineage_find(list, lineage) != NULL)
		return err_set(KC_EFORMAT, "ancestor %.8s comes twice", lineage);
	append(list, lineage, fork);
	return KC_OK;
}

int lineage_parse(struct lineage_list *out, const char *text)
{
	struct lineage_list list = { 0 };
	int rc = KC_OK;

	while (rc == KC_OK && *text != '\0') {
		char lineage[LINEAGE_LEN + 1];
		char *end;
		uint64_t fork;

		if (strlen(text) < LINEAGE_LEN + 2 || text[LINEAGE_LEN] != ':' || text[LINEAGE_LEN + 1] < '0' ||
		    text[LINEAGE_LEN + 1] > '9')
			return err_set(KC_EFORMAT, "an ancestor is not a lineage and a generation");
		memcpy(lineage, text, LINEAGE_LEN);
		lineage[LINEAGE_LEN] = '\0';
		fork = strtoull(text + LINEAGE_LEN + 1, &end, 10);
		if (*end != '\0' && *end != ' ')
			return err_set(KC_EFORMAT, "an ancestor is not a lineage and a generation");
		rc = add_checked(&list, lineage, fork);
		text = *end == ' ' ? end + 1 : end;
	}
	if (rc == KC_OK)
		*out = list;
	return rc;
}

json_t *lineage_json(const struct lineage_list *list)
{
	json_t *j = json_array();

	for (size_t i = 0; i < list->count; i++)
		json_array_append_new(
		    j, json_pack("{s:s, s:I}", "lineage", list->of[i].lineage, "fork", (json_int_t)list->of[i].fork));
	return j;
}

int lineage_from_json(struct lineage_list *out, const json_t *json)
{
	struct lineage_list list = { 0 };
	int rc = json_is_array(json) ? KC_OK : err_set(KC_EFORMAT, "ancestors are not a list");

	for (size_t i = 0; rc == KC_OK && i < json_array_size(json); i++) {
		const json_t *one = json_array_get(json, i), *fork = json_object_get(one, "fork");
		const char *lineage = json_string_value(json_object_get(one, "lineage"));

		if (lineage == NULL || !json_is_integer(fork) || json_integer_value(fork) < 0)
			rc = err_set(KC_EFORMAT, "an ancestor is not a lineage and a generation");
		else
			rc = add_checked(&list, lineage, (uint64_t)json_integer_value(fork));
	}
	if (rc == KC_OK)
		*out = list;
	return rc;
}

static bool same_digest(const char *a, const char *b)
{
	return a != NULL && b != NULL && a[0] != '\0' && strcmp(a, b) == 0;
}

enum lineage_verdict lineage_judge(const struct lineage_place *own, const struct lineage_place *offer)
{
	const struct lineage_fork *f;

	if (own->lineage[0] == '\0')
		return LINEAGE_FIRST;
	if (strcmp(own->lineage, offer->lineage) == 0)
		return LINEAGE_SAME;
	/* Before everything else: what was left behind does not become young again by a list that it shows. */
	if (lineage_find(own->ancestors, offer->lineage) != NULL)
		return LINEAGE_FENCED;
	f = lineage_find(offer->ancestors, own->lineage);
	if (f == NULL)
		return LINEAGE_FOREIGN;
	if (own->generation <= f->fork || same_digest(own->digest, offer->digest))
		return LINEAGE_FOLLOW;
	return LINEAGE_FORKED;
}
