/* SPDX-License-Identifier: Apache-2.0 */
/*
 * layout: the names of the files in a secrets directory (keystore.SecretsDir). `init` makes them; the worker and
 * commands that work without a daemon read them; the daemon never does. authority.{crt,key,secret} are issue.h's.
 */
#ifndef KC_LAYOUT_H
#define KC_LAYOUT_H

#define LAYOUT_SEAL_KEY	     "seal.key"	    /* a secret_box */
#define LAYOUT_AGE_IDENTITY  "identity.age" /* this machine's AGE-SECRET-KEY-1…, sealed for SECRET_AGE_IDENTITY */
#define LAYOUT_SIGNING_KEY   "signing.key"  /* a sign_key, on a master */
#define LAYOUT_SIGNING_PUB   "signing.pub"  /* its public part */
#define LAYOUT_SIGNERS	     "signers"	    /* sign_pins: whose backups are restored here */
#define LAYOUT_AUTHORITY_CRT "authority.crt"

#endif
