/* SPDX-License-Identifier: Apache-2.0 */
/* parse: between main.c and cli.c only. */
#ifndef KC_CLI_PARSE_H
#define KC_CLI_PARSE_H

struct cli;

#define CLI_WANTS_HELP 1

/* Options and arguments after the command's words. KC_OK, CLI_WANTS_HELP or KC_EUSAGE. */
int cli_parse_command(struct cli *c, int argc, char **argv);

#endif
