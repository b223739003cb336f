/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_conf: any text in either syntax: loads or is refused; what loads dumps to something that loads to the same; an
 * edit of it either fails or leaves the value that was set.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf_text.h"
#include "base/err.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void dump_again(const struct conf *c)
{
	char *text = conf_dump(c, false), *other;
	struct conf *again = NULL;

	if (conf_load_text(&again, "/nowhere/k.properties", text, strlen(text), 0, NULL) < 0)
		abort();
	again->password_set = c->password_set;
	other = conf_dump(again, false);
	if (strcmp(text, other) != 0)
		abort();
	free(text);
	free(other);
	conf_free(again);
}

static void edit(const char *path, const uint8_t *data, size_t size, bool loads)
{
	static const char value[] = " =a\\\"\xc3\xa4#;";
	struct conf_text t = { .cfg = conf_is_cfg(path) };
	struct conf *c = NULL;
	int rc;

	buf_init(&t.text, CONF_FILE_MAX);
	buf_put(&t.text, data, size);
	rc = conf_text_put(&t, "backup.TLSCertAlias", value);
	if (rc == KC_OK && loads) {
		if (conf_load_text(&c, path, buf_data(&t.text), buf_len(&t.text), 0, NULL) < 0)
			abort();
		if (strcmp(c->tls_alias, value) != 0)
			abort();
		conf_free(c);
	}
	conf_text_rename(&t, "backup.ClientIP2", "ClientIP1");
	conf_text_supersede(&t, "backup.EncryptionPassword", "backup.ObfuscatedEncryptionPassword", "kc1:x");
	conf_text_put(&t, "replication.role", NULL);
	conf_text_fini(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = { "/nowhere/k.properties", "/nowhere/k.cfg" };
	static bool ready;

	if (!ready && mem_init() < 0)
		abort();
	ready = true;
	for (size_t i = 0; i < 2; i++) {
		struct conf *c = NULL;
		bool loads = conf_load_text(&c, paths[i], data, size, CONF_START, NULL) == KC_OK;

		if (loads)
			dump_again(c);
		edit(paths[i], data, size, loads);
		conf_free(c);
	}
	return 0;
}
