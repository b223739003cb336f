/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ipc: framed JSON over local sockets. One codec, two ways to drive it: blocking, and from the loop. A message over
 * IPC_MAX is refused before anything is allocated for it.
 */
#include "ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "buf.h"
#include "clock.h"
#include "err.h"
#include "file.h"
#include "mem.h"

#define HEADER_BYTES 5
#define PATH_FOR_FD  64

struct ipc_peer {
	struct loop *loop;
	struct loop_fd *watch;
	struct loop_timer *closing; /* reports a close from the loop, never from inside a send */
	ipc_msg_fn on_msg;
	ipc_close_fn on_close;
	void *arg;
	struct buf in;
	struct buf out;
	size_t in_max;
	int fd;
	bool closed;
	bool finish;
	bool in_callback;
	bool freed;
};

static bool known_type(uint8_t t)
{
	return t == IPC_REQUEST || t == IPC_PROGRESS || t == IPC_ASK || t == IPC_ANSWER || t == IPC_RESULT;
}

static int encode(struct buf *out, enum ipc_type type, const json_t *body)
{
	char *text = json_dumps(body, JSON_COMPACT);
	size_t n;

	if (text == NULL)
		return err_set(KC_EFAIL, "message cannot be encoded");
	n = strlen(text);
	if (n + 1 > IPC_MAX) {
		mem_wipe_free(text);
		return err_set(KC_ELIMIT, "message of %zu bytes is too long", n);
	}
	buf_put_u32(out, (uint32_t)(n + 1));
	buf_put_u8(out, (uint8_t)type);
	buf_put(out, text, n);
	mem_wipe_free(text);
	return buf_status(out);
}

static int decode_body(json_t **body, const void *text, size_t n)
{
	json_t *j = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);

	if (!json_is_object(j)) {
		json_decref(j);
		return err_set(KC_EPROTO, "message is not a JSON object");
	}
	*body = j;
	return KC_OK;
}

int ipc_send(int fd, enum ipc_type type, const json_t *body)
{
	struct buf b;
	int rc;

	buf_init(&b, IPC_MAX + HEADER_BYTES);
	rc = encode(&b, type, body);
	while (rc == KC_OK && buf_len(&b) > 0) {
		ssize_t n = send(fd, buf_data(&b), buf_len(&b), MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			rc = err_set(KC_ENET, "the other side is gone: %s", strerror(errno));
		else
			buf_consume(&b, (size_t)n);
	}
	buf_fini(&b);
	return rc;
}

static int read_exactly(int fd, uint8_t *p, size_t n, int64_t deadline)
{
	while (n > 0) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		int64_t left = deadline < 0 ? -1 : deadline - (int64_t)clock_ms();
		ssize_t r;

		if (deadline >= 0 && left < 0)
			left = 0;
		r = poll(&pfd, 1, (int)left);
		if (r < 0 && errno == EINTR)
			continue;
		if (r == 0)
			return err_set(KC_ETIMEOUT, "no answer in time");
		r = recv(fd, p, n, 0);
		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return err_set(KC_ENET, "closed by the other side");
		p += r;
		n -= (size_t)r;
	}
	return KC_OK;
}

int ipc_recv(enum ipc_type *type, json_t **body, int fd, int timeout_ms)
{
	int64_t deadline = timeout_ms < 0 ? -1 : (int64_t)clock_ms() + timeout_ms;
	uint8_t head[HEADER_BYTES];
	struct buf h, b;
	uint32_t n;
	int rc = read_exactly(fd, head, sizeof(head), deadline);

	if (rc < 0)
		return rc;
	buf_view(&h, head, sizeof(head));
	n = buf_get_u32(&h);
	if (n < 1 || n > IPC_MAX || !known_type(head[4]))
		return err_set(KC_EPROTO, "not a message");
	buf_init(&b, n);
	rc = read_exactly(fd, buf_reserve(&b, n - 1), n - 1, deadline);
	if (rc == KC_OK)
		rc = decode_body(body, buf_data(&b), n - 1);
	if (rc == KC_OK)
		*type = (enum ipc_type)head[4];
	buf_fini(&b);
	return rc;
}

json_t *ipc_result_new(int rc)
{
	json_t *j = json_pack("{s:s}", "rc", err_name(rc));

	if (rc < 0)
		json_object_set_new(j, "error", json_string(err_text(rc)));
	return j;
}

int ipc_result_code(const json_t *result)
{
	const char *name = json_string_value(json_object_get(result, "rc"));
	const char *text = json_string_value(json_object_get(result, "error"));
	int rc = name != NULL ? err_from_name(name) : KC_EPROTO;

	return rc < 0 ? err_set(rc, "%s", text != NULL ? text : "failed without a reason") : KC_OK;
}

/* --- from the loop --- */

static void leave(struct ipc_peer *p)
{
	p->in_callback = false;
	if (p->freed)
		ipc_peer_free(p);
}

static void mark_closed(struct ipc_peer *p)
{
	if (p->closed)
		return;
	p->closed = true;
	loop_fd_want(p->watch, 0);
	loop_timer_set(p->closing, 0);
}

static void on_closing(void *arg)
{
	struct ipc_peer *p = arg;

	p->in_callback = true;
	p->on_close(p, p->arg);
	leave(p);
}

static void want(struct ipc_peer *p)
{
	if (!p->closed)
		loop_fd_want(p->watch, LOOP_READ | (buf_len(&p->out) > 0 ? LOOP_WRITE : 0));
}

static void flush_out(struct ipc_peer *p)
{
	while (!p->closed && buf_len(&p->out) > 0) {
		ssize_t n = send(p->fd, buf_data(&p->out), buf_len(&p->out), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0) {
			mark_closed(p);
			return;
		}
		buf_consume(&p->out, (size_t)n);
	}
	if (p->finish && buf_len(&p->out) == 0)
		mark_closed(p);
	want(p);
}

/* One whole message off the front, if there is one. Returns false when more bytes are needed or the peer is done. */
static bool take_message(struct ipc_peer *p)
{
	struct buf head;
	json_t *body = NULL;
	uint32_t n;
	uint8_t type;

	if (p->closed || p->freed || buf_len(&p->in) < HEADER_BYTES)
		return false;
	buf_view(&head, buf_data(&p->in), HEADER_BYTES);
	n = buf_get_u32(&head);
	type = buf_get_u8(&head);
	if (n < 1 || n > p->in_max || !known_type(type)) {
		mark_closed(p);
		return false;
	}
	if (buf_len(&p->in) < 4 + (size_t)n)
		return false;
	if (decode_body(&body, buf_data(&p->in) + HEADER_BYTES, n - 1) < 0) {
		mark_closed(p);
		return false;
	}
	buf_consume(&p->in, 4 + (size_t)n);
	p->on_msg(p, (enum ipc_type)type, body, p->arg);
	json_decref(body);
	return true;
}

static void on_ready(int fd, int events, void *arg)
{
	struct ipc_peer *p = arg;

	if (events & LOOP_WRITE)
		flush_out(p);
	if (p->closed || !(events & LOOP_READ))
		return;
	p->in_callback = true;
	for (int turns = 0; turns < 16 && !p->closed && !p->freed; turns++) {
		uint8_t *room = buf_reserve(&p->in, 16384);
		ssize_t n = room != NULL ? recv(fd, room, 16384, MSG_DONTWAIT) : 0;
		bool again = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);

		if (room != NULL)
			buf_trim(&p->in, n > 0 ? 16384 - (size_t)n : 16384);
		if (again)
			break;
		if (n <= 0) {
			mark_closed(p);
			break;
		}
		while (take_message(p))
			;
	}
	leave(p);
}

struct ipc_peer *ipc_peer_new(struct loop *l, int fd, ipc_msg_fn on_msg, ipc_close_fn on_close, void *arg)
{
	struct ipc_peer *p = mem_xalloc(sizeof(*p));

	p->loop = l;
	p->fd = fd;
	p->on_msg = on_msg;
	p->on_close = on_close;
	p->arg = arg;
	p->in_max = IPC_MAX;
	buf_init(&p->in, IPC_MAX + HEADER_BYTES + 16384);
	buf_init(&p->out, 64u * 1024 * 1024);
	p->watch = loop_fd_new(l, fd, on_ready, p);
	p->closing = loop_timer_new(l, on_closing, p);
	want(p);
	return p;
}

void ipc_peer_send(struct ipc_peer *p, enum ipc_type type, const json_t *body)
{
	if (p->closed || p->finish)
		return;
	if (encode(&p->out, type, body) < 0) {
		mark_closed(p);
		return;
	}
	flush_out(p);
}

void ipc_peer_finish(struct ipc_peer *p)
{
	p->finish = true;
	flush_out(p);
}

void ipc_peer_limit(struct ipc_peer *p, size_t in_max, size_t out_max)
{
	p->in_max = in_max;
	p->out.cap = out_max;
}

int ipc_peer_fd(const struct ipc_peer *p)
{
	return p->fd;
}

void ipc_peer_free(struct ipc_peer *p)
{
	if (p == NULL)
		return;
	if (p->in_callback) {
		p->freed = true;
		return;
	}
	loop_timer_free(p->closing);
	loop_fd_free(p->watch);
	close(p->fd);
	buf_fini(&p->in);
	buf_fini(&p->out);
	free(p);
}

/* --- sockets --- */

int ipc_pair(int fds[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return err_errno("socketpair");
	return KC_OK;
}

/* The address of `path`; where it does not fit sun_path, "/proc/self/fd/N/name" with the directory held open in *dirfd.
 */
static int address(struct sockaddr_un *a, int *dirfd, const char *path)
{
	char *dir;

	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	*dirfd = -1;
	if (strlen(path) < sizeof(a->sun_path)) {
		memcpy(a->sun_path, path, strlen(path) + 1);
		return KC_OK;
	}
	if (strlen(file_basename(path)) > PATH_FOR_FD)
		return err_set(KC_ELIMIT, "%s: name too long for a socket", path);
	dir = file_dirname(path);
	*dirfd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	if (*dirfd < 0)
		return err_errno("%s", path);
	snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/%.64s", *dirfd, file_basename(path));
	return KC_OK;
}

static int socket_at(int *fd, struct sockaddr_un *a, int *dirfd, const char *path)
{
	int rc = address(a, dirfd, path);

	if (rc < 0)
		return rc;
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return *fd < 0 ? err_errno("socket") : KC_OK;
}

int ipc_listen(int *fd, const char *path, mode_t mode)
{
	struct sockaddr_un a;
	int f = -1, dirfd = -1, rc = socket_at(&f, &a, &dirfd, path);
	mode_t old;

	/* The caller holds the lock of the run directory: whatever is there is dead. */
	if (rc == KC_OK && unlink(path) < 0 && errno != ENOENT)
		rc = err_errno("%s: cannot replace", path);
	if (rc == KC_OK) {
		/* The mode is that of its birth: a chmod afterwards could be led elsewhere by a link. */
		old = umask(0777 & ~mode);
		if (bind(f, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(f, 64) < 0)
			rc = err_errno("%s: cannot listen", path);
		umask(old);
	}
	if (dirfd >= 0)
		close(dirfd);
	if (rc < 0) {
		if (f >= 0)
			close(f);
		return rc;
	}
	fcntl(f, F_SETFL, O_NONBLOCK);
	*fd = f;
	return KC_OK;
}

int ipc_connect(int *fd, const char *path)
{
	struct sockaddr_un a;
	int f = -1, dirfd = -1, rc = socket_at(&f, &a, &dirfd, path);

	if (rc == KC_OK && connect(f, (struct sockaddr *)&a, sizeof(a)) < 0)
		rc = errno == EACCES || errno == EPERM
			 ? err_errno("%s", path)
			 : err_set(KC_EDAEMON, "no daemon answers at %s: %s", path, strerror(errno));
	else if (rc < 0)
		rc = err_set(KC_EDAEMON, "no daemon answers at %s", path);
	if (dirfd >= 0)
		close(dirfd);
	if (rc < 0) {
		if (f >= 0)
			close(f);
		return rc;
	}
	*fd = f;
	return KC_OK;
}

int ipc_peer_user(uid_t *uid, gid_t *gid, pid_t *pid, int fd)
{
	struct ucred c;
	socklen_t n = sizeof(c);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) < 0)
		return err_errno("peer credentials");
	*uid = c.uid;
	*gid = c.gid;
	*pid = c.pid;
	return KC_OK;
}
