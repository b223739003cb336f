/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_rotate: cert rotate: what is asked of the running master, and what it says while it goes from clone to clone. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/member.h"
#include "base/str.h"
#include "cert_options.h"
#include "cli.h"
#include "daemon_client.h"
#include "families.h"

#define CLONES_MAX 32

/* The phase that was said last, and of each clone why it waits. */
struct said {
	char phase[32];
	char clone[CLONES_MAX][400];
};

static const struct {
	const char *phase, *text;
} phases[] = {
	{ "begin", "making and trusting the new certificate here" },
	{ "prepare", "telling every clone to trust it, and to have its own" },
	{ "switch", "every clone trusts it: the clones change to it" },
	{ "master", "every clone has changed: this master changes" },
	{ "verify", "a session with each clone on the new certificates" },
	{ "revoke", "proved everywhere: the old certificates are revoked" },
	{ "retire", "the old certificates, and what was trusted for them, go from the clones" },
	{ "end", "gone from every clone: they go from this master" },
	{ "back-master", "taken back: this master returns to the old certificate" },
	{ "back", "the clones return to theirs" },
	{ "back-end", "what was new goes" },
};

static const char *phase_text(const char *phase)
{
	for (size_t i = 0; i < sizeof(phases) / sizeof(phases[0]); i++)
		if (strcmp(phases[i].phase, phase) == 0)
			return phases[i].text;
	return phase;
}

/* Why it waits, when that is news. */
static void say_clone(struct said *s, size_t i, const json_t *c)
{
	const char *error = member_text(c, "error");
	char line[400] = "";

	if (i >= CLONES_MAX)
		return;
	if (error[0] != '\0')
		snprintf(line, sizeof(line), "  %s: %s waits: %.250s", member_text(c, "clone"), member_text(c, "step"),
		    error);
	if (line[0] != '\0' && strcmp(line, s->clone[i]) != 0)
		puts(line);
	STR_COPY(s->clone[i], line);
}

static void on_progress(const json_t *progress, void *arg)
{
	const json_t *r = json_object_get(progress, "rotation"), *clones = json_object_get(r, "clones");
	struct said *s = arg;

	if (s == NULL || !json_is_true(json_object_get(r, "active")))
		return;
	if (strcmp(s->phase, member_text(r, "phase")) != 0) {
		STR_COPY(s->phase, member_text(r, "phase"));
		printf("%s\n", phase_text(s->phase));
	}
	for (size_t i = 0; i < json_array_size(clones); i++)
		say_clone(s, i, json_array_get(clones, i));
	fflush(stdout);
}

static void print_clones(const json_t *clones)
{
	if (json_array_size(clones) == 0)
		return;
	printf("\n%-24s  %-9s  %-8s  %s\n", "CLONE", "HAS", "NEXT", "WAITS");
	for (size_t i = 0; i < json_array_size(clones); i++) {
		const json_t *c = json_array_get(clones, i);
		const char *error = member_text(c, "error"), *kind = member_text(c, "kind");
		bool waits = json_is_true(json_object_get(c, "waits"));

		printf("%-24s  %-9s  %-8s  ", member_text(c, "clone"),
		    strcmp(kind, "site") == 0	    ? "the site's"
		    : strcmp(kind, "own") == 0	    ? "its own"
		    : strcmp(kind, "external") == 0 ? "external"
						    : "?",
		    member_text(c, "step"));
		if (error[0] != '\0')
			printf("since %s: %s\n", member_text(c, "since"), error);
		else if (strcmp(member_text(c, "step"), "done") == 0)
			puts("-");
		else
			puts(waits ? "this step is being taken" : "for the other clones");
	}
}

static void print_status(const json_t *r)
{
	if (!json_is_object(r)) {
		puts("No certificate was rotated here yet.");
		return;
	}
	if (!json_is_true(json_object_get(r, "active"))) {
		printf("No rotation is under way. The last one, %s to %s, %s at %s.\n", member_text(r, "from"),
		    member_text(r, "to"),
		    json_is_true(json_object_get(r, "undone")) ? "was taken back" : "was completed",
		    member_text(r, "ended"));
		return;
	}
	printf("Certificate %s gives way to %s%s, since %s: %s.\n", member_text(r, "from"), member_text(r, "to"),
	    json_is_true(json_object_get(r, "new_authority")) ? " of another authority" : "", member_text(r, "began"),
	    phase_text(member_text(r, "phase")));
	if (strcmp(member_text(r, "phase"), "begin") != 0)
		print_clones(json_object_get(r, "clones"));
}

static int ask(struct cli *c, json_t *request, bool show)
{
	struct said said = { "" };
	json_t *result = NULL;
	const json_t *rotation;
	int rc = daemon_call(&result, c, request, on_progress, c->json || show ? NULL : &said);

	rotation = json_object_get(result, "rotation");
	if (c->json && rotation != NULL)
		cli_print_json(json_pack("{s:O}", "rotation", rotation));
	else if (show && rc == KC_OK)
		print_status(rotation);
	else if (rc == KC_OK && json_is_true(json_object_get(rotation, "active")))
		puts(
		    "It goes on by itself: 'keyclone cert rotate --status' shows how far it is and whom it waits for.");
	else if (rc == KC_OK && json_is_true(json_object_get(rotation, "undone")))
		printf("Taken back: %s is in force again.\n", member_text(rotation, "from"));
	else if (rc == KC_OK)
		printf("Done: %s is in force, and every clone has proved it.\n", member_text(rotation, "to"));
	json_decref(result);
	return rc;
}

static int check_options(const struct cli *c)
{
	bool make = cli_flag(c, "new") || cli_flag(c, "new-authority");
	int asked = (int)cli_flag(c, "new") + (int)cli_flag(c, "new-authority") + (int)(cli_string(c, "to") != NULL) +
		    (int)cli_flag(c, "status") + (int)cli_flag(c, "abort");

	if (asked != 1)
		return cli_usage(c, "one of --new, --new-authority, --to ALIAS, --status and --abort");
	if (!make && (cli_string(c, "key-type") != NULL || cli_string(c, "days") != NULL))
		return cli_usage(c, "--key-type and --days are for --new and --new-authority");
	return KC_OK;
}

static int cmd_rotate(struct cli *c)
{
	const char *to = cli_string(c, "to"), *type = cli_string(c, "key-type");
	bool wait = !cli_flag(c, "no-wait");
	unsigned days = 0;
	int rc = cli_args(c, 0, 0);

	if (rc == KC_OK)
		rc = check_options(c);
	if (rc == KC_OK)
		rc = cert_days_read(&days, c);
	if (rc == KC_OK && c->conf->role != CONF_MASTER)
		rc = err_set(KC_EUSAGE, "this machine is a clone; certificates are rotated from its master");
	if (rc < 0)
		return rc;
	if (cli_flag(c, "status"))
		return ask(c, json_pack("{s:s}", "verb", "cert-rotate-status"), true);
	if (cli_flag(c, "abort"))
		return ask(c, json_pack("{s:s, s:b}", "verb", "cert-rotate-abort", "wait", (int)wait), false);
	return ask(c,
	    json_pack("{s:s, s:s, s:b, s:s, s:I, s:b}", "verb", "cert-rotate", "to", to != NULL ? to : "", "authority",
		(int)cli_flag(c, "new-authority"), "key_type", type != NULL ? type : "", "days", (json_int_t)days,
		"wait", (int)wait),
	    false);
}

static const struct cli_option rotate_options[] = {
	{ "new", 0, CLI_FLAG, NULL, "to a new key and certificate, for the same names, of the same issuer" },
	{ "new-authority", 0, CLI_FLAG, NULL, "to new ones of a new own authority" },
	{ "to", 0, CLI_STRING, "ALIAS", "to one that is in this master's keystore already" },
	{ "key-type", 0, CLI_STRING, "TYPE", "of the master's new key (ecdsa-p256)" },
	{ "days", 0, CLI_NUMBER, "N", "how long the new ones are valid (825)" },
	{ "status", 0, CLI_FLAG, NULL, "how far it is, and whom it waits for" },
	{ "abort", 0, CLI_FLAG, NULL, "take it back: everywhere the old ones" },
	{ "no-wait", 0, CLI_FLAG, NULL, "do not wait for the end" },
	{ NULL },
};

const struct cli_command cmd_rotate_commands[] = {
	{ "cert rotate", "", "replace the certificates of master and clones while replication goes on", rotate_options,
	    CLI_CONF, cmd_rotate },
	{ NULL },
};
