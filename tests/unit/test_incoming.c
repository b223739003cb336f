/* SPDX-License-Identifier: Apache-2.0 */
/* incoming: a file while it is received, on a disk that fails when the test says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/loop.h"
#include "base/mem.h"
#include "replication/incoming.h"

#define HEADER	100
#define PAYLOAD 300000

/* --- the disk --------------------------------------------------------------------------------------------------- */

static uint64_t disk_room; /* bytes until it is full */
static int sync_errno;

ssize_t __real_pwrite(int fd, const void *data, size_t n, off_t at);
ssize_t __wrap_pwrite(int fd, const void *data, size_t n, off_t at);
int __real_fsync(int fd);
int __wrap_fsync(int fd);

ssize_t __wrap_pwrite(int fd, const void *data, size_t n, off_t at)
{
	ssize_t w;

	if (disk_room == 0) {
		errno = ENOSPC;
		return -1;
	}
	w = __real_pwrite(fd, data, n < disk_room ? n : (size_t)disk_room, at);
	if (w > 0)
		disk_room -= (uint64_t)w;
	return w;
}

int __wrap_fsync(int fd)
{
	if (sync_errno == 0)
		return __real_fsync(fd);
	errno = sync_errno;
	return -1;
}

/* --- the scene -------------------------------------------------------------------------------------------------- */

struct scene {
	struct loop *loop;
	char dir[64];
	char part[512], path[512];
	struct proto_offer offer;
	struct proto_end end;
	uint8_t payload[PAYLOAD];
	struct incoming *in;
	uint64_t have, need;
	int done, rc;
	char text[512];
};

static void hex(char *out, const uint8_t *data, size_t n)
{
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", data[i]);
}

static int setup(void **state)
{
	struct scene *s = mem_xalloc(sizeof(*s));
	uint8_t digest[32];

	disk_room = UINT64_MAX;
	sync_errno = 0;
	strcpy(s->dir, "/tmp/kc-test-incoming.XXXXXX");
	if (mem_init() < 0 || mkdtemp(s->dir) == NULL)
		return -1;
	s->loop = loop_new();
	mem_random(s->payload, PAYLOAD);
	strcpy(s->offer.file, "backup.age");
	s->offer.generation = 1;
	s->offer.header_size = HEADER;
	s->offer.room = HEADER + PAYLOAD;
	hex(s->offer.file_id, s->payload, 16);
	snprintf(s->path, sizeof(s->path), "%s/backup.age", s->dir);
	snprintf(s->part, sizeof(s->part), "%s/backup.age.part", s->dir);
	s->end.size = PAYLOAD;
	s->end.recovery_size = HEADER;
	memset(s->end.recovery, 'h', HEADER);
	gnutls_hash_fast(GNUTLS_DIG_SHA256, s->payload, PAYLOAD, digest);
	hex(s->end.sha256, digest, sizeof(digest));
	*state = s;
	return 0;
}

static int teardown(void **state)
{
	struct scene *s = *state;
	int rc;

	incoming_free(s->in, false);
	loop_free(s->loop);
	rc = file_remove_tree(s->dir);
	free(s);
	return rc == KC_OK ? 0 : -1;
}

static int begin(struct scene *s)
{
	return incoming_open(&s->in, &s->have, &s->need, s->loop, s->dir, &s->offer);
}

static void on_done(int rc, void *arg)
{
	struct scene *s = arg;

	s->done++;
	s->rc = rc;
	snprintf(s->text, sizeof(s->text), "%s", rc < 0 ? err_text(rc) : "");
}

static int finish(struct scene *s)
{
	s->done = 0;
	incoming_finish(s->in, &s->end, NULL, on_done, s);
	assert_int_equal(s->done, 0);
	for (unsigned i = 0; i < 10000 && s->done == 0; i++)
		loop_turn(s->loop, 10);
	assert_int_equal(s->done, 1);
	return s->rc;
}

/* An increment is read as soon as it is whole. */
static int checked, checked_after;
static void on_checked(void *arg)
{
	struct scene *s = arg;
	struct buf b;

	checked++;
	checked_after = s->done;
	assert_false(file_exists(s->path));
	buf_init(&b, HEADER + PAYLOAD);
	assert_int_equal(file_read(&b, s->part), KC_OK);
	assert_int_equal(buf_len(&b), HEADER + PAYLOAD);
	assert_memory_equal(buf_data(&b), s->end.recovery, HEADER);
	assert_memory_equal(buf_data(&b) + HEADER, s->payload, PAYLOAD);
	buf_fini(&b);
}

static int finish_checked(struct scene *s)
{
	s->done = checked = 0;
	incoming_finish(s->in, &s->end, on_checked, on_done, s);
	for (unsigned i = 0; i < 10000 && s->done == 0; i++)
		loop_turn(s->loop, 10);
	assert_int_equal(s->done, 1);
	return s->rc;
}

static void drop(struct scene *s)
{
	incoming_free(s->in, false);
	s->in = NULL;
}

/* --- tests ------------------------------------------------------------------------------------------------------ */

static void incoming__whole__has_its_name_and_every_byte(void **state)
{
	struct scene *s = *state;
	struct buf b;
	struct stat st;

	assert_int_equal(begin(s), KC_OK);
	for (size_t i = 0; i < PAYLOAD; i += 1000)
		assert_int_equal(incoming_write(s->in, s->payload + i, 1000), KC_OK);
	assert_false(file_exists(s->path));
	assert_int_equal(finish(s), KC_OK);
	assert_false(file_exists(s->part));
	buf_init(&b, HEADER + PAYLOAD);
	assert_int_equal(file_read(&b, s->path), KC_OK);
	assert_int_equal(buf_len(&b), HEADER + PAYLOAD);
	assert_memory_equal(buf_data(&b), s->end.recovery, HEADER);
	assert_memory_equal(buf_data(&b) + HEADER, s->payload, PAYLOAD);
	buf_fini(&b);
	assert_int_equal(stat(s->path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void incoming__disk_full__both_figures(void **state)
{
	struct scene *s = *state;

	assert_int_equal(begin(s), KC_OK);
	disk_room = 150000;
	assert_int_equal(incoming_write(s->in, s->payload, 100000), KC_OK);
	assert_int_equal(incoming_write(s->in, s->payload + 100000, 100000), KC_ENOSPC);
	assert_non_null(strstr(err_text(KC_ENOSPC), "50000 bytes after 150000 of its payload"));
	assert_int_equal(incoming_size(s->in), 150000);
	incoming_free(s->in, true);
	s->in = NULL;
	assert_false(file_exists(s->part));
}

static void incoming__header_or_sync_fails__stays_part(void **state)
{
	struct scene *s = *state;

	assert_int_equal(begin(s), KC_OK);
	assert_int_equal(incoming_write(s->in, s->payload, PAYLOAD), KC_OK);
	disk_room = 0;
	assert_int_equal(finish(s), KC_ENOSPC);
	drop(s);
	assert_true(file_exists(s->part));
	assert_false(file_exists(s->path));
	disk_room = UINT64_MAX;
	sync_errno = EIO;
	assert_int_equal(begin(s), KC_OK);
	assert_int_equal(incoming_resumed(s->in), PAYLOAD);
	assert_int_equal(finish(s), KC_ESYS);
	assert_non_null(strstr(s->text, "sync"));
	drop(s);
	assert_false(file_exists(s->path));
	sync_errno = 0;
	assert_int_equal(begin(s), KC_OK);
	assert_int_equal(finish(s), KC_OK);
	assert_true(file_exists(s->path));
}

static void incoming__checked__whole_before_it_is_on_disk(void **state)
{
	struct scene *s = *state;

	assert_int_equal(begin(s), KC_OK);
	assert_int_equal(incoming_write(s->in, s->payload, PAYLOAD), KC_OK);
	assert_int_equal(finish_checked(s), KC_OK);
	assert_int_equal(checked, 1);
	assert_int_equal(checked_after, 0);
	assert_true(file_exists(s->path));
	drop(s);
	/* One that was there already is done at once. */
	assert_int_equal(begin(s), KC_OK);
	assert_int_equal(finish_checked(s), KC_OK);
	assert_int_equal(checked, 0);
}

static void incoming__checked__sync_fails_afterwards(void **state)
{
	struct scene *s = *state;

	assert_int_equal(begin(s), KC_OK);
	assert_int_equal(incoming_write(s->in, s->payload, PAYLOAD), KC_OK);
	sync_errno = EIO;
	assert_int_equal(finish_checked(s), KC_ESYS);
	assert_int_equal(checked, 1);
	drop(s);
	assert_true(file_exists(s->part));
	assert_false(file_exists(s->path));
	sync_errno = 0;
	assert_int_equal(begin(s), KC_OK);
	assert_int_equal(incoming_resumed(s->in), PAYLOAD);
	assert_int_equal(finish_checked(s), KC_OK);
	assert_int_equal(checked, 1);
	assert_true(file_exists(s->path));
}

static void incoming__not_what_was_sent__is_not_checked(void **state)
{
	struct scene *s = *state;
	char was = s->end.sha256[0];

	assert_int_equal(begin(s), KC_OK);
	assert_int_equal(incoming_write(s->in, s->payload, PAYLOAD), KC_OK);
	s->end.sha256[0] = was == 'a' ? 'b' : 'a';
	assert_int_equal(finish_checked(s), KC_EDAMAGED);
	assert_int_equal(checked, 0);
	drop(s);
	s->end.sha256[0] = was;
	assert_int_equal(begin(s), KC_OK);
	s->end.size--;
	assert_int_equal(finish_checked(s), KC_ETRUNCATED);
	assert_int_equal(checked, 0);
	drop(s);
	s->end.size++;
	assert_int_equal(begin(s), KC_OK);
	s->end.recovery_size--;
	assert_int_equal(finish_checked(s), KC_EPROTO);
	assert_int_equal(checked, 0);
	drop(s);
	s->end.recovery_size++;
	assert_int_equal(begin(s), KC_OK);
	disk_room = 0; /* its header does not fit */
	assert_int_equal(finish_checked(s), KC_ENOSPC);
	assert_int_equal(checked, 0);
}

static void incoming__no_room__declined_before_anything_is_sent(void **state)
{
	struct scene *s = *state;

	s->offer.room = 1ull << 50;
	assert_int_equal(begin(s), KC_ENOSPC);
	assert_int_equal(s->need, 1ull << 50);
	assert_true(s->have > 0 && s->have < s->need);
	assert_false(file_exists(s->part));
}

static void incoming__partial_file__room_for_the_rest_is_enough(void **state)
{
	struct scene *s = *state;

	assert_int_equal(begin(s), KC_OK);
	assert_int_equal(incoming_write(s->in, s->payload, 200000), KC_OK);
	drop(s);
	assert_int_equal(begin(s), KC_OK);
	assert_int_equal(incoming_resumed(s->in), 200000);
	assert_int_equal(s->need, HEADER + PAYLOAD - 200000);
	/* new data comes before the beginning is hashed */
	assert_int_equal(incoming_write(s->in, s->payload + 200000, 100000), KC_OK);
	assert_int_equal(finish(s), KC_OK);
}

static void incoming__over_the_offer__refused(void **state)
{
	struct scene *s = *state;

	assert_int_equal(begin(s), KC_OK);
	assert_int_equal(incoming_write(s->in, s->payload, PAYLOAD), KC_OK);
	assert_int_equal(incoming_write(s->in, s->payload, 1), KC_ELIMIT);
	assert_int_equal(incoming_size(s->in), PAYLOAD);
}

static void incoming__part_cut_by_another_while_resuming__truncated(void **state)
{
	struct scene *s = *state;

	assert_int_equal(begin(s), KC_OK);
	assert_int_equal(incoming_write(s->in, s->payload, 200000), KC_OK);
	drop(s);
	assert_int_equal(begin(s), KC_OK);
	assert_int_equal(truncate(s->part, 1000), 0);
	loop_turn(s->loop, 0);
	s->end.size = 200000;
	assert_int_equal(finish(s), KC_ETRUNCATED);
}

static void incoming__freed_while_it_syncs__waits(void **state)
{
	struct scene *s = *state;

	assert_int_equal(begin(s), KC_OK);
	assert_int_equal(incoming_write(s->in, s->payload, PAYLOAD), KC_OK);
	incoming_finish(s->in, &s->end, NULL, on_done, s);
	loop_turn(s->loop, 0); /* begins the thread */
	drop(s);
	assert_int_equal(s->done, 0);
	assert_true(file_exists(s->path));
}

static void touch(const char *dir, const char *name, int hours_ago)
{
	char path[256];
	struct timespec times[2] = { 0 };
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	clock_gettime(CLOCK_REALTIME, &times[0]);
	times[0].tv_sec -= 3600 * hours_ago + 10;
	times[1] = times[0];
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

static bool there(const char *dir, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return file_exists(path);
}

static void incoming__stale_partial_files__removed(void **state)
{
	struct scene *s = *state;

	touch(s->dir, "old.age.part", 2);
	touch(s->dir, "fresh.age.part", 0);
	touch(s->dir, "old.age", 2);
	touch(s->dir, ".part", 2);
	assert_int_equal(begin(s), KC_OK);
	assert_false(there(s->dir, "old.age.part"));
	assert_true(there(s->dir, "fresh.age.part"));
	assert_true(there(s->dir, "old.age"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(incoming__whole__has_its_name_and_every_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(incoming__disk_full__both_figures, setup, teardown),
		cmocka_unit_test_setup_teardown(incoming__header_or_sync_fails__stays_part, setup, teardown),
		cmocka_unit_test_setup_teardown(incoming__checked__whole_before_it_is_on_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(incoming__checked__sync_fails_afterwards, setup, teardown),
		cmocka_unit_test_setup_teardown(incoming__not_what_was_sent__is_not_checked, setup, teardown),
		cmocka_unit_test_setup_teardown(incoming__no_room__declined_before_anything_is_sent, setup, teardown),
		cmocka_unit_test_setup_teardown(incoming__partial_file__room_for_the_rest_is_enough, setup, teardown),
		cmocka_unit_test_setup_teardown(incoming__over_the_offer__refused, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    incoming__part_cut_by_another_while_resuming__truncated, setup, teardown),
		cmocka_unit_test_setup_teardown(incoming__freed_while_it_syncs__waits, setup, teardown),
		cmocka_unit_test_setup_teardown(incoming__stale_partial_files__removed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
