/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn_io: frames through TLS. Reads until the descriptor is empty or a fair share is done; writes control frames and
 * the one data frame in the order they were queued. Nothing is allocated for a frame before its header is allowed.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "conn_priv.h"

/* What one session may do before the others have their turn. */
#define FRAMES_A_TURN 32
#define BYTES_A_TURN  (1024u * 1024)
#define DATA_A_TURN   4
/* Less of a big frame than this is no sign of life. */
#define PROGRESS_BYTES 16384

/* --- in --- */

static uint32_t length_of(const uint8_t *head)
{
	return (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
}

static void begin_frame(struct conn *c)
{
	uint32_t n = length_of(c->head);
	int rc = proto_fsm_check(&c->fsm, true, c->head[4], n);

	if (rc < 0) {
		conn_abort(c, rc);
		return;
	}
	if (n > c->in_size) {
		free(c->in);
		c->in = mem_xalloc(n);
		c->in_size = n;
	}
	c->in_length = n;
	c->in_got = c->in_seen = 0;
}

static void peer_error(struct conn *c)
{
	struct proto_msg *m = mem_xalloc(sizeof(*m));
	int rc =
	    proto_decode(m, c->opt.self == PROTO_MASTER ? PROTO_CLONE : PROTO_MASTER, PROTO_ERROR, c->in, c->in_length);

	if (rc == KC_OK) {
		rc = err_from_name(m->error.error);
		rc = rc == KC_OK ? KC_EPROTO : rc;
		err_set(rc, "the peer ended the session: %s", m->error.message);
	}
	free(m);
	conn_end(c, rc, err_text(rc));
}

/* Both hellos are exchanged, or what takes their place is there: the deadline of that is over. */
static void note_greeted(struct conn *c)
{
	bool greeted =
	    c->fsm.state == PROTO_S_IDLE || c->fsm.state == PROTO_S_REPORTS || c->fsm.state == PROTO_S_JOINING;

	if (greeted && c->owner_what != NULL &&
	    (strcmp(c->owner_what, CONN_HELLO) == 0 || strcmp(c->owner_what, CONN_JOIN) == 0))
		conn_deadline(c, 0, NULL);
}

static void deliver(struct conn *c)
{
	uint8_t type = c->head[4];
	int rc = KC_OK;

	c->head_got = 0;
	c->last_in = loop_now(c->loop);
	proto_fsm_step(&c->fsm, true, type);
	note_greeted(c);
	switch (type) {
	case PROTO_ALIVE:
		break;
	case PROTO_BYE:
		conn_end(c, KC_OK, "ended by the peer");
		break;
	case PROTO_ERROR:
		peer_error(c);
		break;
	default:
		if (c->events.on_frame != NULL)
			rc = c->events.on_frame(c, type, c->in, c->in_length, c->arg);
		if (rc < 0 && !c->freed)
			conn_abort(c, rc);
	}
}

/* `n` more bytes of the header or the payload are there. True when that completed a frame. */
static bool advance(struct conn *c, size_t n)
{
	c->bytes_in += n;
	if (c->head_got < PROTO_HEAD_BYTES) {
		c->head_got += n;
		if (c->head_got < PROTO_HEAD_BYTES)
			return false;
		begin_frame(c);
		if (!conn_is_open(c) || c->in_length > 0)
			return false;
	} else {
		c->in_got += n;
		if (c->in_got - c->in_seen >= PROGRESS_BYTES) {
			c->in_seen = c->in_got;
			c->last_in = loop_now(c->loop);
		}
	}
	if (c->in_got < c->in_length)
		return false;
	deliver(c);
	return true;
}

static enum tls_result read_some(struct conn *c, size_t *n)
{
	uint8_t scratch[4096];

	if (c->finishing) /* we have ended the session: nothing that comes matters */
		return tls_read(c->tls, scratch, sizeof(scratch), n);
	if (c->head_got < PROTO_HEAD_BYTES)
		return tls_read(c->tls, c->head + c->head_got, PROTO_HEAD_BYTES - c->head_got, n);
	return tls_read(c->tls, c->in + c->in_got, c->in_length - c->in_got, n);
}

void conn_read(struct conn *c)
{
	size_t n, bytes = 0;
	unsigned frames = 0;

	while (c->phase == CONN_OPEN && !c->freed) {
		switch (read_some(c, &n)) {
		case TLS_OK:
			break;
		case TLS_AGAIN_READ:
			c->read_wait = LOOP_READ;
			return;
		case TLS_AGAIN_WRITE:
			c->read_wait = LOOP_WRITE;
			return;
		case TLS_CLOSED:
		case TLS_FAILED:
			conn_end_tls(c);
			return;
		}
		bytes += n;
		if (!c->finishing && advance(c, n))
			frames++;
		if (frames >= FRAMES_A_TURN || bytes >= BYTES_A_TURN) {
			/* What is decrypted already, no descriptor will announce. */
			loop_timer_set(c->kick, 0);
			return;
		}
	}
}

/* --- out --- */

bool conn_has_output(const struct conn *c)
{
	return buf_len(&c->out) > 0 || c->data_length > 0;
}

static void note_output(struct conn *c)
{
	uint64_t now = loop_now(c->loop);

	if (!conn_has_output(c))
		c->last_taken = now;
	c->last_out = now;
}

static void put_head(uint8_t *p, size_t n, uint8_t type)
{
	p[0] = (uint8_t)(n >> 24);
	p[1] = (uint8_t)(n >> 16);
	p[2] = (uint8_t)(n >> 8);
	p[3] = (uint8_t)n;
	p[4] = type;
}

static int queue_frame(struct conn *c, uint8_t type, const void *body, size_t n)
{
	uint8_t head[PROTO_HEAD_BYTES];
	int rc = proto_fsm_check(&c->fsm, false, type, n);

	if (rc < 0)
		return rc;
	if (buf_len(&c->out) + n + PROTO_HEAD_BYTES > c->opt.queue_max) {
		c->blocked = true;
		return err_set(
		    KC_ELIMIT, "%zu bytes wait to be sent, the limit is %zu", buf_len(&c->out), c->opt.queue_max);
	}
	note_output(c);
	put_head(head, n, type);
	buf_put(&c->out, head, sizeof(head));
	buf_put(&c->out, body, n);
	proto_fsm_step(&c->fsm, false, type);
	conn_update_watch(c);
	return KC_OK;
}

int conn_queue(struct conn *c, const struct proto_msg *m)
{
	struct buf body;
	int rc = KC_OK;

	buf_init(&body, PROTO_CONTROL_MAX);
	if (m->type != PROTO_BYE && m->type != PROTO_ALIVE)
		rc = proto_encode(&body, m, c->opt.self);
	if (rc == KC_OK)
		rc = queue_frame(c, (uint8_t)m->type, buf_data(&body), buf_len(&body));
	buf_fini(&body);
	return rc;
}

void conn_queue_alive(struct conn *c)
{
	if (!conn_has_output(c))
		queue_frame(c, PROTO_ALIVE, "", 0);
}

int conn_send(struct conn *c, const struct proto_msg *m)
{
	int rc;

	if (!conn_is_open(c))
		return err_set(KC_ENET, "the session has ended");
	rc = conn_queue(c, m);
	if (rc == KC_OK)
		note_greeted(c);
	return rc;
}

uint8_t *conn_data_buffer(struct conn *c)
{
	if (!conn_is_open(c) || c->data_length > 0 || proto_fsm_check(&c->fsm, false, PROTO_DATA, 1) < 0)
		return NULL;
	if (c->data == NULL)
		c->data = mem_xalloc(PROTO_HEAD_BYTES + PROTO_DATA_MAX);
	return c->data + PROTO_HEAD_BYTES;
}

int conn_send_data(struct conn *c, size_t n)
{
	int rc;

	if (!conn_is_open(c))
		return err_set(KC_ENET, "the session has ended");
	assert(c->data != NULL && c->data_length == 0);
	rc = proto_fsm_check(&c->fsm, false, PROTO_DATA, n);
	if (rc < 0)
		return rc;
	note_output(c);
	put_head(c->data, n, PROTO_DATA);
	c->data_length = PROTO_HEAD_BYTES + n;
	c->data_sent = 0;
	c->data_after = buf_len(&c->out);
	proto_fsm_step(&c->fsm, false, PROTO_DATA);
	conn_update_watch(c);
	return KC_OK;
}

void conn_want_writable(struct conn *c)
{
	c->want_writable = true;
	loop_timer_set(c->kick, 0);
}

static void tell_writable(struct conn *c)
{
	c->want_writable = c->blocked = false;
	if (conn_is_open(c) && c->events.on_writable != NULL)
		c->events.on_writable(c, c->arg);
}

/* Hand the next piece to TLS. A piece that said AGAIN is offered again unchanged at its beginning; it may have become
 * longer meanwhile, then TLS answers with the old length. */
static enum tls_result write_some(struct conn *c)
{
	bool control = buf_len(&c->out) > 0 && (c->data_length == 0 || c->data_after > 0);
	const uint8_t *p = control ? buf_data(&c->out) : c->data + c->data_sent;
	size_t n = !control ? c->data_length - c->data_sent : c->data_length > 0 ? c->data_after : buf_len(&c->out);
	enum tls_result r = tls_write(c->tls, p, n, &n);

	if (r != TLS_OK)
		return r;
	c->last_taken = loop_now(c->loop);
	c->bytes_out += n;
	if (control) {
		buf_consume(&c->out, n);
		c->data_after -= c->data_length > 0 ? n : 0;
	} else {
		c->data_sent += n;
	}
	return TLS_OK;
}

void conn_flush(struct conn *c)
{
	unsigned frames = 0;

	while (c->phase == CONN_OPEN && !c->freed && conn_has_output(c) && frames < DATA_A_TURN) {
		enum tls_result r = write_some(c);

		if (r == TLS_AGAIN_READ || r == TLS_AGAIN_WRITE) {
			c->write_wait = r == TLS_AGAIN_READ ? LOOP_READ : LOOP_WRITE;
			return;
		}
		if (r != TLS_OK) {
			conn_end_tls(c);
			return;
		}
		c->write_wait = LOOP_WRITE;
		if (c->data_length > 0 && c->data_sent == c->data_length) {
			c->data_length = 0;
			frames++;
			tell_writable(c);
		}
	}
	if (c->phase != CONN_OPEN || c->freed)
		return;
	if ((c->want_writable && c->data_length == 0) || (c->blocked && buf_len(&c->out) < c->opt.queue_max / 2))
		tell_writable(c);
	if (c->phase == CONN_OPEN && !c->freed && c->finishing && !conn_has_output(c)) {
		(void)tls_bye(c->tls);
		conn_linger(c);
	}
}
