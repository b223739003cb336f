/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cli: the command line `keyclone`. One table of commands; each command is one row with its options and its help.
 *
 * A family of commands lives in one file cmd_<family>.c and exports one array of rows, closed by a row without a
 * name, that families.c lists. A handler gets parsed options, does its work and returns KC_OK or an error
 * code; main prints `keyclone: what: why` on standard error and turns the code into the exit status (err.h). A handler
 * that has already printed everything its user needs returns the code through cli_quiet().
 *
 *     static int cmd_list(struct cli *c);
 *     static const struct cli_option list_options[] = {
 *             { "group", 'g', CLI_STRING, "NAME", "only keys of this group" },
 *             { NULL },
 *     };
 *     const struct cli_command cmd_key_commands[] = {
 *             { "key list", "", "list the keys of the built-in database", list_options, CLI_CONF, cmd_list },
 *             { NULL },
 *     };
 */
#ifndef KC_CLI_H
#define KC_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/audit.h"
#include "base/conf.h"

enum cli_option_type {
	CLI_FLAG,   /* --replace */
	CLI_STRING, /* --alias NAME; given again: the last one counts, unless CLI_MANY */
	CLI_NUMBER, /* --count N: decimal, >= 0 */
	CLI_MANY,   /* --clone HOST:PORT, any number of times */
};

struct cli_option {
	const char *name; /* long name without dashes */
	char letter;	  /* short option or 0 */
	enum cli_option_type type;
	const char *arg; /* its argument's name in the help; NULL for a flag */
	const char *help;
};

enum cli_flags {
	CLI_CONF = 1,	      /* the configuration is loaded before (c->conf) and must be right */
	CLI_CONF_LENIENT = 2, /* c->conf_path is set; the handler loads it itself */
	CLI_CONF_SYSTEM = 4   /* with --system as CLI_CONF_LENIENT: there may be none yet */
};

struct cli;
typedef int (*cli_handler)(struct cli *c);

struct cli_command {
	const char *name; /* one or two words: "status", "key list" */
	const char *args; /* positional arguments as the help shows them: "FILE", "[CODE]" */
	const char *help; /* one line, imperative */
	const struct cli_option *options;
	int flags;
	cli_handler run;
};

#define CLI_ARGS_MAX 128

struct cli {
	const struct cli_command *command;
	const char *conf_path; /* resolved: -c, $KEYCLONE_CONFIG, the system's */
	char *conf_path_made;  /* owns it */
	struct conf *conf;     /* with CLI_CONF */
	struct audit *audit;   /* opened by cli_audit(), closed by main */
	bool json;	       /* --json */
	bool quiet_error;
	int argc; /* positional arguments after the command's words */
	const char *argv[CLI_ARGS_MAX];
	struct {
		const struct cli_option *option;
		const char *value;
	} given[CLI_ARGS_MAX];
	int given_count;
};

/* Options. NULL, false or `otherwise` where not given. */
const char *cli_string(const struct cli *c, const char *name);
bool cli_flag(const struct cli *c, const char *name);
uint64_t cli_number(const struct cli *c, const char *name, uint64_t otherwise);
/* The i-th of a CLI_MANY option, NULL past the last. */
const char *cli_many(const struct cli *c, const char *name, int i);

/* KC_EUSAGE with "keyclone NAME: …" and a hint to --help. */
int cli_usage(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Between min and max positional arguments, else KC_EUSAGE. */
int cli_args(const struct cli *c, int min, int max);
/* Return this instead of `code` when the user has been told already: main prints nothing more. */
int cli_quiet(struct cli *c, int code);

/* Errors and warnings of a configuration, a line each on standard error. True: there were errors. */
bool cli_problems(const struct conf_problems *p);

/* Print a JSON value and a newline on standard output; takes the reference. KC_ESYS if standard output is gone. */
int cli_print_json(json_t *value);

/*
 * A password from `file` ("-" = one line of standard input; a trailing newline is dropped), or, if `file` is NULL, from
 * a prompt on the terminal without echo (asked twice with `confirm`); no terminal: KC_EUSAGE naming `option`. The
 * result is secret memory, the caller's (mem_secret_free).
 */
int cli_password(char **password, const char *file, const char *prompt, bool confirm, const char *option);

/* All of `data` to standard output (`path` NULL or "-") or into a new file; KC_EEXIST: nothing is overwritten. */
int cli_write(const char *path, const void *data, size_t n, mode_t mode);

/* The audit log of c->conf, opened on first use; records of commands carry the administrator's login in `detail`. */
int cli_audit(struct audit **audit, struct cli *c);

/*
 * One audited piece of work: a record of its start, synced, then `work`, which may complete `r`, then the record of its
 * end, of a failure with the reason in place of r's detail. The work is not begun if its start cannot be recorded.
 */
typedef int (*cli_work_fn)(struct cli *c, struct audit_record *r, void *arg);
int cli_audited(struct cli *c, struct audit_record *r, cli_work_fn work, void *arg);

#endif
