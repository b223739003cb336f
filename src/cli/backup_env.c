/* SPDX-License-Identifier: Apache-2.0 */
/* backup_env: secrets, state and passwords of the commands about backups. */
#include "backup_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backup/store.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "daemon/by_hand.h"

static int read_state(struct backup_env *e)
{
	struct state *s = NULL;
	int rc = state_open(&s, e->c->conf->state_dir, false);

	if (rc == KC_ENOENT)
		return KC_OK;
	if (rc == KC_OK)
		rc = state_get_self(&e->self, s);
	state_close(s);
	return rc;
}

int backup_env_open(struct backup_env *e, struct cli *c)
{
	int rc;

	memset(e, 0, sizeof(*e));
	e->c = c;
	if (gethostname(e->host, sizeof(e->host) - 1) < 0 || e->host[0] == '\0')
		strcpy(e->host, "localhost");
	rc = secrets_open(&e->secrets, c->conf->secrets_dir, c->conf->role == CONF_MASTER);
	if (rc == KC_OK)
		rc = by_hand_pins(&e->pins, &e->secrets);
	if (rc == KC_OK)
		rc = read_state(e);
	if (rc < 0)
		backup_env_close(e);
	return rc;
}

void backup_env_close(struct backup_env *e)
{
	backup_env_show(e, NULL, 0);
	free(e->travel);
	mem_secret_free(e->password);
	free(e->file);
	sign_pins_fini(&e->pins);
	secrets_fini(&e->secrets);
	memset(e, 0, sizeof(*e));
}

static int configured_password(struct backup_env *e)
{
	struct store_name name;
	int rc = secrets_password(&e->password, &e->secrets, e->c->conf);

	if (rc < 0 || e->password != NULL || e->file == NULL)
		return rc;
	/* A clone without a password made itself one for its safety backups. */
	if (store_name_parse(&name, file_basename(e->file)) == KC_OK && name.kind == STORE_SAFETY &&
	    secrets_safety_password(&e->password, &e->secrets, false) < 0)
		e->password = NULL;
	return KC_OK;
}

int backup_env_password(struct backup_env *e, bool confirm)
{
	const char *file = cli_string(e->c, "password-file");
	int rc = KC_OK;

	if (file == NULL)
		rc = configured_password(e);
	if (rc == KC_OK && e->password == NULL)
		rc = cli_password(&e->password, file, "password of the backup", confirm, "password-file");
	/* Whoever makes one is held to the rule of the property; to open one, any will do that opens it. */
	if (rc == KC_OK && confirm && strlen(e->password) < CONF_PASSWORD_MIN)
		rc = err_set(KC_EUSAGE, "the password has %zu bytes, at least %d are needed", strlen(e->password),
		    CONF_PASSWORD_MIN);
	return rc;
}

void backup_env_note_password(struct backup_env *e, const char *backup)
{
	char id[SECRET_FINGERPRINT_SIZE];
	struct state_password p = { .since = (int64_t)time(NULL) };
	struct state *s = NULL;
	int rc;

	/* Another than the configured one is nobody's but its owner's. */
	if (cli_string(e->c, "password-file") != NULL || state_open(&s, e->c->conf->state_dir, false) < 0)
		return;
	secret_fingerprint(id, e->secrets.box, SECRET_BACKUP_PASSWORD, e->password, strlen(e->password));
	rc = state_get_password(&p, s);
	if (rc == KC_ENOENT) {
		memcpy(p.id, id, sizeof(p.id));
		rc = state_put_password(s, &p);
	}
	if (rc == KC_OK && strcmp(p.id, id) == 0)
		rc = state_put_sealed(s, backup, p.since);
	if (rc < 0)
		log_warn("since when the password of %s is in force is not remembered: %s", backup, err_text(rc));
	state_close(s);
}

static void find_stored(struct backup_env *e)
{
	struct state *s = NULL;

	if (state_open(&s, e->c->conf->state_dir, false) == KC_OK &&
	    state_find_travel(&e->travel, s, file_basename(e->file)) < 0)
		e->travel = NULL;
	state_close(s);
}

/* What was saved here before something was discarded is signed with a key of this machine's own. */
static void accept_own(struct backup_env *e)
{
	struct store_name name;
	struct sign_pin *own;

	if (e->secrets.signing == NULL || store_name_parse(&name, file_basename(e->file)) < 0 ||
	    name.kind != STORE_SAFETY)
		return;
	e->pins.pins = mem_xrealloc(e->pins.pins, (e->pins.count + 1) * sizeof(*e->pins.pins));
	own = &e->pins.pins[e->pins.count++];
	memset(own, 0, sizeof(*own));
	own->pub = *sign_key_public(e->secrets.signing);
	own->comment = mem_xstrdup("of this machine");
}

int backup_env_image(struct image_options *o, struct backup_env *e)
{
	const char *name = e->c->argv[0];
	int rc;

	e->file = strchr(name, '/') == NULL && !file_exists(name) ? file_join(e->c->conf->backup_dir, name)
								  : mem_xstrdup(name);
	if (!file_exists(e->file))
		return err_set(KC_ENOENT, "%s: no such file, neither here nor in %s", name, e->c->conf->backup_dir);
	accept_own(e);
	memset(o, 0, sizeof(*o));
	o->file = e->file;
	o->pins = &e->pins;
	if (cli_string(e->c, "password-file") == NULL)
		find_stored(e);
	if (e->travel != NULL) {
		o->travel = e->travel;
		o->identity = e->secrets.identity;
		return KC_OK;
	}
	rc = backup_env_password(e, false);
	o->password = e->password;
	return rc;
}

void backup_env_show(struct backup_env *e, const char *phase, unsigned percent)
{
	if (e->c == NULL || e->c->json || !isatty(STDERR_FILENO))
		return;
	if (phase != NULL)
		fprintf(stderr, "\r%-10s %3u%%\033[K", phase, percent > 100 ? 100 : percent);
	else if (e->shown != NULL)
		fprintf(stderr, "\r\033[K");
	e->shown = phase;
}

struct work {
	struct backup_env *env;
	backup_work_fn run;
	void *arg;
};

static int run_work(struct cli *c, struct audit_record *r, void *arg)
{
	const struct work *w = arg;
	int rc = w->run(w->env, r, w->arg);

	(void)c;
	backup_env_show(w->env, NULL, 0);
	return rc;
}

int backup_env_audited(struct backup_env *e, enum audit_event event, backup_work_fn work, void *arg)
{
	struct work w = { .env = e, .run = work, .arg = arg };
	struct audit_record r = { .event = event, .backup = e->file != NULL ? file_basename(e->file) : NULL };

	return cli_audited(e->c, &r, run_work, &w);
}
