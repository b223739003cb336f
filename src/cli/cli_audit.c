/* SPDX-License-Identifier: Apache-2.0 */
/* cli_audit: an administrator's command writes the same audit log as the daemon. */
#include <stdlib.h>

#include "base/clock.h"
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
	char *dir;
	int rc;

	if (c->audit == NULL) {
		struct audit_options o = { .path = c->conf->audit_log,
			.role = c->conf->role == CONF_MASTER ? "master" : "clone",
			.max_bytes = (uint64_t)c->conf->max_log_file_kb * 1024,
			.max_files = (unsigned)c->conf->max_log_file_num,
			.on_head = on_head,
			.arg = c };

		dir = file_dirname(o.path);
		rc = file_make_dirs(dir);
		if (rc == KC_OK)
			rc = audit_open(&c->audit, &o);
		free(dir);
		if (rc < 0)
			return rc;
	}
	*audit = c->audit;
	return KC_OK;
}

int cli_audited(struct cli *c, struct audit_record *r, cli_work_fn work, void *arg)
{
	uint64_t clock = clock_ms();
	struct audit *audit = NULL;
	int rc = cli_audit(&audit, c);

	r->outcome = AUDIT_STARTED;
	if (rc == KC_OK)
		rc = audit_write(audit, r);
	if (rc == KC_OK)
		rc = audit_sync(audit);
	if (rc < 0)
		return rc;
	rc = work(c, r, arg);
	if (rc < 0)
		r->detail = NULL; /* the reason */
	r->duration_ms = clock_lap(&clock) + 1;
	rc = audit_result(audit, r, rc);
	return rc == KC_OK ? audit_sync(audit) : rc;
}
