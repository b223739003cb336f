/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_manifest: what parses can be built again, and parses to the same text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "backup/archive.h"
#include "backup/manifest.h"
#include "base/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void build(struct buf *b, const struct manifest *m)
{
	buf_init(b, 2 * ARCHIVE_MANIFEST_MAX);
	if (manifest_build(b, m) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct archive_member *members;
	struct manifest m, again;
	char changes[MANIFEST_CHANGES_TEXT];
	struct buf one, two;
	size_t n;

	if (manifest_parse(&m, data, size) < 0)
		return 0;
	build(&one, &m);
	members = manifest_members(&m, &n);
	for (size_t i = 0; i < n; i++)
		if (archive_name_check(members[i].name) < 0)
			abort();
	manifest_members_free(members, n);
	if (strlen(manifest_changes_text(changes, &m)) >= sizeof(changes))
		abort();
	if ((m.kind == MANIFEST_INCREMENTAL) != (m.files != NULL) || (m.files != NULL && m.base == 0))
		abort();
	manifest_fini(&m);
	if (manifest_parse(&again, buf_data(&one), buf_len(&one)) < 0)
		abort();
	build(&two, &again);
	if (buf_len(&one) != buf_len(&two) || memcmp(buf_data(&one), buf_data(&two), buf_len(&one)) != 0)
		abort();
	manifest_fini(&again);
	buf_fini(&one);
	buf_fini(&two);
	return 0;
}
