/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hook_run: `keycloned --hook`: one command of the operator's, from its start to its end. Asked on descriptor 3 with
 * {"hook": name, "values": {name: text}}; answers with a result that has "output" (the command's first lines) beside
 * rc and error. Ends the command when it takes too long, and when the daemon's end of the socket closes.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/command.h"
#include "base/conf.h"
#include "base/err.h"
#include "base/ipc.h"
#include "base/mem.h"
#include "base/member.h"
#include "base/str.h"
#include "hook.h"

#define DAEMON_FD      3
#define ASK_TIMEOUT_MS 10000
#define OUTPUT_MAX     2048
#define LINES_MAX      5
#define VALUE_MAX      1024
#define ENV_MAX	       40
#define TICK_MS	       50

struct hook_run {
	struct command command;
	char *program;
	char *env[ENV_MAX + 1];
	size_t env_count;
	pid_t pid;
	int output_fd;
	char output[OUTPUT_MAX + 1];
	size_t output_size;
	bool abandoned; /* the daemon is gone */
	int ended_by;	/* the last signal that we sent */
	uint64_t began;
};

static void add_env(struct hook_run *r, const char *name, const char *value)
{
	char cut[VALUE_MAX];

	if (r->env_count >= ENV_MAX)
		return;
	STR_COPY(cut, value);
	r->env[r->env_count++] = mem_xasprintf("%s=%s", name, str_printable(cut));
}

/* Only what is in the table, each by the name that it has there. */
static void add_values(struct hook_run *r, const json_t *values)
{
	static const char *const names[] = { HOOK_VALUES };
	char name[64];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = json_string_value(json_object_get(values, names[i]));

		snprintf(name, sizeof(name), "KEYCLONE_%s", names[i]);
		if (value != NULL)
			add_env(r, name, value);
	}
}

static int find_hook(enum hook *hook, const char *name)
{
	static const char *const names[] = {
#define H(constant, name, property, member, parallel) name,
		HOOK_TABLE(H)
#undef H
	};

	for (int i = 0; i < HOOK_COUNT; i++)
		if (strcmp(names[i], name) == 0) {
			*hook = (enum hook)i;
			return KC_OK;
		}
	return err_set(KC_EUSAGE, "%.40s: no such hook", name);
}

static const char *command_of(const struct conf *c, enum hook hook)
{
	switch (hook) {
#define H(constant, name, property, member, parallel) \
	case constant:                                \
		return c->member;
		HOOK_TABLE(H)
#undef H
	default:
		return NULL;
	}
}

/* The network daemon writes to these folders: what lies there could be its choice. */
static int check_place(const struct conf *c, const char *program)
{
	const char *dirs[] = { c->backup_dir, c->state_dir, c->log_dir, c->run_dir };
	char real[PATH_MAX], dir[PATH_MAX];

	if (realpath(program, real) == NULL)
		return err_errno("%s", program);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		size_t n;

		if (realpath(dirs[i], dir) == NULL)
			continue;
		n = strlen(dir);
		if (strncmp(real, dir, n) == 0 && real[n] == '/')
			return err_set(
			    KC_EPERM, "%s: programs in %s are not run: the daemon writes there", program, dirs[i]);
	}
	return KC_OK;
}

static int prepare(struct hook_run *r, const char *conf_path, const json_t *request)
{
	const char *name = member_text(request, "hook"), *line, *lang = getenv("LANG");
	struct conf *c = NULL;
	enum hook hook;
	int rc = find_hook(&hook, name);

	if (rc == KC_OK)
		rc = conf_load(&c, conf_path, 0, NULL);
	if (rc < 0)
		return rc;
	line = command_of(c, hook);
	rc = line == NULL ? err_set(KC_ENOENT, "no command is configured any more") : command_parse(&r->command, line);
	if (rc == KC_OK)
		rc = command_find(&r->program, &r->command);
	if (rc == KC_OK)
		rc = check_place(c, r->program);
	if (rc == KC_OK) {
		add_env(r, "PATH", COMMAND_PATH);
		add_env(r, "LANG", lang != NULL ? lang : "C.UTF-8");
		add_env(r, "KEYCLONE_HOOK", name);
		add_env(r, "KEYCLONE_CONFIG", c->path);
		add_env(r, "KEYCLONE_ROLE", c->role == CONF_MASTER ? "master" : "clone");
		add_env(r, "KEYCLONE_DATABASE", c->keydb_path);
		add_values(r, json_object_get(request, "values"));
	}
	conf_free(c);
	return rc;
}

/* In the child: what we got from whoever started us is not handed on, but for what it may do (no new privileges, no
 * core dumps, umask 077). `tell` is closed by exec; what comes through it is why exec failed. */
static void exec_command(struct hook_run *r, int output, int tell)
{
	struct sigaction dfl;
	sigset_t none;
	int null, why;

	memset(&dfl, 0, sizeof(dfl));
	dfl.sa_handler = SIG_DFL;
	sigemptyset(&none);
	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &dfl, NULL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	umask(077);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0 &&
	    dup2(output, STDERR_FILENO) >= 0 && dup2(tell, 3) >= 0 && fcntl(3, F_SETFD, FD_CLOEXEC) == 0 &&
	    close_range(4, ~0u, 0) == 0 && chdir("/") == 0)
		execve(r->program, r->command.argv, r->env);
	why = errno;
	if (write(3, &why, sizeof(why)) < 0)
		_exit(127);
	_exit(127);
}

static int start_command(struct hook_run *r)
{
	int out[2], tell[2], why = 0;
	ssize_t n;

	if (pipe2(out, O_CLOEXEC) < 0)
		return err_errno("pipe");
	if (pipe2(tell, O_CLOEXEC) < 0) {
		close(out[0]);
		close(out[1]);
		return err_errno("pipe");
	}
	r->began = clock_ms();
	r->pid = fork();
	if (r->pid == 0)
		exec_command(r, out[1], tell[1]);
	close(out[1]);
	close(tell[1]);
	r->output_fd = out[0];
	if (r->pid < 0) {
		close(tell[0]);
		return err_errno("cannot fork");
	}
	do
		n = read(tell[0], &why, sizeof(why));
	while (n < 0 && errno == EINTR);
	close(tell[0]);
	if (n != (ssize_t)sizeof(why))
		return KC_OK;
	while (waitpid(r->pid, NULL, 0) < 0 && errno == EINTR)
		;
	errno = why;
	return err_errno("%s: cannot be run", r->program);
}

/* What is more than fits is read and dropped, so that the command does not wait for us. */
static void take_output(struct hook_run *r)
{
	char dropped[4096];
	size_t room = OUTPUT_MAX - r->output_size;
	ssize_t n =
	    read(r->output_fd, room > 0 ? r->output + r->output_size : dropped, room > 0 ? room : sizeof(dropped));

	if (n > 0 && room > 0)
		r->output_size += (size_t)n;
	if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) {
		close(r->output_fd);
		r->output_fd = -1;
	}
}

/* TERM when its time is over or nobody waits for it any more, KILL when that did not help. */
static void hurry(struct hook_run *r)
{
	uint64_t now = clock_ms() - r->began, limit = r->abandoned ? 0 : HOOK_TIMEOUT_MS;

	if (r->ended_by == 0 && now >= limit) {
		r->began = clock_ms() - limit;
		r->ended_by = SIGTERM;
		kill(-r->pid, SIGTERM);
	} else if (r->ended_by == SIGTERM && now >= limit + HOOK_GRACE_MS) {
		r->ended_by = SIGKILL;
		kill(-r->pid, SIGKILL);
	}
}

static void look_at_daemon(struct hook_run *r)
{
	char byte;
	ssize_t n = recv(DAEMON_FD, &byte, 1, MSG_DONTWAIT);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		r->abandoned = true;
		r->began = clock_ms();
	}
}

/* Until the command itself has ended; what it left running in its group goes with it. */
static int supervise(struct hook_run *r)
{
	int status = 0;

	for (;;) {
		struct pollfd p[2] = { { .fd = r->output_fd, .events = POLLIN },
			{ .fd = r->abandoned ? -1 : DAEMON_FD, .events = POLLIN } };
		pid_t got = waitpid(r->pid, &status, WNOHANG);

		if (got == r->pid || (got < 0 && errno != EINTR))
			break;
		if (poll(p, 2, TICK_MS) > 0) {
			if (p[0].revents != 0)
				take_output(r);
			if (p[1].revents != 0)
				look_at_daemon(r);
		}
		hurry(r);
	}
	kill(-r->pid, SIGKILL);
	while (r->output_fd >= 0 && fcntl(r->output_fd, F_SETFL, O_NONBLOCK) == 0) {
		struct pollfd p = { .fd = r->output_fd, .events = POLLIN };

		if (poll(&p, 1, 0) <= 0)
			break;
		take_output(r);
	}
	return status;
}

static int judge(const struct hook_run *r, int status)
{
	if (r->ended_by != 0 && !r->abandoned)
		return err_set(KC_ETIMEOUT, "it ran for more than %d s and was ended%s", HOOK_TIMEOUT_MS / 1000,
		    r->ended_by == SIGKILL ? " by force" : "");
	if (r->abandoned)
		return err_set(KC_ECANCELED, "the daemon ended");
	if (WIFSIGNALED(status))
		return err_set(
		    KC_EFAIL, "it was ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	if (WEXITSTATUS(status) != 0)
		return err_set(KC_EFAIL, "it ended with exit status %d", WEXITSTATUS(status));
	return KC_OK;
}

static json_t *lines_of(struct hook_run *r)
{
	json_t *lines = json_array();
	char *save = NULL;

	r->output[r->output_size] = '\0';
	for (char *l = strtok_r(r->output, "\r\n", &save); l != NULL && json_array_size(lines) < LINES_MAX;
	     l = strtok_r(NULL, "\r\n", &save)) {
		for (char *tab = strchr(l, '\t'); tab != NULL; tab = strchr(tab, '\t'))
			*tab = ' ';
		json_array_append_new(lines, json_string(str_printable(l)));
	}
	return lines;
}

static void fini(struct hook_run *r)
{
	if (r->output_fd >= 0)
		close(r->output_fd);
	command_fini(&r->command);
	free(r->program);
	for (size_t i = 0; i < r->env_count; i++)
		free(r->env[i]);
}

int hook_main(const char *conf_path)
{
	struct hook_run r = { .output_fd = -1 };
	enum ipc_type type;
	json_t *request = NULL, *result;
	int rc;

	prctl(PR_SET_NAME, "keyclone-hook");
	/* As of the starter: it ignores what a terminal sends. A child that is not waited for must be seen, too. */
	signal(SIGCHLD, SIG_DFL);
	fcntl(DAEMON_FD, F_SETFD, FD_CLOEXEC);
	rc = ipc_recv(&type, &request, DAEMON_FD, ASK_TIMEOUT_MS);
	if (rc < 0)
		return 1;
	rc = prepare(&r, conf_path, request);
	if (rc == KC_OK)
		rc = start_command(&r);
	if (rc == KC_OK)
		rc = judge(&r, supervise(&r));
	result = ipc_result_new(rc);
	json_object_set_new(result, "output", lines_of(&r));
	rc = ipc_send(DAEMON_FD, IPC_RESULT, result);
	json_decref(result);
	json_decref(request);
	fini(&r);
	return rc < 0;
}
