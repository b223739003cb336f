/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conn: the life of a session: phases, ends. Reading and writing frames is conn_io.c, deadlines are conn_time.c.
 *
 *     phase      what happens                           deadline
 *     RESOLVE    looking up the name                    connect_ms
 *     CONNECT    one address after the other            connect_ms each
 *     HANDSHAKE  TLS, the peer's chain, who it is       handshake_ms
 *     OPEN       frames                                 hello within handshake_ms, silence of idle_ms, the owner's
 *     LINGER     all is said; the peer reads the end    linger_ms
 *     CLOSED     nothing; on_closed is due or done
 *
 * Only conn_set_phase() changes the phase. Whatever ends a session comes through conn_end().
 */
#include "conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "conn_priv.h"

#define CONNECT_MS    10000
#define HANDSHAKE_MS  10000
#define IDLE_MS	      60000
#define LINGER_MS     2000
#define QUEUE_MAX     (1024u * 1024)
#define SESSION_ENDED "%s: session ended: %s (%s, %llu bytes in, %llu out)"
#define DISCARD_MAX   (4u * 1024 * 1024)

static void on_event(int fd, int events, void *arg);
static void on_kick(void *arg);

/* --- birth and death --- */

static void fill_defaults(struct conn_options *o)
{
	o->connect_ms = o->connect_ms > 0 ? o->connect_ms : CONNECT_MS;
	o->handshake_ms = o->handshake_ms > 0 ? o->handshake_ms : HANDSHAKE_MS;
	o->idle_ms = o->idle_ms > 0 ? o->idle_ms : IDLE_MS;
	o->keepalive_ms = o->keepalive_ms > 0 ? o->keepalive_ms : o->idle_ms / 4;
	o->linger_ms = o->linger_ms > 0 ? o->linger_ms : LINGER_MS;
	o->queue_max = o->queue_max > 0 ? o->queue_max : QUEUE_MAX;
	o->rule.own_spkis = tls_creds_spkis(o->creds);
}

struct conn *conn_new(struct loop *l, enum conn_phase phase, bool server, const char *name,
    const struct conn_options *opt, const struct conn_events *events, void *arg)
{
	struct conn *c = mem_xalloc(sizeof(*c));

	c->loop = l;
	c->fd = -1;
	c->opt = *opt;
	tls_creds_ref(c->opt.creds);
	fill_defaults(&c->opt);
	c->opt.rule = peer_rule_copy(&c->opt.rule);
	c->server = server;
	c->name = mem_xstrdup(name);
	c->address = mem_xstrdup("");
	proto_fsm_init(&c->fsm, opt->self, !server);
	buf_init(&c->out, c->opt.queue_max);
	conn_set_events(c, events, arg);
	c->phase_timer = loop_timer_new(l, conn_on_phase_timer, c);
	c->owner_timer = loop_timer_new(l, conn_on_owner_timer, c);
	c->pulse = loop_timer_new(l, conn_on_pulse, c);
	c->kick = loop_timer_new(l, on_kick, c);
	conn_set_phase(c, phase);
	return c;
}

struct conn *conn_from_fd(struct loop *l, int fd, bool server, const char *name, const struct conn_options *opt,
    const struct conn_events *events, void *arg)
{
	struct conn *c = conn_new(l, CONN_CONNECT, server, name, opt, events, arg);

	conn_watch(c, fd);
	conn_start_tls(c);
	return c;
}

void conn_set_events(struct conn *c, const struct conn_events *events, void *arg)
{
	c->events = *events;
	c->arg = arg;
}

void conn_close_fd(struct conn *c)
{
	loop_fd_free(c->watch);
	c->watch = NULL;
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

void conn_free(struct conn *c)
{
	if (c == NULL)
		return;
	if (c->in_callback) {
		c->freed = true;
		c->events = (struct conn_events){ 0 };
		return;
	}
	conn_listener_forget(c);
	loop_timer_free(c->phase_timer);
	loop_timer_free(c->owner_timer);
	loop_timer_free(c->pulse);
	loop_timer_free(c->kick);
	conn_dial_free(c->dial);
	tls_free(c->tls);
	conn_close_fd(c);
	tls_creds_unref(c->opt.creds);
	peer_rule_fini(&c->opt.rule);
	free(c->host);
	free(c->name);
	free(c->address);
	buf_fini(&c->out);
	free(c->data);
	free(c->in);
	free(c->text);
	free(c);
}

void conn_enter(struct conn *c)
{
	c->in_callback = true;
}

bool conn_leave(struct conn *c)
{
	c->in_callback = false;
	if (!c->freed)
		return true;
	c->freed = false;
	conn_free(c);
	return false;
}

/* --- phases --- */

static uint64_t deadline_of(const struct conn *c, enum conn_phase phase)
{
	switch (phase) {
	case CONN_RESOLVE:
	case CONN_CONNECT:
		return c->opt.connect_ms;
	case CONN_HANDSHAKE:
		return c->opt.handshake_ms;
	case CONN_LINGER:
		return c->opt.linger_ms;
	case CONN_OPEN: /* conn_on_pulse has these */
	case CONN_CLOSED:
		break;
	}
	return 0;
}

void conn_set_phase(struct conn *c, enum conn_phase phase)
{
	static const char *const names[] = { "resolve", "connect", "handshake", "open", "linger", "closed" };
	uint64_t ms = deadline_of(c, phase);

	log_debug("%s: %s", c->name, names[phase]);
	c->phase = phase;
	if (ms > 0)
		loop_timer_set(c->phase_timer, ms);
	else
		loop_timer_clear(c->phase_timer);
	conn_update_watch(c);
}

void conn_update_watch(struct conn *c)
{
	int want = 0;

	if (c->watch == NULL)
		return;
	switch (c->phase) {
	case CONN_CONNECT:
		want = LOOP_WRITE;
		break;
	case CONN_HANDSHAKE:
		want = c->read_wait;
		break;
	case CONN_OPEN:
		want = c->read_wait | (conn_has_output(c) ? c->write_wait : 0);
		break;
	case CONN_LINGER:
		want = LOOP_READ;
		break;
	case CONN_RESOLVE:
	case CONN_CLOSED:
		break;
	}
	loop_fd_want(c->watch, want);
}

static enum peer_verdict judge(const struct cert_info *cert, void *arg)
{
	return peer_decide(cert, arg);
}

static enum peer_verdict find_token(uint8_t psk[TLS_PSK_BYTES], const char *id, void *arg)
{
	struct conn *c = arg;

	return c->opt.tokens.find(psk, id, c->address, c->opt.tokens.arg);
}

void conn_watch(struct conn *c, int fd)
{
	c->fd = fd;
	c->watch = loop_fd_new(c->loop, fd, on_event, c);
}

void conn_start_tls(struct conn *c)
{
	int rc;

	rc = tls_new(&c->tls, c->opt.creds, c->fd, c->server, c->host, judge, &c->opt.rule);
	if (rc == KC_OK && c->server && c->opt.tokens.find != NULL)
		rc = tls_take_tokens(c->tls, find_token, c);
	if (rc < 0) {
		conn_end(c, rc, err_text(rc));
		return;
	}
	c->read_wait = c->server ? LOOP_READ : LOOP_WRITE;
	c->write_wait = LOOP_WRITE;
	conn_set_phase(c, CONN_HANDSHAKE);
}

static void on_handshake(struct conn *c)
{
	enum tls_result r = tls_handshake(c->tls);

	c->verdict = tls_verdict(c->tls);
	if (r == TLS_AGAIN_READ || r == TLS_AGAIN_WRITE) {
		c->read_wait = r == TLS_AGAIN_READ ? LOOP_READ : LOOP_WRITE;
		return;
	}
	if (r != TLS_OK) {
		conn_end_tls(c);
		return;
	}
	c->read_wait = LOOP_READ;
	c->ready_at = c->last_in = c->last_out = c->last_taken = loop_now(c->loop);
	conn_set_phase(c, CONN_OPEN);
	loop_timer_set(c->pulse, c->opt.keepalive_ms);
	if (tls_is_enrolment(c->tls))
		proto_fsm_enroll(&c->fsm);
	conn_deadline(c, c->opt.handshake_ms, tls_is_enrolment(c->tls) ? CONN_JOIN : CONN_HELLO);
	if (c->events.on_ready != NULL)
		c->events.on_ready(c, c->arg);
	conn_read(c);
}

/* Read and forget, so that the kernel does not answer with a reset that takes our last words with it. */
static void discard(struct conn *c)
{
	char scratch[16384];
	ssize_t n;

	while ((n = recv(c->fd, scratch, sizeof(scratch), MSG_DONTWAIT)) > 0) {
		c->discarded += (size_t)n;
		if (c->discarded > DISCARD_MAX)
			break;
	}
	if (n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
		conn_end(c, c->rc, c->text);
}

static void on_event(int fd, int events, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	conn_enter(c);
	switch (c->phase) {
	case CONN_CONNECT:
		conn_dial_ready(c);
		break;
	case CONN_HANDSHAKE:
		on_handshake(c);
		break;
	case CONN_OPEN:
		if (events & c->write_wait && conn_has_output(c))
			conn_flush(c);
		if (events & c->read_wait)
			conn_read(c);
		break;
	case CONN_LINGER:
		discard(c);
		break;
	case CONN_RESOLVE:
	case CONN_CLOSED:
		break;
	}
	conn_update_watch(c);
	conn_leave(c);
}

/* --- ends --- */

static void set_reason(struct conn *c, int rc, const char *text)
{
	if (c->text != NULL)
		return;
	c->rc = rc;
	c->text = mem_xstrdup(text);
}

void conn_end(struct conn *c, int rc, const char *text)
{
	if (c->phase == CONN_CLOSED)
		return;
	set_reason(c, rc, text);
	conn_set_phase(c, CONN_CLOSED);
	loop_timer_clear(c->owner_timer);
	loop_timer_clear(c->pulse);
	conn_close_fd(c);
	loop_timer_set(c->kick, 0);
}

void conn_end_tls(struct conn *c)
{
	const char *text;
	int rc = tls_error(c->tls, &text);

	c->verdict = tls_verdict(c->tls);
	set_reason(c, rc != KC_OK ? rc : KC_ENET, rc != KC_OK ? text : "closed by the peer");
	if (tls_send_alert(c->tls))
		conn_linger(c);
	else
		conn_end(c, c->rc, c->text);
}

void conn_linger(struct conn *c)
{
	shutdown(c->fd, SHUT_WR);
	loop_timer_clear(c->owner_timer);
	loop_timer_clear(c->pulse);
	conn_set_phase(c, CONN_LINGER);
}

static void start_finishing(struct conn *c, uint64_t flush_ms)
{
	c->finishing = true;
	loop_timer_clear(c->owner_timer);
	loop_timer_clear(c->pulse);
	loop_timer_set(c->phase_timer, flush_ms);
	loop_timer_set(c->kick, 0);
	conn_update_watch(c);
}

void conn_finish(struct conn *c)
{
	struct proto_msg bye = { .type = PROTO_BYE };

	if (c->finishing || c->phase == CONN_LINGER || c->phase == CONN_CLOSED)
		return;
	set_reason(c, KC_OK, "ended by us");
	if (c->phase != CONN_OPEN) {
		conn_end(c, c->rc, c->text);
		return;
	}
	conn_queue(c, &bye);
	start_finishing(c, c->opt.idle_ms);
}

void conn_abort(struct conn *c, int rc)
{
	struct proto_msg *m;

	if (c->finishing || c->phase == CONN_LINGER || c->phase == CONN_CLOSED)
		return;
	set_reason(c, rc, err_text(rc));
	if (c->phase != CONN_OPEN) {
		conn_end(c, rc, c->text);
		return;
	}
	m = mem_xalloc(sizeof(*m));
	m->type = PROTO_ERROR;
	snprintf(m->error.error, sizeof(m->error.error), "%s", err_name(rc));
	snprintf(m->error.message, sizeof(m->error.message), "%s", c->text);
	conn_queue(c, m);
	free(m);
	start_finishing(c, c->opt.linger_ms);
}

static void log_end(struct conn *c)
{
	struct log_rate *rate = conn_listener_rate(c);

	if (c->ready_at == 0)
		log_debug("%s: %s", c->name, c->text);
	else if (rate != NULL)
		log_limited(rate, loop_now(c->loop), LOG_LVL_INFO, SESSION_ENDED, c->name, c->text,
		    tls_describe(c->tls), (unsigned long long)c->bytes_in, (unsigned long long)c->bytes_out);
	else
		log_info(SESSION_ENDED, c->name, c->text, tls_describe(c->tls), (unsigned long long)c->bytes_in,
		    (unsigned long long)c->bytes_out);
}

static void on_kick(void *arg)
{
	struct conn *c = arg;

	conn_enter(c);
	if (c->phase == CONN_CLOSED && !c->told) {
		c->told = true;
		log_end(c);
		if (c->events.on_closed != NULL)
			c->events.on_closed(c, c->rc, c->text, c->arg);
	} else if (c->phase == CONN_OPEN) {
		conn_flush(c);
		conn_read(c);
		conn_update_watch(c);
	}
	conn_leave(c);
}

/* --- questions --- */

enum proto_state conn_state(const struct conn *c)
{
	return c->fsm.state;
}

bool conn_is_open(const struct conn *c)
{
	return c->phase == CONN_OPEN && !c->finishing;
}

const char *conn_name(const struct conn *c)
{
	return c->name;
}

const char *conn_address(const struct conn *c)
{
	return c->address;
}

const struct cert_info *conn_cert(const struct conn *c)
{
	return c->tls != NULL ? tls_peer(c->tls) : NULL;
}

enum peer_verdict conn_verdict(const struct conn *c)
{
	return c->verdict;
}

const char *conn_tls(const struct conn *c)
{
	return c->tls != NULL ? tls_describe(c->tls) : "";
}

const char *conn_token(const struct conn *c)
{
	return c->tls != NULL && c->phase == CONN_OPEN && tls_is_enrolment(c->tls) ? tls_token(c->tls) : NULL;
}
