/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: what a peer can send. Input: one byte state and role, one byte type, the payload. What decodes must
 * encode, and decode to the same text again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "replication/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct proto_msg first, second;
	struct proto_fsm f;
	enum proto_role from;
	struct buf a, b;

	if (size < 2)
		return 0;
	from = data[0] & 1 ? PROTO_MASTER : PROTO_CLONE;
	proto_fsm_init(&f, from == PROTO_MASTER ? PROTO_CLONE : PROTO_MASTER, data[0] & 2);
	f.state = (enum proto_state)(1 << (data[0] >> 2) % 13);
	if (proto_fsm_check(&f, true, data[1], size - 2) == KC_OK)
		proto_fsm_step(&f, true, data[1]);
	if (size - 2 > PROTO_CONTROL_MAX || proto_decode(&first, from, data[1], data + 2, size - 2) < 0)
		return 0;
	buf_init(&a, PROTO_CONTROL_MAX);
	buf_init(&b, PROTO_CONTROL_MAX);
	must(proto_encode(&a, &first, from) == KC_OK);
	must(proto_decode(&second, from, data[1], buf_data(&a), buf_len(&a)) == KC_OK);
	must(proto_encode(&b, &second, from) == KC_OK);
	must(buf_len(&a) == buf_len(&b) && memcmp(buf_data(&a), buf_data(&b), buf_len(&a)) == 0);
	buf_fini(&a);
	buf_fini(&b);
	return 0;
}
