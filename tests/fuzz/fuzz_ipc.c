/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: what a client of the control socket, or a worker, can send. Input: the bytes of the stream, or, if it
 * begins with '{', the body of one message. Both ways to read it, from the loop and blocking, must find the same.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ipc.h"
#include "base/loop.h"
#include "base/mem.h"

#define INPUT_MAX 65536 /* what a socket takes at once */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	unsigned messages;
	bool closed;
};

static void must(bool condition)
{
	if (!condition)
		abort();
}

static void on_msg(struct ipc_peer *p, enum ipc_type type, json_t *body, void *arg)
{
	struct seen *s = arg;
	json_t *result;

	(void)type;
	must(json_is_object(body));
	s->messages++;
	/* as control and job do: a member that may lack or be of another type, and an answer that quotes it */
	result = ipc_result_new(err_set(KC_EUSAGE, "unknown request '%s'",
	    json_string_value(json_object_get(body, "verb")) != NULL ? json_string_value(json_object_get(body, "verb"))
								     : ""));
	(void)ipc_result_code(body);
	ipc_peer_send(p, IPC_RESULT, result);
	json_decref(result);
}

static void on_close(struct ipc_peer *p, void *arg)
{
	struct seen *s = arg;

	(void)p;
	s->closed = true;
}

static unsigned by_loop(const uint8_t *data, size_t size)
{
	static struct loop *l;
	struct seen s = { 0 };
	struct ipc_peer *p;
	char drain[4096];
	int fds[2];

	if (l == NULL)
		l = loop_new();
	must(ipc_pair(fds) == KC_OK);
	must(send(fds[1], data, size, 0) == (ssize_t)size);
	must(shutdown(fds[1], SHUT_WR) == 0);
	p = ipc_peer_new(l, fds[0], on_msg, on_close, &s);
	for (int i = 0; i < 10000 && !s.closed; i++) {
		loop_turn(l, 0);
		while (recv(fds[1], drain, sizeof(drain), MSG_DONTWAIT) > 0)
			;
	}
	must(s.closed);
	ipc_peer_free(p);
	close(fds[1]);
	return s.messages;
}

static unsigned by_waiting(const uint8_t *data, size_t size)
{
	unsigned messages = 0;
	json_t *body = NULL;
	enum ipc_type type;
	int fds[2];

	must(ipc_pair(fds) == KC_OK);
	must(send(fds[1], data, size, 0) == (ssize_t)size);
	close(fds[1]);
	while (ipc_recv(&type, &body, fds[0], 1000) == KC_OK) {
		messages++;
		json_decref(body);
	}
	close(fds[0]);
	return messages;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	struct buf b;

	if (!ready)
		ready = mem_init() == KC_OK;
	if (size == 0 || size > INPUT_MAX - 5)
		return 0;
	buf_init(&b, INPUT_MAX);
	if (data[0] == '{') {
		buf_put_u32(&b, (uint32_t)size + 1);
		buf_put_u8(&b, IPC_REQUEST);
	}
	buf_put(&b, data, size);
	must(by_loop(buf_data(&b), buf_len(&b)) == by_waiting(buf_data(&b), buf_len(&b)));
	buf_fini(&b);
	return 0;
}
