/* SPDX-License-Identifier: Apache-2.0 */
/* changes: what a reload has changed, for the one who asked, the log and the audit: properties by name, clones and
 * trusted certificates one by one, the machine's own certificate. */
#ifndef KC_CHANGES_H
#define KC_CHANGES_H

#include <jansson.h>

#include "base/conf.h"

struct trust;

/* {"name (SHA-256 …)": true, …} of the truststore; empty where it cannot be read. New reference. */
json_t *changes_trusted(const struct conf *c);

/* Append what is other in `next` than in `now`. Names are of conf_diff(): the clones' are told one by one instead. */
void changes_names(json_t *list, const struct conf_list *names);
void changes_clones(json_t *list, const struct conf *now, const struct conf *next);
void changes_certificate(json_t *list, const json_t *now, const json_t *next);
void changes_trust(json_t *list, const json_t *now, const json_t *next);
void changes_crls(json_t *list, const struct trust *now, const struct trust *next);

/* "changed: a, b; needs a restart: c", "nothing has changed". Heap. */
char *changes_text(const json_t *changed, const json_t *restart);

#endif
