/* SPDX-License-Identifier: Apache-2.0 */
/* cli: finds the row of a command, parses its options, prints help made from the same rows. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "parse.h"

static const struct cli_option *find_option(const struct cli_command *cmd, const char *name, size_t n, char letter)
{
	for (const struct cli_option *o = cmd->options; o != NULL && o->name != NULL; o++)
		if (name != NULL ? strlen(o->name) == n && strncmp(o->name, name, n) == 0
				 : o->letter != 0 && o->letter == letter)
			return o;
	return NULL;
}

static int check_number(const struct cli *c, const struct cli_option *o, const char *value)
{
	char *end;

	errno = 0;
	strtoull(value, &end, 10);
	if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0)
		return cli_usage(c, "--%s: '%s' is not a number", o->name, value);
	return KC_OK;
}

/* One option at argv[*i]; moves *i past a separate value. */
static int take_option(struct cli *c, int argc, char **argv, int *i)
{
	const char *a = argv[*i], *value = NULL;
	const struct cli_option *o;

	if (a[1] == '-') {
		size_t n = strcspn(a + 2, "=");

		o = find_option(c->command, a + 2, n, 0);
		if (a[2 + n] == '=')
			value = a + 3 + n;
	} else {
		o = find_option(c->command, NULL, 0, a[1]);
		if (o != NULL && a[2] != '\0')
			value = a + 2;
	}
	if (o == NULL)
		return cli_usage(c, "unknown option %s", a);
	if (o->type == CLI_FLAG && value != NULL)
		return cli_usage(c, "--%s takes no value", o->name);
	if (o->type != CLI_FLAG && value == NULL) {
		if (*i + 1 >= argc)
			return cli_usage(c, "--%s needs a value (%s)", o->name, o->arg);
		value = argv[++*i];
	}
	if (o->type == CLI_NUMBER && check_number(c, o, value) < 0)
		return KC_EUSAGE;
	if (c->given_count == CLI_ARGS_MAX)
		return cli_usage(c, "too many options");
	c->given[c->given_count].option = o;
	c->given[c->given_count++].value = value;
	return KC_OK;
}

int cli_parse_command(struct cli *c, int argc, char **argv)
{
	bool options = true;

	for (int i = 0; i < argc; i++) {
		const char *a = argv[i];

		if (options && strcmp(a, "--") == 0) {
			options = false;
		} else if (options && (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0)) {
			return CLI_WANTS_HELP;
		} else if (options && strcmp(a, "--json") == 0) {
			c->json = true;
		} else if (options && a[0] == '-' && a[1] != '\0') {
			int rc = take_option(c, argc, argv, &i);

			if (rc < 0)
				return rc;
		} else if (c->argc == CLI_ARGS_MAX) {
			return cli_usage(c, "too many arguments");
		} else {
			c->argv[c->argc++] = a;
		}
	}
	return KC_OK;
}

const char *cli_string(const struct cli *c, const char *name)
{
	for (int i = c->given_count - 1; i >= 0; i--)
		if (strcmp(c->given[i].option->name, name) == 0)
			return c->given[i].value;
	return NULL;
}

bool cli_flag(const struct cli *c, const char *name)
{
	for (int i = 0; i < c->given_count; i++)
		if (strcmp(c->given[i].option->name, name) == 0)
			return true;
	return false;
}

uint64_t cli_number(const struct cli *c, const char *name, uint64_t otherwise)
{
	const char *s = cli_string(c, name);

	return s != NULL ? strtoull(s, NULL, 10) : otherwise;
}

const char *cli_many(const struct cli *c, const char *name, int i)
{
	for (int k = 0; k < c->given_count; k++)
		if (strcmp(c->given[k].option->name, name) == 0 && i-- == 0)
			return c->given[k].value;
	return NULL;
}

int cli_usage(const struct cli *c, const char *fmt, ...)
{
	char what[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	return err_set(KC_EUSAGE, "%s: %s (see 'keyclone %s --help')", c->command->name, what, c->command->name);
}

int cli_args(const struct cli *c, int min, int max)
{
	if (c->argc < min)
		return cli_usage(c, "%s is missing", c->command->args);
	if (c->argc > max)
		return cli_usage(c, "unexpected argument '%s'", c->argv[max]);
	return KC_OK;
}

int cli_quiet(struct cli *c, int code)
{
	c->quiet_error = true;
	return code;
}

bool cli_problems(const struct conf_problems *p)
{
	for (size_t i = 0; i < p->errors.count; i++)
		fprintf(stderr, "keyclone: %s\n", p->errors.items[i]);
	for (size_t i = 0; i < p->warnings.count; i++)
		fprintf(stderr, "keyclone: warning: %s\n", p->warnings.items[i]);
	return p->errors.count > 0;
}

int cli_print_json(json_t *value)
{
	int rc = json_dumpf(value, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);

	json_decref(value);
	if (rc < 0 || putchar('\n') == EOF || fflush(stdout) != 0)
		return err_errno("standard output");
	return KC_OK;
}

int cli_write(const char *path, const void *data, size_t n, mode_t mode)
{
	struct file_new f = FILE_NEW_EMPTY;
	int rc;

	/* Not by way of stdio, whose buffer would keep a copy of a key. */
	if (path == NULL || strcmp(path, "-") == 0)
		return fflush(stdout) != 0 ? err_errno("standard output")
					   : file_write_all(STDOUT_FILENO, data, n, "standard output");
	rc = file_new_begin(&f, path, mode);
	if (rc < 0)
		return rc;
	file_new_write(&f, data, n);
	return file_new_commit_excl(&f);
}

/* --- passwords --- */

static int ask(char **password, int tty, const char *prompt)
{
	struct termios old, quiet;
	int rc;

	if (tcgetattr(tty, &old) < 0)
		return err_errno("terminal");
	quiet = old;
	quiet.c_lflag &= ~(tcflag_t)ECHO;
	dprintf(tty, "%s: ", prompt);
	tcsetattr(tty, TCSAFLUSH, &quiet);
	rc = file_read_password_fd(password, tty, "terminal");
	tcsetattr(tty, TCSAFLUSH, &old);
	dprintf(tty, "\n");
	return rc;
}

static int ask_twice(char **password, int tty, const char *prompt, bool confirm)
{
	char *first = NULL, *second = NULL, *again;
	int rc = ask(&first, tty, prompt);

	if (rc < 0 || !confirm) {
		*password = first;
		return rc;
	}
	again = mem_xasprintf("%s, again", prompt);
	rc = ask(&second, tty, again);
	free(again);
	if (rc == KC_OK && strcmp(first, second) != 0)
		rc = err_set(KC_EUSAGE, "the two passwords differ");
	mem_secret_free(second);
	if (rc < 0)
		mem_secret_free(first);
	else
		*password = first;
	return rc;
}

int cli_password(char **password, const char *file, const char *prompt, bool confirm, const char *option)
{
	int fd = -1, rc;

	if (file != NULL && strcmp(file, "-") == 0)
		return file_read_password_fd(password, STDIN_FILENO, "standard input");
	if (file != NULL)
		return file_read_password(password, file);
	fd = isatty(STDIN_FILENO) ? open("/dev/tty", O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return err_set(KC_EUSAGE, "%s: no terminal to ask on; give --%s FILE", prompt, option);
	rc = ask_twice(password, fd, prompt, confirm);
	close(fd);
	return rc;
}
