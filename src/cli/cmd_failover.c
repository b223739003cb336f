/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_failover: promote and demote. What they do is in failover.h; here is what is asked, refused and said. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/host.h"
#include "base/mem.h"
#include "base/str.h"
#include "failover.h"
#include "failover_keys.h"
#include "families.h"
#include "keystore/sign.h"

static void failover_fini(struct failover *f)
{
	mem_secret_free(f->password);
	free(f->sealed);
	free(f->alias);
	secrets_fini(&f->secrets);
	system_fini(&f->system);
	free(f);
}

static bool state_is(const struct failover *f, const char *role)
{
	if (f->self.role[0] != '\0')
		return strcmp(f->self.role, role) == 0;
	return (f->c->conf->role == CONF_MASTER) == (strcmp(role, "master") == 0);
}

/* --- promote --- */

static int refuse_alive(struct failover *f)
{
	char *who = NULL;
	bool answers = false;
	int rc = cli_flag(f->c, "force") ? KC_OK : failover_probe(&answers, &who, f);

	if (rc == KC_OK && answers)
		rc = err_set(KC_EPERM,
		    "the master at %s answers: stop it first (two masters would part ways), or give --force if it is "
		    "not "
		    "to be a master any more",
		    who);
	free(who);
	return rc;
}

static int may_promote(struct failover *f)
{
	int rc = failover_read(f);

	if (rc == KC_ENOENT)
		return err_set(KC_ENOENT, "%s: no state; this machine never was a clone", f->c->conf->state_dir);
	if (rc < 0)
		return rc;
	if (state_is(f, "master"))
		return f->c->conf->role == CONF_MASTER
			   ? cli_usage(f->c, "this machine is a master already")
			   : err_set(KC_EFAIL,
				 "a demotion was begun here: 'keyclone demote --master HOST:PORT' finishes it");
	if (f->self.lineage[0] == '\0' && !cli_flag(f->c, "force"))
		return err_set(KC_ENOENT,
		    "this clone has never restored anything from a master; --force begins with what its database has");
	rc = failover_apply(f);
	return rc == KC_OK ? refuse_alive(f) : rc;
}

static int work_promote(struct cli *c, struct audit_record *r, void *arg)
{
	struct failover *f = arg;
	int rc = failover_take_keys(f);

	(void)c;
	if (rc == KC_OK)
		rc = failover_configure_master(f);
	if (rc == KC_OK)
		rc = failover_commit(f, true);
	if (rc == KC_OK)
		r->lineage = f->lineage;
	return rc;
}

static char *signer_text(const struct failover *f)
{
	return sign_public_text(sign_key_public(f->secrets.signing));
}

static int say_promoted(struct failover *f)
{
	const char *clones = f->siblings.clones;
	char *signer = signer_text(f);

	if (f->c->json) {
		cli_print_json(json_pack("{s:s, s:s, s:I, s:s, s:s, s:b, s:b}", "lineage", f->lineage, "parent",
		    f->self.lineage, "fork", (json_int_t)f->generation, "clones", clones, "signer", signer,
		    "own_signer", (int)f->own_signer, "daemon_ended", (int)f->running));
		free(signer);
		return KC_OK;
	}
	printf("This machine is the master now, of lineage %.8s", f->lineage);
	if (f->self.lineage[0] != '\0')
		printf(
		    ", which began from generation %llu of %.8s", (unsigned long long)f->generation, f->self.lineage);
	printf(".\nIts clones, from the last master's list: %s.\n\nNext:\n",
	    clones[0] != '\0' ? clones : "none; 'keyclone clone add HOST:PORT' for each");
	printf("  %s: 'systemctl restart keycloned'.\n",
	    f->running ? "keycloned has ended; it comes up as the master" : "keycloned comes up as the master");
	if (f->own_signer)
		printf("  Its backups are signed by a key of its own, which no clone knows. On each clone:\n"
		       "    keyclone trust signer '%s'\n",
		    signer);
	puts("  The old master, when it comes back, is refused by the clones. There:\n"
	     "    keyclone demote --master HOST:PORT      (this machine, and its replication.MasterListenPort)");
	free(signer);
	return KC_OK;
}

static int cmd_promote(struct cli *c)
{
	struct failover *f = mem_xalloc(sizeof(*f));
	struct audit_record r = { .event = AUDIT_PROMOTE };
	char *detail = NULL;
	int rc = cli_args(c, 0, 0);

	f->c = c;
	if (rc == KC_OK)
		rc = may_promote(f);
	if (rc == KC_OK)
		rc = failover_ask_password(f);
	if (rc == KC_OK) {
		detail = mem_xasprintf("from generation %llu of lineage %.8s%s", (unsigned long long)f->generation,
		    f->self.lineage[0] != '\0' ? f->self.lineage : "none", cli_flag(c, "force") ? ", forced" : "");
		r.detail = detail;
		r.generation = f->generation;
		rc = cli_audited(c, &r, work_promote, f);
	}
	if (rc == KC_OK)
		rc = say_promoted(f);
	free(detail);
	failover_fini(f);
	return rc;
}

/* --- demote --- */

struct demoting {
	struct failover *f;
	char *host;
	int port;
};

static int work_demote(struct cli *c, struct audit_record *r, void *arg)
{
	struct demoting *d = arg;
	int rc = failover_configure_clone(d->f, d->host, d->port);

	(void)c, (void)r;
	return rc == KC_OK ? failover_commit(d->f, false) : rc;
}

static void say_demoted(const struct demoting *d, const char *master)
{
	struct cli *c = d->f->c;

	if (c->json) {
		cli_print_json(json_pack("{s:s, s:s, s:I, s:b}", "master", master, "lineage", d->f->self.lineage,
		    "generation", (json_int_t)d->f->self.complete, "daemon_ended", (int)d->f->running));
		return;
	}
	printf("This machine is a clone of %s now.\n\nNext:\n"
	       "  %s: 'systemctl restart keycloned'.\n"
	       "  On the new master:\n"
	       "    keyclone clone add THIS-HOST:%d\n"
	       "  Rows that only this machine has are found at the first contact, and nothing is written then:\n"
	       "  'keyclone diverged list' shows them. To carry them home:\n"
	       "    here:               keyclone backup create --output home.tar.zst.age\n"
	       "    on the new master:  keyclone backup restore home.tar.zst.age --merge\n"
	       "    here:               keyclone diverged discard\n",
	    master, d->f->running ? "keycloned has ended; it comes up as the clone" : "keycloned comes up as the clone",
	    c->conf->listen_port);
}

static int may_demote(struct failover *f)
{
	int rc = failover_read(f);

	if (rc == KC_ENOENT)
		return err_set(KC_ENOENT, "%s: no state; this machine never was a master", f->c->conf->state_dir);
	if (rc == KC_OK && !state_is(f, "master"))
		return f->c->conf->role == CONF_CLONE
			   ? cli_usage(f->c, "this machine is a clone already; its master is replication.MasterHost")
			   : err_set(KC_EFAIL, "a promotion was begun here: 'keyclone promote' finishes it");
	return rc;
}

static int cmd_demote(struct cli *c)
{
	struct demoting d = { .port = c->conf->master_listen_port };
	const char *master = cli_string(c, "master");
	struct audit_record r = { .event = AUDIT_DEMOTE };
	char *name = NULL;
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK && master == NULL)
		rc = cli_usage(c, "--master HOST:PORT says who is the master now");
	if (rc == KC_OK)
		rc = host_port_parse(&d.host, &d.port, master);
	d.f = mem_xalloc(sizeof(*d.f));
	d.f->c = c;
	if (rc == KC_OK)
		rc = may_demote(d.f);
	if (rc == KC_OK) {
		name = host_port_format(d.host, d.port);
		r.peer = name;
		r.lineage = d.f->self.lineage;
		r.generation = d.f->self.complete;
		rc = cli_audited(c, &r, work_demote, &d);
	}
	if (rc == KC_OK)
		say_demoted(&d, name);
	free(name);
	free(d.host);
	failover_fini(d.f);
	return rc;
}

static const struct cli_option promote_options[] = {
	{ "password-file", 0, CLI_STRING, "FILE", "password of the installation's backups (- = standard input)" },
	{ "force", 0, CLI_FLAG, NULL, "even if the master answers, or what is stored cannot be applied" },
	{ NULL },
};

static const struct cli_option demote_options[] = {
	{ "master", 0, CLI_STRING, "HOST:PORT", "the new master, and its replication.MasterListenPort" },
	{ NULL },
};

const struct cli_command cmd_failover_commands[] = {
	{ "promote", "", "make this clone the master: its own was lost, or is to be one no more", promote_options,
	    CLI_CONF, cmd_promote },
	{ "demote", "", "make this master, which was replaced, a clone of the new one", demote_options, CLI_CONF,
	    cmd_demote },
	{ NULL },
};
