/* SPDX-License-Identifier: Apache-2.0 */
/* main of keyclone: global options, the command's row, its handler, its exit status. */
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "cli.h"
#include "families.h"
#include "parse.h"

static void print_usage(FILE *out)
{
	fputs("usage: keyclone [-c FILE] [--json] COMMAND [ARGUMENTS]\n\n"
	      "Replicates a key database from a master to its clones.\n\n",
	    out);
	for (size_t f = 0; cli_families[f] != NULL; f++)
		for (const struct cli_command *cmd = cli_families[f]; cmd->name != NULL; cmd++)
			fprintf(out, "  %-18s %s\n", cmd->name, cmd->help);
	fputs("\n  -c, --config FILE  configuration (else $KEYCLONE_CONFIG, else " SYSCONFDIR
	      "/keyclone/keyclone.properties)\n"
	      "  --json             answer in JSON\n"
	      "  --version          print the version\n\n"
	      "'keyclone COMMAND --help' describes one command. Manual: keyclone(1), keyclone.properties(5).\n",
	    out);
}

static void print_help(const struct cli_command *cmd)
{
	bool options = cmd->options != NULL && cmd->options[0].name != NULL;

	printf("usage: keyclone [-c FILE] [--json] %s%s%s%s\n\n%c%s.\n", cmd->name, options ? " [OPTIONS]" : "",
	    cmd->args[0] != '\0' ? " " : "", cmd->args, cmd->help[0] & ~0x20, cmd->help + 1);
	for (const struct cli_option *o = cmd->options; options && o->name != NULL; o++) {
		char left[80];

		if (o == cmd->options)
			putchar('\n');
		snprintf(left, sizeof(left), "%c%c%s--%s%s%s", o->letter != 0 ? '-' : ' ',
		    o->letter != 0 ? o->letter : ' ', o->letter != 0 ? ", " : "  ", o->name, o->arg != NULL ? " " : "",
		    o->arg != NULL ? o->arg : "");
		printf("  %-32s %s\n", left, o->help);
	}
}

/* How many of the words name this command: 0 if they do not. */
static int words_of(const struct cli_command *cmd, int argc, char **argv)
{
	size_t n = strcspn(cmd->name, " ");

	if (argc < 1 || strlen(argv[0]) != n || strncmp(cmd->name, argv[0], n) != 0)
		return 0;
	if (cmd->name[n] == '\0')
		return 1;
	return argc > 1 && strcmp(cmd->name + n + 1, argv[1]) == 0 ? 2 : 0;
}

/* "key" alone, or "key bogus": name the family's members. */
static int unknown_command(int argc, char **argv)
{
	char members[400] = "";
	size_t n = strlen(argv[0]);

	for (size_t f = 0; cli_families[f] != NULL; f++)
		for (const struct cli_command *cmd = cli_families[f]; cmd->name != NULL; cmd++)
			if (strncmp(cmd->name, argv[0], n) == 0 && cmd->name[n] == ' ') {
				size_t have = strlen(members);

				snprintf(members + have, sizeof(members) - have, "%s%s", have > 0 ? ", " : "",
				    cmd->name + n + 1);
			}
	if (members[0] == '\0')
		return err_set(KC_EUSAGE, "unknown command '%s' (see 'keyclone --help')", argv[0]);
	if (argc < 2)
		return err_set(KC_EUSAGE, "%s: which one: %s?", argv[0], members);
	return err_set(KC_EUSAGE, "%s: unknown command '%s'; there are: %s", argv[0], argv[1], members);
}

static const struct cli_command *find_command(int *words, int argc, char **argv)
{
	const struct cli_command *best = NULL;

	*words = 0;
	for (size_t f = 0; cli_families[f] != NULL; f++)
		for (const struct cli_command *cmd = cli_families[f]; cmd->name != NULL; cmd++) {
			int n = words_of(cmd, argc, argv);

			if (n > *words) {
				*words = n;
				best = cmd;
			}
		}
	return best;
}

/* Options before the command. Returns the index of the command's first word, or an error. */
static int global_options(struct cli *c, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc && argv[i][0] == '-'; i++) {
		if (strcmp(argv[i], "--json") == 0) {
			c->json = true;
		} else if (strcmp(argv[i], "-c") == 0 || strcmp(argv[i], "--config") == 0) {
			if (i + 1 >= argc)
				return err_set(KC_EUSAGE, "%s needs a file", argv[i]);
			c->conf_path = argv[++i];
		} else if (strncmp(argv[i], "--config=", 9) == 0) {
			c->conf_path = argv[i] + 9;
		} else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			print_usage(stdout);
			exit(0);
		} else if (strcmp(argv[i], "--version") == 0) {
			puts("keyclone " PACKAGE_VERSION);
			exit(0);
		} else {
			return err_set(KC_EUSAGE, "unknown option %s (see 'keyclone --help')", argv[i]);
		}
	}
	return i;
}

static int load_conf(struct cli *c)
{
	struct conf_problems p = CONF_PROBLEMS_EMPTY;
	const char *env = getenv("KEYCLONE_CONFIG");
	bool chosen = c->conf_path != NULL || (env != NULL && env[0] != '\0');
	int rc;

	c->conf_path = c->conf_path_made = conf_default_path(c->conf_path);
	if (!(c->command->flags & CLI_CONF) || (c->command->flags & CLI_CONF_SYSTEM && cli_flag(c, "system")))
		return KC_OK;
	rc = conf_load(&c->conf, c->conf_path, 0, &p);
	conf_list_fini(&p.warnings); /* `config check` and the daemon say them */
	if (cli_problems(&p))
		cli_quiet(c, rc);
	else if (rc < 0 && !chosen)
		rc = err_set(rc, "%s; another one is given with -c FILE or KEYCLONE_CONFIG", err_text(rc));
	conf_problems_fini(&p);
	return rc;
}

static int run(struct cli *c, int argc, char **argv)
{
	int first = global_options(c, argc, argv), words, rc;

	if (first < 0)
		return first;
	if (first == argc) {
		print_usage(stderr);
		return cli_quiet(c, KC_EUSAGE);
	}
	c->command = find_command(&words, argc - first, argv + first);
	if (c->command == NULL)
		return unknown_command(argc - first, argv + first);
	rc = cli_parse_command(c, argc - first - words, argv + first + words);
	if (rc == CLI_WANTS_HELP) {
		print_help(c->command);
		return KC_OK;
	}
	if (rc < 0)
		return rc;
	rc = load_conf(c);
	return rc < 0 ? rc : c->command->run(c);
}

/* Somebody waits for it: as errors are told, without the time. */
static void print_warning(enum log_level level, const char *text, void *arg)
{
	(void)arg;
	fprintf(stderr, "keyclone: %s%s\n", level == LOG_LVL_WARN ? "warning: " : "", text);
}

int main(int argc, char **argv)
{
	struct cli c = { 0 };
	int rc;

	setlocale(LC_TIME, "");
	log_init("keyclone", LOG_LVL_WARN);
	log_set_sink(print_warning, NULL);
	/* Keys and passwords pass through here as well: no core dump, no tracing. */
	rc = proc_harden();
	if (rc == KC_OK)
		rc = mem_init();
	if (rc == KC_OK)
		rc = run(&c, argc, argv);
	if (rc == KC_OK && fflush(stdout) != 0)
		rc = err_errno("standard output");
	if (rc < 0)
		(void)fflush(stdout); /* what was said before comes first */
	if (rc < 0 && !c.quiet_error)
		fprintf(stderr, "keyclone: %s\n", err_text(rc));
	audit_close(c.audit);
	conf_free(c.conf);
	free(c.conf_path_made);
	return err_exit_status(rc);
}
