/* SPDX-License-Identifier: Apache-2.0 */
/* log: levels, sinks and a rate limit for what strangers cause. Must never fail its caller. */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "str.h"

#define LINE_MAX_BYTES 2048

static struct {
	const char *name;
	enum log_level level;
	bool journal;
	log_sink_fn sink;
	void *arg;
} state = { .name = "keyclone", .level = LOG_LVL_INFO };

static const struct {
	const char *word;
	int priority; /* of syslog(3) */
} levels[] = { { "error", 3 }, { "warning", 4 }, { "info", 6 }, { "debug", 7 } };

/* JOURNAL_STREAM is inherited by whatever a service starts: it counts only if it names our standard error. */
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
	       st.st_dev == (dev_t)device && st.st_ino == (ino_t)inode;
}

void log_init(const char *name, enum log_level level)
{
	state.name = name;
	state.level = level;
	state.journal = is_journal();
}

void log_set_sink(log_sink_fn sink, void *arg)
{
	state.sink = sink;
	state.arg = arg;
}

static void __attribute__((format(printf, 2, 0))) emit(enum log_level level, const char *fmt, va_list ap)
{
	int saved = errno;
	char text[LINE_MAX_BYTES], stamp[40];
	struct tm tm;
	time_t now;

	if (level > state.level)
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	str_printable(text);
	if (state.sink != NULL) {
		state.sink(level, text, state.arg);
	} else if (state.journal) {
		fprintf(stderr, "<%d>%s\n", levels[level].priority, text);
	} else {
		now = time(NULL);
		localtime_r(&now, &tm);
		strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S%z", &tm);
		fprintf(stderr, "%s %s: %s: %s\n", stamp, state.name, levels[level].word, text);
	}
	errno = saved;
}

#define DEFINE_LEVEL(fn, level)       \
	void fn(const char *fmt, ...) \
	{                             \
		va_list ap;           \
		va_start(ap, fmt);    \
		emit(level, fmt, ap); \
		va_end(ap);           \
	}
DEFINE_LEVEL(log_err, LOG_LVL_ERR)
DEFINE_LEVEL(log_warn, LOG_LVL_WARN)
DEFINE_LEVEL(log_info, LOG_LVL_INFO)
DEFINE_LEVEL(log_debug, LOG_LVL_DEBUG)

void log_limited(struct log_rate *rate, uint64_t now_ms, enum log_level level, const char *fmt, ...)
{
	char text[LINE_MAX_BYTES];
	va_list ap;

	if (rate->window == 0 || now_ms - rate->window >= rate->interval_ms) {
		rate->window = now_ms > 0 ? now_ms : 1;
		rate->used = 0;
	}
	if (rate->used >= rate->burst) {
		rate->suppressed++;
		return;
	}
	rate->used++;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	void (*put)(const char *, ...) = level == LOG_LVL_ERR	 ? log_err
					 : level == LOG_LVL_WARN ? log_warn
					 : level == LOG_LVL_INFO ? log_info
								 : log_debug;
	if (rate->suppressed > 0)
		put("%s (%u similar lines suppressed)", text, rate->suppressed);
	else
		put("%s", text);
	rate->suppressed = 0;
}
