/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout: the names of the files in a secrets directory (keystore.SecretsDir). `init` makes them; the worker and
 * commands that work without a daemon read them; the daemon never does. authority.{crt,key,secret} are issue.h's.
 */
#ifndef KC_LAYOUT_H
#define KC_LAYOUT_H

#define LAYOUT_SEAL_KEY	       "seal.key"     /* a secret_box */
#define LAYOUT_AGE_IDENTITY    "identity.age" /* this machine's AGE-SECRET-KEY-1…, sealed for SECRET_AGE_IDENTITY */
#define LAYOUT_SIGNING_KEY     "signing.key"  /* a sign_key: a master's, or a clone's for its safety backups */
#define LAYOUT_SIGNING_PUB     "signing.pub"  /* its public part */
#define LAYOUT_SAFETY_PASSWORD "safety.password" /* sealed for SECRET_BACKUP_PASSWORD; see secrets.h */
#define LAYOUT_SIGNERS	       "signers"	 /* sign_pins: whose backups are restored here */
#define LAYOUT_CHAIN_KEYS      "increments"	 /* folder; see chain_key.h */
#define LAYOUT_INVITES	       "enroll-tokens"	 /* what is left of enrolment tokens; see invites.h */
#define LAYOUT_RECIPIENTS      "recipients"	 /* pinned identities of the clones; see recipients.h */
#define LAYOUT_DIRECTIVES      "directives"	 /* clone: the serial number of the last one that was taken */

#endif
