/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rotation: where a rotation of certificates is: what is done, and what each clone may do next. Plain data, kept as a
 * file of the state folder after each step; rotate.c takes the steps.
 *
 *     phase     of the fleet, when every clone …              a clone's steps in it
 *     BEGIN     the master makes the new certificate, and trusts it
 *     PREPARE                                                 TRUST, REQUEST, INSTALL
 *     SWITCH    … trusts the new certificate and has its own  SWITCH
 *     MASTER    … shows its new one: the master does, too
 *     VERIFY                                                  VERIFY: a session with the new ones on both sides
 *     REVOKE    … has proved it: the master revokes what an authority issued that stays
 *     RETIRE                                                  RETIRE: the old ones, and the old trust, go
 *     END       … has forgotten: the master does, too
 *
 *     BACK_MASTER, BACK, BACK_END: an operator ended it; the old ones are in force again, then the new ones go.
 *
 * At every moment both sides trust the old and the new: the new is trusted by all before anybody shows it, and the old
 * until nobody does. A clone that joins in the middle catches up step by step.
 */
#ifndef KC_ROTATION_H
#define KC_ROTATION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define ROTATION_CLONES 20
#define ROTATION_ALIAS	65
#define ROTATION_HEX	65

enum rotation_phase {
	ROTATION_NONE,
	ROTATION_BEGIN,
	ROTATION_PREPARE,
	ROTATION_SWITCH,
	ROTATION_MASTER,
	ROTATION_VERIFY,
	ROTATION_REVOKE,
	ROTATION_RETIRE,
	ROTATION_END,
	ROTATION_BACK_MASTER,
	ROTATION_BACK,
	ROTATION_BACK_END,
};

enum rotation_step {
	ROTATION_TRUST,
	ROTATION_REQUEST,
	ROTATION_INSTALL,
	ROTATION_SWITCHING,
	ROTATION_VERIFYING,
	ROTATION_RETIRING,
	ROTATION_DONE, /* nothing is left to do */
	ROTATION_GO_BACK,
	ROTATION_WAIT, /* for the others */
};

/* Whose certificate a clone shows. */
enum rotation_kind {
	ROTATION_UNKNOWN,  /* until its first session */
	ROTATION_SITE,	   /* the master's own: it gets the new one with its key */
	ROTATION_OWN,	   /* one of its own, of our authority: it requests another */
	ROTATION_EXTERNAL, /* one of its own that stays: it learns to trust the master's */
};

struct rotation_clone {
	char name[300]; /* HOST:PORT */
	enum rotation_kind kind;
	enum rotation_step next;	/* what it has to do next; everything before is done */
	bool back;			/* it has gone back */
	char alias[ROTATION_ALIAS];	/* of the certificate it had in use before */
	char new_alias[ROTATION_ALIAS]; /* of its new one, in its keystore */
	char sha256[ROTATION_HEX];	/* of its new one, as it will show it; "" where it keeps its own */
	char serial[100];		/* of its old one, in hex */
	char cn[300];			/* of its certificate … */
	json_t *sans;			/* … and its other names; NULL: none */
	/* for people */
	int64_t since; /* it waits for this step since then */
	char error[300];
};

struct rotation {
	enum rotation_phase phase;
	char id[33];
	int64_t began;
	uint64_t serial;   /* of the last directive */
	bool make;	   /* the certificate is made here, instead of being in the keystore already */
	bool authority;	   /* a new authority as well */
	bool own;	   /* the new certificate is of the own authority */
	char key_type[32]; /* "": the default */
	unsigned days;	   /* 0: the default */
	char old_alias[ROTATION_ALIAS], new_alias[ROTATION_ALIAS];
	char old_sha256[ROTATION_HEX], new_sha256[ROTATION_HEX];
	char old_spki[ROTATION_HEX], new_spki[ROTATION_HEX];
	char old_serial[100]; /* of the old certificate, if it is of an authority that stays */
	char add_cn[300];     /* the new common name, if it has to be authorised */
	char drop_cn[300];    /* the old one, if nobody needs it any more */
	char *crl;	      /* PEM, what revokes the old ones; NULL: nothing had to be. heap */
	char *certificates;   /* PEM, what has to be trusted for the new one; heap */
	json_t *forget;	      /* SHA-256 of what need not be trusted without the old one */
	json_t *forget_new;   /* … without the new one, where this rotation brought it */
	struct rotation_clone clones[ROTATION_CLONES];
	size_t count;
	/* of one that is over */
	int64_t ended;
	bool undone;
};

void rotation_fini(struct rotation *r);
/* For another one: as if there had been none, but for the serial number, which never goes back, whatever the clock
 * does. The last one comes back if the other does not begin. */
void rotation_set_aside(struct rotation *r, struct rotation *before);
void rotation_bring_back(struct rotation *r, struct rotation *before);

/* What clone `i` is to do now: ROTATION_WAIT, ROTATION_DONE, or a step. */
enum rotation_step rotation_due(const struct rotation *r, size_t i);
/* It has done that; or, of a request whose key is gone, not: `step` is due again. */
void rotation_did(struct rotation *r, size_t i, enum rotation_step step);
void rotation_again(struct rotation *r, size_t i, enum rotation_step step);
/* The next phase if every clone is ready for it. BEGIN, MASTER, REVOKE, END, BACK_MASTER and BACK_END end by the
 * master's own work, with rotation_forward(). True: it is another now. */
bool rotation_advance(struct rotation *r);
void rotation_forward(struct rotation *r);
/* An operator ends it. KC_EUSAGE: there is none; KC_EBUSY: the old certificates are being retired already. */
int rotation_undo(struct rotation *r);

/* The clones of the fleet: new ones join, those that are not there any more are forgotten. True: something changed. */
bool rotation_set_clones(struct rotation *r, const char *const *names, size_t count);
struct rotation_clone *rotation_find(struct rotation *r, const char *name);

#define ROTATION_DAY 9
void rotation_day(char day[ROTATION_DAY], int64_t t); /* "20261129", UTC */
/* "ssl_cert", "20261129" → "ssl_cert-20261129"; a suffix that an earlier rotation gave is replaced. */
void rotation_alias(char alias[ROTATION_ALIAS], const char *old, const char *suffix);

/* Does a clone keep a certificate of its own, which the master has to go on trusting? */
bool rotation_has_external(const struct rotation *r);

const char *rotation_phase_name(enum rotation_phase phase);
const char *rotation_step_name(enum rotation_step step); /* also the name in directives */
const char *rotation_kind_name(enum rotation_kind kind);

/* The file <state>/rotation.json. None: phase NONE. */
int rotation_load(struct rotation *r, const char *state_dir);
int rotation_save(const struct rotation *r, const char *state_dir);
/* What status shows; new reference, null where there was none. */
json_t *rotation_json(const struct rotation *r);

#endif
