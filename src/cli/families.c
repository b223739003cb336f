/* SPDX-License-Identifier: Apache-2.0 */
/* families: every array of command rows, in the order the help shows them. */
#include "families.h"

const struct cli_command *const cli_families[] = {
	cmd_init_commands,
	cmd_config_commands,
	cmd_check_commands,
	cmd_daemon_commands,
	cmd_clone_commands,
	cmd_enroll_commands,
	cmd_failover_commands,
	cmd_backup_commands,
	cmd_key_commands,
	cmd_cert_make_commands,
	cmd_cert_import_commands,
	cmd_cert_commands,
	cmd_cert_show_commands,
	cmd_rotate_commands,
	cmd_renew_commands,
	cmd_trust_commands,
	cmd_audit_commands,
	cmd_explain_commands,
	NULL,
};
