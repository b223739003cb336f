/* SPDX-License-Identifier: Apache-2.0 */
/* cli_audit: an administrator's command writes the same audit log as the daemon. */
#include <stdlib.h>

#include "base/err.h"
#include "base/file.h"
#include "cli.h"
#include "daemon/state.h"

/* Only where no daemon has the state database at work would a rotated-out file's head be ours to keep; SQLite
 * serialises the two writers either way. */
static int on_head(const char *hash, uint64_t seq, void *arg)
{
	const struct cli *c = arg;
	struct state *s = NULL;
	int rc = state_open(&s, c->conf->state_dir, true);

	if (rc == KC_OK)
		rc = state_put_audit_head(s, seq, hash);
	state_close(s);
	return rc;
}

int cli_audit(struct audit **audit, struct cli *c)
{
	char *path, *dir;
	int rc;

	if (c->audit == NULL) {
		struct audit_options o = { .role = c->conf->role == CONF_MASTER ? "master" : "clone",
			.max_bytes = (uint64_t)c->conf->max_log_file_kb * 1024,
			.max_files = (unsigned)c->conf->max_log_file_num,
			.on_head = on_head,
			.arg = c };

		o.path = path = file_join(c->conf->log_dir, c->conf->audit_log);
		dir = file_dirname(path);
		rc = file_make_dirs(dir);
		if (rc == KC_OK)
			rc = audit_open(&c->audit, &o);
		free(dir);
		free(path);
		if (rc < 0)
			return err_prefix(rc, "audit log");
	}
	*audit = c->audit;
	return KC_OK;
}
