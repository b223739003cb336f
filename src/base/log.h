/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log: the operational log, on standard error.
 *
 * One line a call. Under systemd (standard error is the journal's stream, $JOURNAL_STREAM) lines carry a "<N>"
 * priority and no time; elsewhere an RFC 3339 local time and the level. INFO is one line per change of state,
 * nothing per poll. Never keys, passwords, plain data; no paths of key material above DEBUG. errno survives.
 * Control characters of strangers are replaced, so that a line stays a line.
 *
 * Audit records are not log lines: see audit.h.
 */
#ifndef KC_LOG_H
#define KC_LOG_H

#include <stdint.h>

enum log_level { LOG_LVL_ERR, LOG_LVL_WARN, LOG_LVL_INFO, LOG_LVL_DEBUG };

/* `name` (borrowed, e.g. "keycloned") leads each line. `level`: the most verbose one that is written. */
void log_init(const char *name, enum log_level level);

/* A sink for tests: gets each formatted message without time and level. NULL: standard error again. */
typedef void (*log_sink_fn)(enum log_level level, const char *text, void *arg);
void log_set_sink(log_sink_fn sink, void *arg);

void log_err(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* For what strangers can cause at will: at most `burst` lines in `interval_ms`; the first line afterwards says how
 * many were suppressed. Initialise with LOG_RATE(burst, interval_ms). `now_ms`: any monotonic clock. */
struct log_rate {
	unsigned burst;
	uint64_t interval_ms;
	uint64_t window;
	unsigned used;
	unsigned suppressed;
};
#define LOG_RATE(b, i)                           \
	{                                        \
		.burst = (b), .interval_ms = (i) \
	}
void log_limited(struct log_rate *rate, uint64_t now_ms, enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
