/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report: what became of a backup after the session that brought it: a clone tells its master, at the master's listen
 * port.
 *
 *     report_out   clone    connects, says hello, reads the master's; sends one report after the other, each when the
 *                           one before is acknowledged; then bye. Without any report it is the sign that the clone is
 *                           there again.
 *     report_in    master   one accepted session: hello, then report → ack as long as there are some
 *
 * After its reports a clone may ask for a certificate (since version 4), and gets one, or is told why not.
 *
 * Neither keeps anything: what is to be told, and which receipts were given, is their owners' (in the state database).
 * A report is done when its ack is there; one whose session ended before is sent again by the next.
 */
#ifndef KC_REPORT_H
#define KC_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "replication/conn.h"
#include "replication/proto.h"

/* --- the clone ---------------------------------------------------------------------------------------------------- */

struct report_out;

/* All come from the loop. The report_out may be freed inside any of them. next and on_ack are required. */
struct report_out_events {
	/* The master greets. KC_OK, or an error (err_set) that ends the session with its text: another lineage. */
	int (*on_hello)(const struct proto_hello *master, void *arg);
	/* What is to be told next: fill *r (zeroed). False: nothing is left; the session ends in good order. */
	bool (*next)(struct proto_report *r, void *arg);
	/* The last one from next() is acknowledged; it must not come from there again. */
	void (*on_ack)(const struct proto_ack *ack, void *arg);
	/* Once, last. KC_OK: nothing was left. */
	void (*on_closed)(int rc, const char *text, void *arg);
	/* Nothing is left to be told: which certificate is wanted? Fill *q (zeroed). False: none. Both may be NULL; a
	 * master before version 4 is not asked. */
	bool (*ask)(struct proto_cert_request *q, void *arg);
	void (*on_cert)(const struct proto_cert *cert, void *arg);
};

struct report_out_options {
	const char *host; /* of the master */
	uint16_t port;
	struct conn_options conn;	 /* self and the role of the rule are set here */
	const struct proto_hello *hello; /* ours; role, version, time are filled in. Copied */
	uint64_t ack_ms;		 /* [60 s] for each ack */
	uint64_t cert_ms;		 /* [10 min] for a certificate: the master's worker may be busy */
};

/* Never fails at once: on_closed tells. */
struct report_out *report_out_start(
    struct loop *l, const struct report_out_options *o, const struct report_out_events *ev, void *arg);
/* At once, without on_closed. NULL is a no-op. */
void report_out_free(struct report_out *s);

/* --- the master --------------------------------------------------------------------------------------------------- */

struct report_in;

/* All come from the loop; required. The report_in may be freed inside on_closed only. */
struct report_in_events {
	/* A clone greets. Fill *ours (zeroed; role, version and time are filled in here; lineage, host and signing_key
	 * are required). KC_OK, or an error that ends the session. */
	int (*on_hello)(struct report_in *s, const struct proto_hello *clone, struct proto_hello *ours, void *arg);
	/* KC_OK: it is acknowledged; with ack->refused set it is not believed, and the session ends after. The receipt
	 * of *ack is filled in. An error ends the session without an ack: the clone sends it again. */
	int (*on_report)(struct report_in *s, const struct proto_report *r, struct proto_ack *ack, void *arg);
	/* It wants a certificate: report_in_answer() follows, now or later. An error ends the session. NULL: nobody
	 * gets one here. */
	int (*on_cert_request)(struct report_in *s, const struct proto_cert_request *q, void *arg);
	/* Once, last; rc KC_OK: the clone said bye. Free it. */
	void (*on_closed)(struct report_in *s, int rc, const char *text, void *arg);
};

/* Takes the session (of conn_listen_events.on_session). report_ms [10 s]: from hello to report, from ack to the next
 * one or bye. */
struct report_in *report_in_new(struct conn *c, uint64_t report_ms, const struct report_in_events *ev, void *arg);
/* At once, without on_closed. NULL is a no-op. */
void report_in_free(struct report_in *s);

/* What on_cert_request was asked for, once for each. */
void report_in_answer(struct report_in *s, const struct proto_cert *cert);

const struct proto_hello *report_in_hello(const struct report_in *s);
const char *report_in_name(const struct report_in *s);	  /* "10.0.0.5:40112" */
const char *report_in_address(const struct report_in *s); /* "10.0.0.5" */
const struct cert_info *report_in_cert(const struct report_in *s);

#endif
