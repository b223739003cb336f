/* SPDX-License-Identifier: Apache-2.0 */
/* properties: what the worker itself changes in the properties file. Comments and order are kept (conf_edit). */
#ifndef KC_PROPERTIES_H
#define KC_PROPERTIES_H

#include <stdbool.h>

#define PROPERTY_TLS_ALIAS "backup.TLSCertAlias"

int properties_set(const char *path, const char *name, const char *value);

/* A name becomes one of tls.AuthorizedCNs, or is none any more: in the list that the file has, which may be newer than
 * what the daemon goes by. "" changes nothing; KC_ECERT for a name that would be two. */
int properties_authorise(const char *path, const char *cn, bool yes);

#endif
