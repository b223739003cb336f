/* SPDX-License-Identifier: Apache-2.0 */
/*
 * incoming: a backup file while it is received. See incoming.h.
 *
 * Two positions in the payload: hashed ≤ written. As long as they are equal each write is hashed at once; after a
 * resume `hashed` follows in steps, one a turn. At the end a thread puts the header in front, syncs and renames: a sync
 * takes as long as the disk likes. While the thread runs, nothing here touches the file.
 */
#include "replication/incoming.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/hex.h"
#include "base/log.h"
#include "base/mem.h"

#define NONCE_SIZE   16
#define SHA256_SIZE  32
#define HASH_STEP    (4u * 1024 * 1024)
#define HASH_BUFFER  (256u * 1024)
#define STALE_SECOND 3600

struct incoming {
	struct loop *loop;
	struct loop_timer *timer; /* hashing steps, and results that must come from the loop */
	char *dir;
	char *path;
	char *part;
	int fd;
	bool whole; /* fd is of the file that has its name already */
	uint32_t header_size;
	uint64_t limit; /* of the payload */
	uint64_t resumed;
	uint64_t written;
	uint64_t hashed;
	gnutls_hash_hd_t hash;
	const struct proto_end *end; /* set by incoming_finish */
	incoming_checked_fn checked;
	incoming_done_fn done;
	void *arg;
	int failure; /* found before the thread; text in error */
	char error[256];
	pthread_t thread;
	bool settling; /* it is proved: the thread has started, or does in the next turn */
	bool running;
	int wake; /* eventfd, written by the thread at its end */
	struct loop_fd *watch;
};

static void on_timer(void *arg);

/* --- the partial file ------------------------------------------------------------------------------------------- */

static void remove_if_stale(const char *dir, const char *name, const char *keep)
{
	size_t len = strlen(name), suffix = strlen(".part");
	char *path;
	struct stat st;

	if (len <= suffix || strcmp(name + len - suffix, ".part") != 0)
		return;
	path = file_join(dir, name);
	if (strcmp(path, keep) != 0 && lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_mtime + STALE_SECOND < time(NULL) && unlink(path) == 0)
		log_info("%s: partial file of an earlier transfer removed", path);
	free(path);
}

/* Only the newest transfer can ever be resumed. A backup that is being made here has a .part, too, but a fresh one. */
static void remove_stale(const char *dir, const char *keep)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL)
		remove_if_stale(dir, e->d_name, keep);
	closedir(d);
}

/* How much of this very file is there? */
static uint64_t find_beginning(const struct proto_offer *offer, int fd)
{
	uint8_t nonce[NONCE_SIZE];
	char id[2 * NONCE_SIZE + 1];
	struct stat st;

	if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < (uint64_t)offer->header_size + NONCE_SIZE)
		return 0;
	if (pread(fd, nonce, sizeof(nonce), offer->header_size) != (ssize_t)sizeof(nonce))
		return 0;
	hex_encode(id, nonce, sizeof(nonce));
	if (strcmp(id, offer->file_id) != 0)
		return 0;
	return (uint64_t)st.st_size - offer->header_size;
}

static int check_room(uint64_t *have, uint64_t *need, const struct incoming *in, const struct proto_offer *offer)
{
	uint64_t missing = offer->room > in->written ? offer->room - in->written : 0;
	int rc = file_free_space(have, in->dir);

	*need = missing;
	if (rc < 0)
		return rc;
	if (*have < missing)
		return err_set(KC_ENOSPC, "%s: generation %" PRIu64 " needs %" PRIu64 " bytes, %" PRIu64 " are free",
		    in->dir, offer->generation, missing, *have);
	return KC_OK;
}

/* A file that has the name already is either this one, then nothing must be sent, or not to be overwritten. */
static int open_whole(struct incoming *in, const struct proto_offer *offer)
{
	int rc = file_open(&in->fd, in->path, O_RDONLY, 0);

	if (rc < 0)
		return rc;
	in->resumed = in->written = find_beginning(offer, in->fd);
	in->whole = true;
	if (in->resumed == 0 || in->resumed > in->limit)
		return err_set(KC_EEXIST, "%s: exists and is another backup", in->path);
	return KC_OK;
}

static int open_part(struct incoming *in, const struct proto_offer *offer)
{
	int rc;

	if (file_exists(in->path))
		return open_whole(in, offer);
	rc = file_open(&in->fd, in->part, O_RDWR | O_CREAT, 0600);
	if (rc < 0)
		return rc;
	in->resumed = find_beginning(offer, in->fd);
	if (in->resumed > in->limit)
		in->resumed = 0;
	in->written = in->resumed;
	if (in->resumed == 0 && ftruncate(in->fd, 0) < 0)
		return err_errno("%s: truncate", in->part);
	return KC_OK;
}

int incoming_open(struct incoming **out, uint64_t *have, uint64_t *need, struct loop *l, const char *dir,
    const struct proto_offer *offer)
{
	struct incoming *in = mem_xalloc(sizeof(*in));
	int rc;

	in->loop = l;
	in->fd = in->wake = -1;
	in->dir = mem_xstrdup(dir);
	in->path = file_join(dir, offer->file);
	in->part = mem_xasprintf("%s.part", in->path);
	in->header_size = offer->header_size;
	in->limit = offer->room > offer->header_size ? offer->room - offer->header_size : 0;
	in->timer = loop_timer_new(l, on_timer, in);
	remove_stale(dir, in->part);
	if (gnutls_hash_init(&in->hash, GNUTLS_DIG_SHA256) < 0)
		rc = err_set(KC_EFAIL, "SHA-256 is not available");
	else
		rc = open_part(in, offer);
	if (rc == KC_OK)
		rc = check_room(have, need, in, offer);
	if (rc < 0) {
		/* A beginning is kept: room may be made for the rest. */
		incoming_free(in, in->fd >= 0 && !in->whole && in->written == 0);
		return rc;
	}
	if (in->hashed < in->written)
		loop_timer_set(in->timer, 0);
	*out = in;
	return KC_OK;
}

/* --- data ------------------------------------------------------------------------------------------------------- */

static int write_failed(const struct incoming *in, size_t n)
{
	int rc = err_errno("%s: write of %zu bytes at %" PRIu64, in->part, n, in->written + in->header_size);
	uint64_t available = 0;

	if (rc == KC_ENOSPC && file_free_space(&available, in->dir) == KC_OK)
		return err_set(KC_ENOSPC,
		    "%s: no room for the next %zu bytes after %" PRIu64 " of its payload, %" PRIu64 " are free",
		    in->part, n, in->written, available);
	return rc;
}

int incoming_write(struct incoming *in, const void *data, size_t n)
{
	const uint8_t *p = data;
	size_t left = n;

	if (in->whole)
		return err_set(
		    KC_EDAMAGED, "%s: has %" PRIu64 " bytes of payload, the master has more", in->path, in->written);
	if (n > in->limit - in->written)
		return err_set(KC_ELIMIT,
		    "%s: more data than the offer said: %" PRIu64 " bytes of payload, at most %" PRIu64, in->path,
		    in->written + n, in->limit);
	while (left > 0) {
		ssize_t w = pwrite(in->fd, p, left, (off_t)(in->header_size + in->written));

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return write_failed(in, left);
		if (in->hashed == in->written) {
			gnutls_hash(in->hash, p, (size_t)w);
			in->hashed += (uint64_t)w;
		}
		in->written += (uint64_t)w;
		p += w;
		left -= (size_t)w;
	}
	return KC_OK;
}

static int hash_step(struct incoming *in)
{
	uint8_t *buffer = mem_xalloc(HASH_BUFFER);
	uint64_t goal = in->hashed + HASH_STEP;
	int rc = KC_OK;

	while (rc == KC_OK && in->hashed < in->written && in->hashed < goal) {
		uint64_t left = in->written - in->hashed;
		ssize_t n = pread(in->fd, buffer, left < HASH_BUFFER ? (size_t)left : HASH_BUFFER,
		    (off_t)(in->header_size + in->hashed));

		if (n < 0)
			rc = err_errno("%s: read", in->part);
		else if (n == 0)
			rc = err_set(KC_ETRUNCATED,
			    "%s: ends after %" PRIu64 " bytes of payload, %" PRIu64 " were written", in->part,
			    in->hashed, in->written);
		else {
			gnutls_hash(in->hash, buffer, (size_t)n);
			in->hashed += (uint64_t)n;
		}
	}
	free(buffer);
	return rc;
}

/* --- the end ---------------------------------------------------------------------------------------------------- */

static int check_whole(struct incoming *in)
{
	uint8_t digest[SHA256_SIZE];
	char hex[2 * SHA256_SIZE + 1];

	gnutls_hash_output(in->hash, digest);
	hex_encode(hex, digest, sizeof(digest));
	if (strcmp(hex, in->end->sha256) != 0)
		return err_set(KC_EDAMAGED, "%s: SHA-256 of the payload is %s, the master says %s", in->path, hex,
		    in->end->sha256);
	return KC_OK;
}

static int write_header(const struct incoming *in)
{
	size_t put = 0;

	while (put < in->end->recovery_size) {
		ssize_t w = pwrite(in->fd, in->end->recovery + put, in->end->recovery_size - put, (off_t)put);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return err_errno("%s: write of its header", in->part);
		put += (size_t)w;
	}
	return KC_OK;
}

static void settle_on_disk(struct incoming *in)
{
	int rc = write_header(in);

	if (rc == KC_OK && fsync(in->fd) < 0)
		rc = err_errno("%s: sync", in->part);
	if (rc == KC_OK)
		rc = file_rename(in->part, in->path);
	in->failure = rc;
	if (rc < 0)
		snprintf(in->error, sizeof(in->error), "%s", err_text(rc));
}

/* The message of a failure belongs to a thread: carry it over, then report. */
static void report(struct incoming *in)
{
	incoming_done_fn done = in->done;
	int rc = in->failure;

	in->done = NULL;
	if (rc < 0)
		err_set(rc, "%s", in->error);
	done(rc, in->arg);
}

static void fail(struct incoming *in, int rc)
{
	in->failure = rc;
	snprintf(in->error, sizeof(in->error), "%s", err_text(rc));
	loop_timer_set(in->timer, 0);
}

static void *thread_main(void *arg)
{
	struct incoming *in = arg;
	uint64_t one = 1;

	settle_on_disk(in);
	/* An eventfd takes this without fail: its counter is 0. */
	if (write(in->wake, &one, sizeof(one)) < 0)
		log_err("%s: cannot wake the loop", in->path);
	return NULL;
}

static void join(struct incoming *in)
{
	loop_fd_free(in->watch);
	in->watch = NULL;
	if (in->running)
		pthread_join(in->thread, NULL);
	in->running = false;
	if (in->wake >= 0)
		close(in->wake);
	in->wake = -1;
}

static void on_thread_done(int fd, int events, void *arg)
{
	struct incoming *in = arg;

	(void)fd, (void)events;
	join(in);
	report(in);
}

static void start_thread(struct incoming *in)
{
	in->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	in->running = in->wake >= 0 && pthread_create(&in->thread, NULL, thread_main, in) == 0;
	if (in->running) {
		in->watch = loop_fd_new(in->loop, in->wake, on_thread_done, in);
		loop_fd_want(in->watch, LOOP_READ);
		return;
	}
	/* No thread to be had: better late than not at all. */
	join(in);
	settle_on_disk(in);
	report(in);
}

static void on_timer(void *arg)
{
	struct incoming *in = arg;
	int rc = KC_OK;

	if (in->settling) {
		start_thread(in);
		return;
	}
	if (in->failure == KC_OK && in->hashed < in->written) {
		rc = hash_step(in);
		if (rc == KC_OK) {
			loop_timer_set(in->timer, 0);
			return;
		}
	}
	if (in->done == NULL) {
		/* The failure to read shows again at the end. */
		return;
	}
	if (in->failure == KC_OK && rc == KC_OK)
		rc = check_whole(in);
	if (rc < 0) {
		in->failure = rc;
		snprintf(in->error, sizeof(in->error), "%s", err_text(rc));
	}
	if (in->failure == KC_OK && !in->whole && in->checked != NULL)
		in->failure = write_header(in);
	if (in->failure < 0 || in->whole) {
		report(in);
		return;
	}
	/* The file gets its name in the next turn: what was said of it in this one is in the audit log by then. */
	in->settling = true;
	loop_timer_set(in->timer, 0);
	if (in->checked != NULL)
		in->checked(in->arg);
}

void incoming_finish(
    struct incoming *in, const struct proto_end *end, incoming_checked_fn checked, incoming_done_fn done, void *arg)
{
	in->end = end;
	in->checked = checked;
	in->done = done;
	in->arg = arg;
	if (end->recovery_size != in->header_size)
		fail(in, err_set(KC_EPROTO, "%s: recovery header of %zu bytes, the offer said %u", in->path,
			     end->recovery_size, in->header_size));
	else if (end->size != in->written)
		fail(in, err_set(KC_ETRUNCATED, "%s: payload of %" PRIu64 " bytes, the master says %" PRIu64, in->path,
			     in->written, end->size));
	else
		loop_timer_set(in->timer, 0);
}

uint64_t incoming_size(const struct incoming *in)
{
	return in->written;
}

uint64_t incoming_resumed(const struct incoming *in)
{
	return in->resumed;
}

const char *incoming_path(const struct incoming *in)
{
	return in->path;
}

void incoming_free(struct incoming *in, bool remove)
{
	const char *file;

	if (in == NULL)
		return;
	if (in->settling && !in->running && in->done != NULL && !remove)
		settle_on_disk(in); /* its thread had yet to start */
	join(in);
	loop_timer_free(in->timer);
	file = in->whole ? in->path : in->part;
	if (remove && unlink(file) < 0 && errno != ENOENT)
		log_warn("%s: cannot be removed: %s", file, strerror(errno));
	if (in->fd >= 0)
		close(in->fd);
	if (in->hash != NULL)
		gnutls_hash_deinit(in->hash, NULL);
	free(in->part);
	free(in->path);
	free(in->dir);
	free(in);
}
