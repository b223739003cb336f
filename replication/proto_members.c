/* SPDX-License-Identifier: Apache-2.0 */
/* proto_members: the tables. PROTOCOL.md changes in the same commit. */
#include "proto_members.h"

#define AT(msg, field) offsetof(struct proto_msg, msg.field), sizeof(((struct proto_msg *)NULL)->msg.field)

static const char *const role_names[] = { "", "master", "clone", NULL };
static const char *const kind_names[] = { "", "full", "system", "incremental", NULL };
static const char *const reason_names[] = { "", "have", "stale", "no-space", "diverged", "foreign", "busy", "stopped",
	"failed", "full", NULL };
static const char *const status_names[] = { "", "restored", "unchanged", "stored", "failed", "diverged", "postponed",
	NULL };

static const char *const purpose_names[] = { "", "renew", "depot", NULL };

static const struct member hello_members[] = {
	{ "version", INT, REQUIRED, AT(hello, version), .min = 1, .max = UINT32_MAX },
	{ "product", TEXT, REQUIRED, AT(hello, product) },
	{ "role", ENUM, REQUIRED, AT(hello, role), .names = role_names },
	{ "lineage", HEX, BY_MASTER, AT(hello, lineage) },
	{ "host", TOKEN, REQUIRED, AT(hello, host) },
	{ "time", INT, REQUIRED, AT(hello, time), .max = INT_MAX_JSON },
	{ "stopped", BOOL, OPTIONAL, AT(hello, stopped) },
	{ "fleet", INT, OPTIONAL, AT(hello, fleet), .max = 1000 },
	{ "interval", INT, OPTIONAL, AT(hello, interval), .max = INT_MAX_JSON },
	{ "signing_key", TOKEN, BY_MASTER, AT(hello, signing_key) },
	{ "ancestors", FORKS, OPTIONAL, AT(hello, ancestors) },
	{ "clones", LIST, OPTIONAL, offsetof(struct proto_msg, hello.clones), PROTO_CLONE_NAME,
	    offsetof(struct proto_msg, hello.clone_count), .max = PROTO_CLONES },
	{ "listen_port", INT, OPTIONAL, AT(hello, listen_port), .max = 65535 },
	{ "directs", BOOL, OPTIONAL, AT(hello, directs) },
	{ "recipient", TOKEN, BY_CLONE, AT(hello, recipient) },
	{ "applied_lineage", HEX, OPTIONAL, AT(hello, applied_lineage) },
	{ "applied_generation", INT, OPTIONAL, AT(hello, applied_generation), .max = INT_MAX_JSON },
	{ "applied_digest", HEX, OPTIONAL, AT(hello, applied_digest) },
	{ "stored_lineage", HEX, OPTIONAL, AT(hello, stored_lineage) },
	{ "stored_generation", INT, OPTIONAL, AT(hello, stored_generation), .max = INT_MAX_JSON },
	{ "chain", INT, OPTIONAL, AT(hello, chain), .max = INT_MAX_JSON },
	{ "free", INT, BY_CLONE, AT(hello, free), .max = INT_MAX_JSON },
	{ "diverged", BOOL, OPTIONAL, AT(hello, diverged) },
	{ "diverged_detail", TEXT, OPTIONAL, AT(hello, diverged_detail) },
	{ "postponed_until", INT, OPTIONAL, AT(hello, postponed_until), .max = INT_MAX_JSON },
	{ "system_generation", INT, OPTIONAL, AT(hello, system_generation), .max = INT_MAX_JSON },
	{ "system_file", FILENAME, OPTIONAL, AT(hello, system_file) },
	{ "warnings", LIST, OPTIONAL, offsetof(struct proto_msg, hello.warnings), PROTO_WARNING,
	    offsetof(struct proto_msg, hello.warning_count), .max = PROTO_WARNINGS },
	{ NULL },
};

static const struct member offer_members[] = {
	{ "lineage", HEX, REQUIRED, AT(offer, lineage) },
	{ "generation", INT, REQUIRED, AT(offer, generation), .min = 1, .max = INT_MAX_JSON },
	{ "kind", ENUM, REQUIRED, AT(offer, kind), .names = kind_names },
	{ "base", INT, OPTIONAL, AT(offer, base), .max = INT_MAX_JSON },
	{ "chain", INT, OPTIONAL, AT(offer, chain), .max = INT_MAX_JSON },
	{ "file", FILENAME, REQUIRED, AT(offer, file) },
	{ "file_id", HEX, REQUIRED, AT(offer, file_id) },
	{ "header_size", INT, REQUIRED, AT(offer, header_size), .min = 1, .max = PROTO_HEADER },
	{ "room", INT, REQUIRED, AT(offer, room), .max = INT_MAX_JSON },
	{ "digest", HEX, REQUIRED, AT(offer, digest) },
	{ "receipt", HEX, REQUIRED, AT(offer, receipt) },
	{ "restore_now", BOOL, OPTIONAL, AT(offer, restore_now) },
	{ "discard", BOOL, OPTIONAL, AT(offer, discard) },
	{ "password_since", INT, OPTIONAL, AT(offer, password_since), .max = INT_MAX_JSON },
	{ NULL },
};

static const struct member accept_members[] = {
	{ "offset", INT, REQUIRED, AT(accept, offset), .max = INT_MAX_JSON },
	{ NULL },
};

static const struct member decline_members[] = {
	{ "reason", ENUM, REQUIRED, AT(decline, reason), .names = reason_names },
	{ "message", TEXT, OPTIONAL, AT(decline, message) },
	{ "have", INT, OPTIONAL, AT(decline, have), .max = INT_MAX_JSON },
	{ "need", INT, OPTIONAL, AT(decline, need), .max = INT_MAX_JSON },
	{ NULL },
};

static const struct member end_members[] = {
	{ "size", INT, REQUIRED, AT(end, size), .min = 1, .max = INT_MAX_JSON },
	{ "sha256", HEX, REQUIRED, AT(end, sha256) },
	{ "recovery", BASE64, REQUIRED, AT(end, recovery), offsetof(struct proto_msg, end.recovery_size) },
	{ "travel", BASE64, OPTIONAL, AT(end, travel), offsetof(struct proto_msg, end.travel_size) },
	{ NULL },
};

static const struct member progress_members[] = {
	{ "phase", TEXT, REQUIRED, AT(progress, phase) },
	{ "percent", INT, REQUIRED, AT(progress, percent), .max = 100 },
	{ NULL },
};

static const struct member result_members[] = {
	{ "status", ENUM, REQUIRED, AT(result, status), .names = status_names },
	{ "receipt", HEX, REQUIRED, AT(result, receipt) },
	{ "generation", INT, REQUIRED, AT(result, generation), .min = 1, .max = INT_MAX_JSON },
	{ "digest", HEX, OPTIONAL, AT(result, digest) },
	{ "rows", INT, OPTIONAL, AT(result, rows), .max = INT_MAX_JSON },
	{ "error", TOKEN, OPTIONAL, AT(result, error) },
	{ "message", TEXT, OPTIONAL, AT(result, message) },
	{ "retryable", BOOL, OPTIONAL, AT(result, retryable) },
	{ "until", INT, OPTIONAL, AT(result, until), .max = INT_MAX_JSON },
	{ "audit_seq", INT, OPTIONAL, AT(result, audit_seq), .max = INT_MAX_JSON },
	{ "audit_head", HEX, OPTIONAL, AT(result, audit_head) },
	{ NULL },
};

static const struct member error_members[] = {
	{ "error", TOKEN, REQUIRED, AT(error, error) },
	{ "message", TEXT, OPTIONAL, AT(error, message) },
	{ NULL },
};

static const struct member report_members[] = {
	{ "receipt", HEX, REQUIRED, AT(report, receipt) },
	{ "lineage", HEX, REQUIRED, AT(report, lineage) },
	{ "generation", INT, REQUIRED, AT(report, generation), .min = 1, .max = INT_MAX_JSON },
	{ "status", ENUM, REQUIRED, AT(report, status), .names = status_names },
	{ "digest", HEX, OPTIONAL, AT(report, digest) },
	{ "rows", INT, OPTIONAL, AT(report, rows), .max = INT_MAX_JSON },
	{ "error", TOKEN, OPTIONAL, AT(report, error) },
	{ "message", TEXT, OPTIONAL, AT(report, message) },
	{ "retryable", BOOL, OPTIONAL, AT(report, retryable) },
	{ "time", INT, OPTIONAL, AT(report, time), .max = INT_MAX_JSON },
	{ "duration_ms", INT, OPTIONAL, AT(report, duration_ms), .max = INT_MAX_JSON },
	{ "until", INT, OPTIONAL, AT(report, until), .max = INT_MAX_JSON },
	{ "audit_seq", INT, OPTIONAL, AT(report, audit_seq), .max = INT_MAX_JSON },
	{ "audit_head", HEX, OPTIONAL, AT(report, audit_head) },
	{ NULL },
};

static const struct member ack_members[] = {
	{ "receipt", HEX, REQUIRED, AT(ack, receipt) },
	{ "refused", TEXT, OPTIONAL, AT(ack, refused) },
	{ "audit_seq", INT, OPTIONAL, AT(ack, audit_seq), .max = INT_MAX_JSON },
	{ "audit_head", HEX, OPTIONAL, AT(ack, audit_head) },
	{ NULL },
};

static const struct member directive_members[] = {
	{ "body", BASE64, REQUIRED, AT(directive, body), offsetof(struct proto_msg, directive.body_size) },
	{ "signature", BASE64, REQUIRED, AT(directive, signature),
	    offsetof(struct proto_msg, directive.signature_size) },
	{ NULL },
};

static const struct member directed_members[] = {
	{ "answer", BASE64, OPTIONAL, AT(directed, answer), offsetof(struct proto_msg, directed.answer_size) },
	{ "error", TOKEN, OPTIONAL, AT(directed, error) },
	{ "message", TEXT, OPTIONAL, AT(directed, message) },
	{ NULL },
};

static const struct member cert_request_members[] = {
	{ "purpose", ENUM, REQUIRED, AT(cert_request, purpose), .names = purpose_names },
	{ "csr", BASE64, OPTIONAL, AT(cert_request, csr), offsetof(struct proto_msg, cert_request.csr_size) },
	{ "have", HEX, OPTIONAL, AT(cert_request, have) },
	{ NULL },
};

static const struct member cert_members[] = {
	{ "refused", TEXT, OPTIONAL, AT(cert, refused) },
	{ "error", TOKEN, OPTIONAL, AT(cert, error) },
	{ "certificate", BASE64, OPTIONAL, AT(cert, certificate), offsetof(struct proto_msg, cert.certificate_size) },
	{ NULL },
};

static const struct member join_members[] = {
	{ "version", INT, REQUIRED, AT(join, version), .min = 1, .max = UINT32_MAX },
	{ "product", TEXT, REQUIRED, AT(join, product) },
	{ "time", INT, REQUIRED, AT(join, time), .max = INT_MAX_JSON },
	{ "host", TOKEN, OPTIONAL, AT(join, host) },
	{ "port", INT, REQUIRED, AT(join, port), .min = 1, .max = 65535 },
	{ "recipient", TOKEN, REQUIRED, AT(join, recipient) },
	{ "lineage", HEX, OPTIONAL, AT(join, lineage) },
	{ "csr", BASE64, OPTIONAL, AT(join, csr), offsetof(struct proto_msg, join.csr_size) },
	{ "chain", BASE64, OPTIONAL, AT(join, chain), offsetof(struct proto_msg, join.chain_size) },
	{ "proof", HEX, REQUIRED, AT(join, proof) },
	{ NULL },
};

static const struct member joined_members[] = {
	{ "error", TOKEN, OPTIONAL, AT(joined, error) },
	{ "message", TEXT, OPTIONAL, AT(joined, message) },
	{ "host", TOKEN, OPTIONAL, AT(joined, host) },
	{ "port", INT, OPTIONAL, AT(joined, port), .max = 65535 },
	{ "known", BOOL, OPTIONAL, AT(joined, known) },
	{ "lineage", HEX, OPTIONAL, AT(joined, lineage) },
	{ "signing_key", TOKEN, OPTIONAL, AT(joined, signing_key) },
	{ "master", TOKEN, OPTIONAL, AT(joined, master) },
	{ "chain", BASE64, OPTIONAL, AT(joined, chain), offsetof(struct proto_msg, joined.chain_size) },
	{ "authority", BASE64, OPTIONAL, AT(joined, authority), offsetof(struct proto_msg, joined.authority_size) },
	{ "trust", BASE64, OPTIONAL, AT(joined, trust), offsetof(struct proto_msg, joined.trust_size) },
	{ NULL },
};

static const struct member *const bodies[PROTO_TYPES] = {
	[PROTO_HELLO] = hello_members,
	[PROTO_OFFER] = offer_members,
	[PROTO_ACCEPT] = accept_members,
	[PROTO_DECLINE] = decline_members,
	[PROTO_END] = end_members,
	[PROTO_PROGRESS] = progress_members,
	[PROTO_RESULT] = result_members,
	[PROTO_ERROR] = error_members,
	[PROTO_REPORT] = report_members,
	[PROTO_ACK] = ack_members,
	[PROTO_DIRECTIVE] = directive_members,
	[PROTO_DIRECTED] = directed_members,
	[PROTO_CERT_REQUEST] = cert_request_members,
	[PROTO_CERT] = cert_members,
	[PROTO_JOIN] = join_members,
	[PROTO_JOINED] = joined_members,
};

const struct member *proto_members(uint8_t type)
{
	return type < PROTO_TYPES ? bodies[type] : NULL;
}

const char *proto_role_name(enum proto_role role)
{
	return role_names[role];
}

const char *proto_reason_name(enum proto_reason reason)
{
	return reason_names[reason];
}

const char *proto_status_name(enum proto_status status)
{
	return status_names[status];
}
