/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confine: Landlock by its three system calls (there is no library), seccomp by libseccomp.
 *
 * The accesses that a rule set handles are those of the kernel's version of Landlock; what it does not know it does
 * not restrict. Constants that older headers lack are below, by the numbers of the kernel's interface.
 */
#include "confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "err.h"
#include "log.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule	    445
#define SYS_landlock_restrict_self  446
#endif

/* The kernel's interface, named for ourselves: distributions ship headers older than the kernels they run on. */
#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH      1

struct ruleset_attr {
	__u64 handled_access_fs;
};
struct path_beneath_attr {
	__u64 allowed_access;
	__s32 parent_fd;
} __attribute__((packed));

enum {
	FS_EXECUTE = 1 << 0,
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_REMOVE_DIR = 1 << 4,
	FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_CHAR = 1 << 6,
	FS_MAKE_DIR = 1 << 7,
	FS_MAKE_REG = 1 << 8,
	FS_MAKE_SOCK = 1 << 9,
	FS_MAKE_FIFO = 1 << 10,
	FS_MAKE_BLOCK = 1 << 11,
	FS_MAKE_SYM = 1 << 12,
	FS_REFER = 1 << 13,    /* version 2: rename and link between folders */
	FS_TRUNCATE = 1 << 14, /* version 3 */
	FS_IOCTL_DEV = 1 << 15 /* version 5 */
};

#define ALL_OF_1 ((FS_MAKE_SYM << 1) - 1)
#define READ	 (FS_READ_FILE | FS_READ_DIR)
#define WRITE                                                                                                          \
	(READ | FS_WRITE_FILE | FS_REMOVE_DIR | FS_REMOVE_FILE | FS_MAKE_DIR | FS_MAKE_REG | FS_MAKE_SOCK | FS_REFER | \
	    FS_TRUNCATE)
#define FILE_RIGHTS (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

static const char *const system_read[] = { "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf",
	"/etc/gai.conf", "/etc/services", "/etc/protocols", "/etc/localtime", "/etc/ld.so.cache", "/etc/passwd",
	"/etc/group", "/usr/share/zoneinfo", "/usr/lib", "/lib", "/lib64", "/run/systemd/resolve",
	"/run/NetworkManager", "/run/resolvconf", "/dev/urandom", "/dev/random", NULL };
static const char *const system_write[] = { "/dev/null", NULL };

int confine_landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

	return abi > 0 ? (int)abi : 0;
}

static uint64_t handled_at(int abi)
{
	uint64_t all = ALL_OF_1;

	if (abi >= 2)
		all |= FS_REFER;
	if (abi >= 3)
		all |= FS_TRUNCATE;
	if (abi >= 5)
		all |= FS_IOCTL_DEV;
	return all;
}

static int add_rule(int ruleset, const char *path, uint64_t access, bool must_exist)
{
	struct path_beneath_attr rule = { .allowed_access = access };
	struct stat st;
	int rc = KC_OK;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0 && errno == ENOENT && !must_exist)
		return KC_OK;
	if (rule.parent_fd < 0 || fstat(rule.parent_fd, &st) < 0) {
		rc = err_errno("%s: cannot be allowed", path);
	} else {
		if (!S_ISDIR(st.st_mode))
			rule.allowed_access &= FILE_RIGHTS;
		if (syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) < 0)
			rc = err_errno("%s: cannot be allowed", path);
	}
	if (rule.parent_fd >= 0)
		close(rule.parent_fd);
	return rc;
}

static int add_rules(int ruleset, const char *const *paths, uint64_t access, bool must_exist)
{
	int rc = KC_OK;

	for (size_t i = 0; paths != NULL && paths[i] != NULL && rc == KC_OK; i++)
		rc = add_rule(ruleset, paths[i], access, must_exist);
	return rc;
}

int confine_files_at_abi(const struct confine_rules *f, int abi)
{
	struct ruleset_attr attr = { .handled_access_fs = handled_at(abi) };
	uint64_t handled = attr.handled_access_fs;
	int rc, fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);

	if (fd < 0)
		return err_errno("cannot make a Landlock rule set");
	rc = add_rules(fd, f->read_only, READ & handled, true);
	if (rc == KC_OK)
		rc = add_rules(fd, f->read_write, WRITE & handled, true);
	if (rc == KC_OK && f->system_files)
		rc = add_rules(fd, system_read, READ & handled, false);
	if (rc == KC_OK && f->system_files)
		rc = add_rules(fd, system_write, (READ | FS_WRITE_FILE) & handled, false);
	if (rc == KC_OK && syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		rc = err_errno("cannot enforce Landlock rules");
	close(fd);
	return rc;
}

int confine_files(const struct confine_rules *f)
{
	int abi = confine_landlock_abi();

	if (abi == 0) {
		log_warn("files are not confined: the kernel has no Landlock");
		return KC_OK;
	}
	return confine_files_at_abi(f, abi);
}

/* By name: libseccomp of the build machine need not know all of them, nor the architecture have them. */
static const char *const denied[] = {
	/* other programs and processes */
	"execve", "execveat", "uselib", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp",
	"pidfd_getfd",
#ifndef KC_WITH_SANITIZER
	"ptrace",
#endif
	/* mounts and namespaces */
	"mount", "umount", "umount2", "mount_setattr", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount",
	"fspick", "pivot_root", "chroot", "unshare", "setns", "swapon", "swapoff", "quotactl", "quotactl_fd",
	"open_by_handle_at", "fanotify_init",
	/* the kernel */
	"init_module", "finit_module", "delete_module", "create_module", "kexec_load", "kexec_file_load", "bpf",
	"perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register", "lookup_dcookie",
	"syslog", "reboot", "acct", "vhangup", "iopl", "ioperm", "modify_ldt", "nfsservctl", "_sysctl",
	/* key rings */
	"add_key", "request_key", "keyctl",
	/* identity */
	"setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups",
	"setuid32", "setgid32", "setreuid32", "setregid32", "setresuid32", "setresgid32", "setfsuid32", "setfsgid32",
	"setgroups32", "capset", "personality",
	/* time and name of the machine */
	"settimeofday", "clock_settime", "clock_settime64", "stime", "adjtimex", "clock_adjtime", "clock_adjtime64",
	"sethostname", "setdomainname"
};

/* New namespaces are asked for by clone's flags, too. clone3 hides them behind a pointer: as if it were not there. */
static int deny_namespaces(scmp_filter_ctx ctx)
{
	int rc = 0;
#ifndef __s390x__ /* where the flags are the second argument */
	static const unsigned long flags[] = { CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC,
		CLONE_NEWUTS, CLONE_NEWCGROUP };

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]) && rc == 0; i++)
		rc = seccomp_rule_add(
		    ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, SCMP_A0(SCMP_CMP_MASKED_EQ, flags[i], flags[i]));
#endif
	return rc == 0 ? seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) : rc;
}

/* Keys that the terminal's shell would take for its user's. */
static int deny_typing(scmp_filter_ctx ctx)
{
	static const unsigned long requests[] = { TIOCSTI, TIOCLINUX };
	int rc = 0;

	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]) && rc == 0; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
		    SCMP_A1(SCMP_CMP_MASKED_EQ, 0xffffffff, requests[i]));
	return rc;
}

static int deny_network(scmp_filter_ctx ctx)
{
	return seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_NE, AF_UNIX));
}

static int deny_programs(scmp_filter_ctx ctx)
{
	int rc = 0;

	for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]) && rc == 0; i++) {
		int nr = seccomp_syscall_resolve_name(denied[i]);

		if (nr != __NR_SCMP_ERROR)
			rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EPERM), nr, 0);
		if (nr < 0 && rc == -EDOM)
			rc = 0; /* not of this architecture */
	}
	if (rc == 0)
		rc = deny_namespaces(ctx);
	if (rc == 0)
		rc = deny_typing(ctx);
	return rc;
}

static int filter(int (*deny)(scmp_filter_ctx ctx))
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
	int rc;

	if (ctx == NULL)
		return err_set(KC_ESYS, "cannot make a seccomp filter");
	rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	if (rc == 0)
		rc = deny(ctx);
	if (rc == 0)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	if (rc == -EINVAL || rc == -ENOSYS || rc == -ECANCELED) {
		log_warn("system calls are not confined: %s", strerror(-rc));
		return KC_OK;
	}
	if (rc < 0) {
		errno = -rc;
		return err_errno("cannot confine system calls");
	}
	return KC_OK;
}

int confine_syscalls(void)
{
	return filter(deny_programs);
}

int confine_network(void)
{
	return filter(deny_network);
}
