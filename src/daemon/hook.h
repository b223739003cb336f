/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hook: commands of the operator's: restore.AfterCommand and replication.AlertCommand.
 *
 * The daemon is confined and cannot start programs. For each run it asks the starter for a helper, `keycloned --hook`,
 * which is not confined, and tells it which hook, and values for its environment; the helper reads the command from the
 * configuration file by itself. So a daemon that was taken over can have the operator's command run with wrong values,
 * but not another program. The helper supervises the command (hook_run.c) and ends with it.
 *
 * Runs are queued: restore.AfterCommand one after the other, in the order of generations; of replication.AlertCommand
 * two at a time. Nothing waits for them. Each is audited at its start and end. A restore whose command had not ended
 * when the daemon did is told again by the next start; so is an alert.
 */
#ifndef KC_HOOK_H
#define KC_HOOK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* constant, name (KEYCLONE_HOOK), property, member of struct conf, runs at a time */
#define HOOK_TABLE(H)                                                          \
	H(HOOK_RESTORED, "restored", "restore.AfterCommand", after_command, 1) \
	H(HOOK_ALERT, "alert", "replication.AlertCommand", alert_command, 2)

enum hook {
#define H(constant, name, property, member, parallel) constant,
	HOOK_TABLE(H)
#undef H
	    HOOK_COUNT
};

/*
 * The values that the daemon gives, as KEYCLONE_name; the rest (ROLE, CONFIG, DATABASE, HOOK) the helper knows. Others
 * are not passed on. keyclone.properties(5) says what they are.
 */
#define HOOK_VALUES                                                                                               \
	"HOST", "GENERATION", "LINEAGE", "ROWS", "DIGEST", "BACKUP", "MASTER", "DURATION_MS", "ALERT", "SUBJECT", \
	    "TITLE", "TEXT", "STATE", "SINCE"

#ifndef HOOK_TIMEOUT_MS	      /* shorter in a test */
#define HOOK_TIMEOUT_MS 60000 /* then TERM */
#define HOOK_GRACE_MS	5000  /* then KILL */
#endif

struct daemon;
struct hooks;
struct state_alert;

int hooks_new(struct hooks **h, struct daemon *d);
/* Helpers are ended, and with them their commands. NULL is a no-op. */
void hooks_free(struct hooks *h);
/* What the last daemon did not get told. After confinement. */
void hooks_start(struct hooks *h);

/* A generation was restored; d->self says which. Remembered until its command has ended. No-op without a command. */
void hook_restored(struct daemon *d, const char *master, uint64_t duration_ms);
/* An alert was raised or is over. alert_told_fn's shape. */
void hook_alert(struct daemon *d, int kind, const struct state_alert *a, bool raised);

/* main of `keycloned --hook`: one run, asked for on descriptor 3. */
int hook_main(const char *conf_path);

#endif
