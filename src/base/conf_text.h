/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_text: changes of a configuration's text, in either syntax, that leave everything else as it was. The text is in
 * a buf; nothing here checks values or touches files (conf_edit.c does).
 */
#ifndef KC_CONF_TEXT_H
#define KC_CONF_TEXT_H

#include "conf_int.h"

struct conf_text {
	struct buf text; /* owned: conf_text_fini wipes it */
	bool cfg;
};
void conf_text_fini(struct conf_text *t);

/* Is it set in the text? */
bool conf_text_has(const struct conf_text *t, const char *name);

/* Set a property, in its place or as a new one; value NULL removes it (no error where it is not set). KC_ECONF: the
 * value cannot be written, or the text does not parse. */
int conf_text_put(struct conf_text *t, const char *name, const char *value);
/* Give the setting another last part of its name ("backup.ClientIP3" -> "ClientIP2"). No error where it is not set. */
int conf_text_rename(struct conf_text *t, const char *name, const char *last);
/* Replace the whole setting `name` by a new one of another name in the same place. KC_ENOENT where it is not set. */
int conf_text_supersede(struct conf_text *t, const char *name, const char *other, const char *value);

#endif
