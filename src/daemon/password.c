/* SPDX-License-Identifier: Apache-2.0 */
/* password: see password.h. */
#include "password.h"

#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "daemon.h"

static int remember(struct daemon *d, const char *id)
{
	struct state_password p = { .since = (int64_t)time(NULL) };

	STR_COPY(p.id, id);
	return state_put_password(d->state, &p);
}

int password_note(bool *changed, struct daemon *d, const char *id, bool sealed)
{
	struct state_password p = { .since = 0 };
	struct audit_record r = { .event = AUDIT_PASSWORD_SEAL, .outcome = AUDIT_SUCCESS };
	bool known = state_get_password(&p, d->state) == KC_OK, other = id[0] != '\0' && strcmp(p.id, id) != 0;
	int rc = KC_OK;

	*changed = known && other;
	if (*changed)
		r.detail = d->conf->role == CONF_MASTER ? "the password was changed; the next backup is a full under it"
							: "the password was changed";
	if (*changed && d->conf->role == CONF_MASTER) {
		d->self.want_full = true;
		rc = daemon_save(d);
	}
	if (rc == KC_OK && (sealed || *changed))
		rc = daemon_audit(d, &r);
	if (rc == KC_OK && other)
		rc = remember(d, id);
	if (rc == KC_OK && *changed)
		log_info("the backup password is another than before: older backups keep theirs");
	return rc;
}

void password_made(struct daemon *d, const char *backup)
{
	struct state_password p;
	int rc = state_get_password(&p, d->state);

	if (rc == KC_OK)
		rc = state_put_sealed(d->state, backup, p.since);
	if (rc < 0 && rc != KC_ENOENT)
		log_warn("since when the password of %s is in force is not remembered: %s", backup, err_text(rc));
}

int64_t password_since(struct daemon *d, const char *backup, bool growing)
{
	struct state_password p = { .since = 0 };

	if (!growing)
		return state_get_sealed(d->state, backup);
	return state_get_password(&p, d->state) == KC_OK ? p.since : 0;
}
