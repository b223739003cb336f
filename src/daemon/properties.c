/* SPDX-License-Identifier: Apache-2.0 */
/* properties: single values, and the list of authorised names. */
#include "properties.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/conf.h"
#include "base/err.h"

#define LIST_MAX 65536

int properties_set(const char *path, const char *name, const char *value)
{
	struct conf_change change = { name, value };
	struct conf_problems problems = { 0 };
	int rc = conf_edit(path, &change, 1, &problems);

	if (rc == KC_ECONF && problems.errors.count > 0)
		rc = err_set(rc, "%s is not set: %s", name, problems.errors.items[0]);
	conf_problems_fini(&problems);
	return rc;
}

/* The list with `cn` in it, or without. True: that is another list. */
static bool change_list(struct buf *list, const struct conf_list *now, const char *cn, bool yes)
{
	bool had = false;

	for (size_t i = 0; i < now->count; i++) {
		bool same = strcasecmp(now->items[i], cn) == 0;

		had = had || same;
		if (!same || yes)
			buf_putf(list, "%s%s", buf_len(list) > 0 ? ";" : "", now->items[i]);
	}
	if (yes && !had)
		buf_putf(list, "%s%s", buf_len(list) > 0 ? ";" : "", cn);
	return had != yes;
}

int properties_authorise(const char *path, const char *cn, bool yes)
{
	struct conf *now = NULL;
	struct buf list;
	int rc;

	if (cn[0] == '\0')
		return KC_OK;
	if (strchr(cn, ';') != NULL)
		return err_set(KC_ECERT, "%s: no name that tls.AuthorizedCNs can have", cn);
	rc = conf_load(&now, path, 0, NULL);
	if (rc < 0)
		return rc;
	buf_init(&list, LIST_MAX);
	if (change_list(&list, &now->authorized_cns, cn, yes))
		rc = properties_set(path, "tls.AuthorizedCNs", buf_len(&list) > 0 ? buf_str(&list) : NULL);
	buf_fini(&list);
	conf_free(now);
	return rc;
}
