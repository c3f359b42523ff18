/* SPDX-License-Identifier: MIT */
/* The configuration table as the door sent it; read when the library is loaded. */
#ifndef WORKER_SETTINGS_H
#define WORKER_SETTINGS_H

#include <stddef.h>

struct setting;

/* Zeroed: none. */
struct settings {
	struct setting *sent, *fixed;
};

/* "KEY=VALUE" that nothing can change any more; nor can then any other key that names a library. 0 or -errno. */
int settings_fix(struct settings *s, const char *setting);
/* One WORKER_CONFIG payload: key NUL value NUL; dropped where the key is fixed. 0 or -errno. */
int settings_add(struct settings *s, const char *payload, size_t size);
const char *settings_get(const struct settings *s, const char *key);

#endif
