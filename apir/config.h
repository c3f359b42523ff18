/* SPDX-License-Identifier: MIT */
/*
 * The configuration table: keys that a hypervisor set, for one context or for all, and what the environment says.
 * A hypervisor's key wins over a variable, one for the context over one for all.
 */
#ifndef APIR_CONFIG_H
#define APIR_CONFIG_H

#include <stddef.h>
#include <stdint.h>

struct config_entry {
	uint32_t ctx_id; /* 0: every context */
	char *key, *value;
};

struct config {
	struct config_entry *entries;
	size_t n;
};

/* Sets or replaces; copies. -EINVAL (empty key), -E2BIG (too long, too many), -ENOMEM. */
int config_set(struct config *c, uint32_t ctx_id, const char *key, const char *value);
/* NULL: neither set nor in the environment. */
const char *config_get(const struct config *c, uint32_t ctx_id, const char *key);
/* Calls fn for every key that has a value in that context; stops at the first error and returns it. */
int config_each(
	const struct config *c, uint32_t ctx_id, int (*fn)(void *user, const char *key, const char *value), void *user);
void config_forget(struct config *c, uint32_t ctx_id);
void config_fini(struct config *c);

#endif
