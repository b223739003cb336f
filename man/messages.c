/* SPDX-License-Identifier: Apache-2.0 */
/* messages: writes the manual page keyclone-messages(7) from the table of messages. Runs at build time only. */
#include <stdio.h>

#include "base/err.h"
#include "base/msg.h"

#define PAGE_MAX (1024 * 1024)

int main(void)
{
	struct buf b;
	bool ok;

	buf_init(&b, PAGE_MAX);
	msg_man_page(&b, PACKAGE_VERSION);
	ok = buf_status(&b) == KC_OK && fwrite(buf_data(&b), 1, buf_len(&b), stdout) == buf_len(&b) &&
	     fflush(stdout) == 0;
	buf_fini(&b);
	return ok ? 0 : 1;
}
