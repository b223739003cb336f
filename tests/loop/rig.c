/* SPDX-License-Identifier: Apache-2.0 */
/* rig: see rig.h. */
#include "rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "keystore/identity.h"
#include "keystore/issue.h"
#include "keystore/trust.h"

#define KEY "RWQexampleexampleexample"

const char *rig_lineage = RIG_LINEAGE;

/* --- credentials --- */

static struct issue_authority *authority(const char *dir)
{
	struct issue_authority *a;
	struct buf pem;
	char *path = file_join(dir, "ca.pem");

	assert_int_equal(file_make_dirs(dir), KC_OK);
	assert_int_equal(issue_authority_create(dir, "test authority", ISSUE_ECDSA_P256, 0), KC_OK);
	assert_int_equal(issue_authority_load(&a, dir), KC_OK);
	buf_init(&pem, 65536);
	assert_int_equal(issue_authority_pem(&pem, a), KC_OK);
	assert_int_equal(file_replace(path, buf_data(&pem), buf_len(&pem), 0600), KC_OK);
	buf_fini(&pem);
	free(path);
	return a;
}

static struct tls_creds *creds(const struct issue_authority *a, enum cert_role role, const char *trust_dir)
{
	static const char *const sans[] = { "localhost", "127.0.0.1" };
	struct issue_request q = { .cn = cert_role_name(role), .sans = sans, .san_count = 2, .role = role };
	struct tls_creds *out;
	struct identity *id;
	struct trust *trust;

	assert_int_equal(issue_identity(&id, a, &q), KC_OK);
	assert_int_equal(trust_load(&trust, trust_dir), KC_OK);
	assert_int_equal(tls_creds_new(&out, id, trust, false), KC_OK);
	identity_free(id);
	return out;
}

static void quiet(enum log_level level, const char *text, void *arg)
{
	(void)arg;
	if (getenv("RIG_LOG") != NULL)
		fprintf(stderr, "%d %s\n", (int)level, text);
}

/* Made once a process: keys cost time. */
static struct tls_creds *cached[4];

static void make_creds(const char *dir)
{
	struct issue_authority *ours, *other;
	char a[128], b[128];

	snprintf(a, sizeof(a), "%s/ca", dir);
	snprintf(b, sizeof(b), "%s/other", dir);
	ours = authority(a);
	other = authority(b);
	cached[0] = creds(ours, CERT_ROLE_MASTER, a);
	cached[1] = creds(ours, CERT_ROLE_MASTER, a);
	cached[2] = creds(ours, CERT_ROLE_CLONE, a);
	cached[3] = creds(other, CERT_ROLE_CLONE, a);
	issue_authority_free(ours);
	issue_authority_free(other);
}

int rig_setup(void **state)
{
	struct rig *rig = mem_xalloc(sizeof(*rig));

	if (mem_init() < 0)
		return -1;
	log_set_sink(quiet, NULL);
	strcpy(rig->dir, "/tmp/kc-test-push.XXXXXX");
	if (mkdtemp(rig->dir) == NULL)
		return -1;
	if (cached[0] == NULL)
		make_creds(rig->dir);
	rig->master = cached[0];
	rig->master2 = cached[1];
	rig->clone = cached[2];
	rig->stranger = cached[3];
	rig->loop = loop_new();
	*state = rig;
	return 0;
}

int rig_teardown(void **state)
{
	struct rig *rig = *state;
	int rc = file_remove_tree(rig->dir);

	loop_free(rig->loop);
	free(rig);
	return rc == KC_OK ? 0 : -1;
}

bool rig_until(struct rig *rig, const int *flag)
{
	uint64_t end = loop_now(rig->loop) + 30000;

	while (*flag == 0 && loop_now(rig->loop) < end)
		loop_turn(rig->loop, 100);
	return *flag != 0;
}

void rig_pass(struct rig *rig, uint64_t ms)
{
	uint64_t end = loop_now(rig->loop) + ms;

	while (loop_now(rig->loop) < end)
		loop_turn(rig->loop, 10);
}

/* --- backups --- */

static void hex(char *out, const uint8_t *data, size_t n)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", data[i]);
}

static void fill_end(struct rig_backup *b)
{
	uint8_t digest[32];

	gnutls_hash_fast(GNUTLS_DIG_SHA256, b->bytes + RIG_HEADER, b->size - RIG_HEADER, digest);
	hex(b->end.sha256, digest, sizeof(digest));
	b->end.size = b->size - RIG_HEADER;
	memcpy(b->end.recovery, b->bytes, RIG_HEADER);
	b->end.recovery_size = RIG_HEADER;
	memcpy(b->end.travel, "travel header", 13);
	b->end.travel_size = 13;
}

static void init_backup(
    struct rig_backup *b, struct rig *rig, enum proto_kind kind, uint64_t generation, size_t payload)
{
	struct proto_offer *o = &b->file.offer;
	uint8_t receipt[16], digest[32];

	memset(b, 0, sizeof(*b));
	b->size = RIG_HEADER + payload;
	b->bytes = mem_xalloc(b->size);
	mem_random(b->bytes, b->size);
	strcpy(o->lineage, RIG_LINEAGE);
	o->generation = generation;
	o->kind = kind;
	snprintf(o->file, sizeof(o->file), "keyclone-keydb-%.8s-%010u-%s-20260101T000000Z.tar.zst.age", RIG_LINEAGE,
	    (unsigned)generation, kind == PROTO_FULL ? "full" : "incr");
	hex(o->file_id, b->bytes + RIG_HEADER, 16);
	o->header_size = RIG_HEADER;
	o->room = b->size + 1000;
	mem_random(digest, sizeof(digest));
	hex(o->digest, digest, sizeof(digest));
	mem_random(receipt, sizeof(receipt));
	hex(o->receipt, receipt, sizeof(receipt));
	fill_end(b);
	snprintf(b->path, sizeof(b->path), "%s/%s", rig->dir, o->file);
	snprintf(b->current, sizeof(b->current), "%s.part", b->path);
	b->file.path = b->current;
	b->fd = open(b->current, O_RDWR | O_CREAT | O_TRUNC, 0600);
	assert_true(b->fd >= 0);
	assert_int_equal(ftruncate(b->fd, RIG_HEADER), 0);
	b->written = b->file.valid = RIG_HEADER;
}

void rig_backup_init(struct rig_backup *b, struct rig *rig, uint64_t generation, size_t payload)
{
	init_backup(b, rig, PROTO_FULL, generation, payload);
}

void rig_backup_init_increment(struct rig_backup *b, struct rig *rig, uint64_t base, size_t payload)
{
	init_backup(b, rig, PROTO_INCREMENTAL, base + 1, payload);
	b->file.offer.base = base;
	b->file.offer.chain = 1;
	memset(b->end.travel, 0, sizeof(b->end.travel));
	b->end.travel_size = 0;
}

void rig_backup_grow(struct rig_backup *b, size_t bytes)
{
	size_t n = b->size - b->written < bytes ? b->size - b->written : bytes;

	assert_int_equal(pwrite(b->fd, b->bytes + b->written, n, (off_t)b->written), n);
	b->written += n;
	b->file.valid = b->written;
}

void rig_backup_finish(struct rig_backup *b)
{
	rig_backup_grow(b, b->size);
	assert_int_equal(pwrite(b->fd, b->bytes, RIG_HEADER, 0), RIG_HEADER);
	assert_int_equal(file_rename(b->file.path, b->path), KC_OK);
	snprintf(b->current, sizeof(b->current), "%s", b->path);
}

void rig_backup_fini(struct rig_backup *b)
{
	close(b->fd);
	unlink(b->current);
	free(b->bytes);
}

/* --- clone --- */

static int on_hello(struct receive_session *s, const struct proto_hello *master, struct proto_hello *ours, void *arg)
{
	struct rig_clone *c = arg;

	c->hellos++;
	assert_non_null(receive_session_cert(s));
	if (strcmp(master->lineage, RIG_LINEAGE) != 0)
		return err_set(KC_EFOREIGN, "lineage %s is not mine", master->lineage);
	strcpy(ours->host, "clone.test");
	strcpy(ours->recipient, "age1test");
	if (c->applied > 0) {
		strcpy(ours->applied_lineage, RIG_LINEAGE);
		ours->applied_generation = c->applied;
	}
	return KC_OK;
}

static int on_offer(struct receive_session *s, const struct proto_offer *offer, struct proto_decline *why, void *arg)
{
	struct rig_clone *c = arg;

	(void)s;
	if (c->decline == 0)
		return KC_OK;
	why->reason = (enum proto_reason)c->decline;
	why->have = c->applied;
	why->need = offer->generation;
	return err_set(KC_ESTALE, "declined");
}

static void on_begin(struct receive_session *s, const struct proto_offer *offer, uint64_t offset, void *arg)
{
	struct rig_clone *c = arg;

	(void)s;
	c->begun++;
	c->offer = *offer;
	c->offset = offset;
}

static void on_declined(
    struct receive_session *s, const struct proto_offer *offer, const struct proto_decline *why, void *arg)
{
	struct rig_clone *c = arg;

	(void)s, (void)offer;
	c->declined++;
	c->why = *why;
}

static void on_restored(void *arg)
{
	struct rig_clone *c = arg;

	c->due = c->keeping;
	if (!c->keeping)
		rig_clone_result(c, PROTO_RESTORED);
}

static void on_kept(const struct receive_stored *stored, int rc, void *arg)
{
	struct rig_clone *c = arg;

	assert_true(c->keeping);
	assert_int_equal(stored->offer->kind, PROTO_INCREMENTAL);
	c->keeping = false;
	c->on_disk++;
	c->disk = rc;
	if (c->due)
		rig_clone_result(c, PROTO_RESTORED);
	c->due = false;
}

static void on_stored(const struct receive_stored *stored, void *arg)
{
	struct rig_clone *c = arg;

	c->stored++;
	c->keeping = stored->keeping;
	c->bytes = stored->bytes;
	c->travel_size = stored->end->travel_size;
	snprintf(c->path, sizeof(c->path), "%s", stored->path);
	c->applied = stored->offer->generation;
	if (!c->no_result)
		loop_timer_set(c->restore, c->restore_ms);
}

static void on_failed(const struct receive_failure *f, void *arg)
{
	struct rig_clone *c = arg;

	c->failed++;
	c->failure = f->rc;
	c->bytes = f->bytes;
	c->kept = f->kept;
	snprintf(c->text, sizeof(c->text), "%s", f->text);
}

static void on_session_end(struct receive_session *s, int rc, const char *text, void *arg)
{
	struct rig_clone *c = arg;

	(void)s, (void)rc, (void)text;
	c->ended++;
}

static void on_refused(const char *address, enum peer_verdict v, int rc, const char *text, void *arg)
{
	struct rig_clone *c = arg;

	(void)address, (void)v, (void)rc, (void)text;
	c->refused++;
}

void rig_clone_start_with(struct rig_clone *c, struct rig *rig, const char *name, uint64_t stall_ms, uint64_t progress)
{
	static const struct receive_events events = {
		.on_hello = on_hello,
		.on_offer = on_offer,
		.on_begin = on_begin,
		.on_declined = on_declined,
		.on_stored = on_stored,
		.on_kept = on_kept,
		.on_failed = on_failed,
		.on_session_end = on_session_end,
		.on_refused = on_refused,
	};
	struct receive_options o = { .stall_ms = stall_ms, .progress_ms = progress };

	memset(c, 0, sizeof(*c));
	c->rig = rig;
	c->restore = loop_timer_new(rig->loop, on_restored, c);
	snprintf(c->dir, sizeof(c->dir), "%s/%s", rig->dir, name);
	assert_int_equal(file_make_dirs(c->dir), KC_OK);
	o.listen.address = "127.0.0.1";
	o.listen.half_open_per_address = 64;
	o.listen.conn.creds = rig->clone;
	o.backup_dir = c->dir;
	assert_int_equal(receive_new(&c->receive, rig->loop, &o, &events, c), KC_OK);
}

void rig_clone_start(struct rig_clone *c, struct rig *rig, const char *name)
{
	rig_clone_start_with(c, rig, name, 0, 0);
}

void rig_clone_result(struct rig_clone *c, enum proto_status status)
{
	struct proto_result r = { .status = status };

	if (receive_result(c->receive, &r))
		c->sent_result++;
}

void rig_clone_stop(struct rig_clone *c)
{
	receive_free(c->receive);
	loop_timer_free(c->restore);
	c->receive = NULL;
	c->restore = NULL;
}

static char *clone_path(const struct rig_clone *c, const struct rig_backup *b, const char *suffix)
{
	return mem_xasprintf("%s/%s%s", c->dir, b->file.offer.file, suffix);
}

bool rig_clone_has_part(const struct rig_clone *c, const struct rig_backup *b)
{
	char *path = clone_path(c, b, ".part");
	bool there = file_exists(path);

	free(path);
	return there;
}

bool rig_clone_has(const struct rig_clone *c, const struct rig_backup *b)
{
	char *path = clone_path(c, b, "");
	struct buf data;
	bool same;

	buf_init(&data, b->size + 1);
	same = file_read(&data, path) == KC_OK && buf_len(&data) == b->size &&
	       memcmp(buf_data(&data), b->bytes, b->size) == 0;
	buf_fini(&data);
	free(path);
	return same && !rig_clone_has_part(c, b);
}

/* --- master --- */

static void on_ready(struct push *p, const struct proto_hello *clone, void *arg)
{
	struct rig_master *m = arg;

	assert_ptr_equal(push_peer_hello(p), clone);
	m->ready++;
	m->clone_applied = clone->applied_generation;
}

static void on_accepted(struct push *p, uint64_t offset, void *arg)
{
	struct rig_master *m = arg;

	(void)p;
	m->accepted++;
	m->offset = offset;
}

static void on_push_declined(struct push *p, const struct proto_decline *d, void *arg)
{
	struct rig_master *m = arg;

	assert_null(push_current(p));
	m->declined++;
	m->why = *d;
}

static void on_sent(struct push *p, uint64_t bytes, void *arg)
{
	struct rig_master *m = arg;

	m->sent = bytes;
	if (m->break_at == 0 || bytes < m->break_at)
		return;
	m->broken++;
	m->push = NULL;
	push_free(p);
}

static void on_restoring(struct push *p, const struct proto_progress *progress, void *arg)
{
	struct rig_master *m = arg;

	(void)p, (void)progress;
	m->restoring++;
}

static void on_result(struct push *p, const struct proto_result *r, void *arg)
{
	struct rig_master *m = arg;

	(void)p;
	m->results++;
	m->result = *r;
}

static void on_closed(struct push *p, enum push_ending how, int rc, const char *text, void *arg)
{
	struct rig_master *m = arg;

	(void)p;
	m->closed++;
	m->how = how;
	m->rc = rc;
	snprintf(m->text, sizeof(m->text), "%s", text);
}

void rig_master_start_with(struct rig_master *m, struct rig *rig, uint16_t port, struct tls_creds *with,
    uint64_t timeout_ms, uint64_t max_age_ms)
{
	static const struct push_events events = {
		.on_ready = on_ready,
		.on_accepted = on_accepted,
		.on_declined = on_push_declined,
		.on_sent = on_sent,
		.on_restoring = on_restoring,
		.on_result = on_result,
		.on_closed = on_closed,
	};
	static struct proto_hello hello;
	struct push_options o = {
		.creds = with,
		.host = "127.0.0.1",
		.port = port,
		.hello = &hello,
		.handshake_ms = timeout_ms * 4,
		.timeout_ms = timeout_ms,
		.max_age_ms = max_age_ms,
		.progress_ms = 1,
	};

	strcpy(hello.lineage, rig_lineage);
	strcpy(hello.host, "master.test");
	strcpy(hello.signing_key, KEY);
	memset(m, 0, sizeof(*m));
	m->rig = rig;
	m->push = push_start(rig->loop, &o, &events, m);
}

void rig_master_start(struct rig_master *m, struct rig *rig, uint16_t port)
{
	rig_master_start_with(m, rig, port, rig->master, 0, 0);
}

void rig_master_stop(struct rig_master *m)
{
	push_free(m->push);
	m->push = NULL;
}
