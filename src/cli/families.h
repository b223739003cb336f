/* SPDX-License-Identifier: Apache-2.0 */
/* families: every array of command rows. A new one adds a line here and one in families.c. */
#ifndef KC_CLI_FAMILIES_H
#define KC_CLI_FAMILIES_H

#include "cli.h"

extern const struct cli_command cmd_daemon_commands[];
extern const struct cli_command cmd_clone_commands[];
extern const struct cli_command cmd_enroll_commands[];
extern const struct cli_command cmd_failover_commands[];
extern const struct cli_command cmd_init_commands[];
extern const struct cli_command cmd_config_commands[];
extern const struct cli_command cmd_check_commands[];
extern const struct cli_command cmd_backup_commands[];
extern const struct cli_command cmd_key_commands[];
extern const struct cli_command cmd_cert_commands[];
extern const struct cli_command cmd_rotate_commands[];
extern const struct cli_command cmd_cert_import_commands[];
extern const struct cli_command cmd_cert_make_commands[];
extern const struct cli_command cmd_cert_show_commands[];
extern const struct cli_command cmd_renew_commands[];
extern const struct cli_command cmd_trust_commands[];
extern const struct cli_command cmd_audit_commands[];
extern const struct cli_command cmd_explain_commands[];

extern const struct cli_command *const cli_families[];

#endif
