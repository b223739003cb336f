/* SPDX-License-Identifier: Apache-2.0 */
/* rotate_int: what the files of a rotation share: rotate.c (when, and who is told), rotate_own.c (the master's own
 * work), rotate_clone.c (steps of clones). */
#ifndef KC_ROTATE_INT_H
#define KC_ROTATE_INT_H

#include "daemon/rotate.h"
#include "daemon/rotation.h"
#include "master_int.h"
#include "replication/directive.h"

#define RETRY_MAX_MS 30000 /* an operator waits */
#define WATCHERS_MAX 16

/* The step of one clone that is being taken. */
struct leg {
	struct rotate *rotate;
	char name[300];
	bool busy; /* a job or a session */
	enum rotation_step step;
	struct directive *session;
	char *csr; /* what it requested; lost with the daemon, and asked for again */
	bool answered;
	int rc;			      /* of the answer */
	char why[300];		      /* … or why there was none */
	bool again;		      /* the same step was to be taken once more */
	uint64_t wait_ms, not_before; /* monotonic */
};

struct rotate {
	struct daemon *d;
	struct rotation r;
	struct rotation before; /* the last one, until this one has begun */
	struct loop_timer *tick;
	struct leg legs[ROTATION_CLONES];
	struct {
		struct control_client *client;
		bool undoes; /* asked for it to be taken back */
	} watchers[WATCHERS_MAX];
	bool working; /* the master's own job */
	bool stopped;
	uint64_t switched_at;	      /* monotonic: when the master changed, 0: not in this life */
	uint64_t wait_ms, not_before; /* of the master's own work */
};

/* rotate.c */
void rotate_soon(struct rotate *x);
/* Progress to who watches. */
void rotate_tell(struct rotate *x);
void rotate_answer_all(struct rotate *x, int rc);
int rotate_audit(struct rotate *x, enum audit_outcome outcome, const char *peer, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Durable, and told. */
int rotate_keep(struct rotate *x);
/* The phase is over. */
void rotate_forward(struct rotate *x);
uint64_t rotate_back_off(const struct rotate *x, uint64_t wait_ms);

/* rotate_own.c: begins the master's own work, if this phase has some. */
bool rotate_own_work(struct rotate *x);

/* rotate_clone.c: begins what clone `i` has to do now, unless it has to wait. Its next try is due in *in_ms at the
 * latest. */
void rotate_clone_step(struct rotate *x, size_t i, uint64_t *in_ms);

#endif
