/* SPDX-License-Identifier: MIT */
/* The configuration table as the door sent it; read when the library is loaded. */
#ifndef WORKER_SETTINGS_H
#define WORKER_SETTINGS_H

#include <stddef.h>

/* One WORKER_CONFIG payload: key NUL value NUL. 0 or -errno. */
int settings_add(const char *payload, size_t size);
const char *settings_get(const char *key);

#endif
