/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command: a program with its arguments as one line of the configuration, without a shell.
 *
 * Words are separated by blanks. Within '…' everything is literal; within "…" everything but \" and \\; elsewhere a
 * backslash makes the next character literal. Nothing is expanded: no variables, no patterns, no redirection, no ~.
 * The first word is an absolute path, or a bare name that is looked for in COMMAND_PATH, whatever $PATH says.
 */
#ifndef KC_COMMAND_H
#define KC_COMMAND_H

#define COMMAND_PATH	  "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define COMMAND_WORDS_MAX 64

struct command {
	char **argv; /* NULL-terminated, at least one word */
	unsigned count;
};

/* KC_EFORMAT: no word, too many, a quote that is not closed, a backslash at the end, a first word that is neither. */
int command_parse(struct command *c, const char *text);
void command_fini(struct command *c);

/* The program's file, heap. KC_ENOENT: there is none (in the path); KC_EPERM: it is no program that we may run. */
int command_find(char **path, const struct command *c);

/* Could somebody else than root and `us` change what runs? KC_EPERM with who: the file, or a folder that it is in, is
 * writable by everybody (but for folders with the sticky bit), or belongs to another user. */
int command_check_safe(const char *path);

#endif
