/* SPDX-License-Identifier: MIT */
/* See config.h. The variables are those of docs/configuration.md. */
#include "apir/config.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "proto/util.h"

#define MAX_ENTRIES 1024
#define MAX_LENGTH  4096 /* of key and value each: both fit one message */

static const struct {
	const char *env, *key;
} variables[] = {
	{ "VIRGL_APIR_BACKEND_LIBRARY", "apir.load_library.path" },
	{ "VIRGL_APIR_SERVER", "apir.server.path" },
	{ "APIR_LLAMA_CPP_GGML_LIBRARY_PATH", "ggml.library.path" },
	{ "APIR_LLAMA_CPP_GGML_LIBRARY_REG", "ggml.library.reg" },
	{ "APIR_LLAMA_CPP_GGML_LIBRARY_INIT", "ggml.library.init" },
	{ "APIR_LLAMA_CPP_GGML_THREADS", "ggml.threads" },
	{ "APIR_LLAMA_CPP_GGML_DEVICES", "ggml.devices" },
};

static struct config_entry *entry_find(const struct config *c, uint32_t ctx_id, const char *key)
{
	for (size_t i = 0; i < c->n; i++) {
		if (c->entries[i].ctx_id == ctx_id && !strcmp(c->entries[i].key, key))
			return &c->entries[i];
	}
	return NULL;
}

int config_set(struct config *c, uint32_t ctx_id, const char *key, const char *value)
{
	struct config_entry *e = entry_find(c, ctx_id, key);
	AUTO_FREE char *v = NULL;
	AUTO_FREE char *k = NULL;

	if (!*key)
		return -EINVAL;
	if (strlen(key) >= MAX_LENGTH || strlen(value) >= MAX_LENGTH || (!e && c->n >= MAX_ENTRIES))
		return -E2BIG;
	v = strdup(value);
	if (!v)
		return -ENOMEM;
	if (!e) {
		k = strdup(key);
		e = k ? realloc(c->entries, (c->n + 1) * sizeof *e) : NULL;
		if (!e)
			return -ENOMEM;
		c->entries = e;
		e += c->n++;
		*e = (struct config_entry){ .ctx_id = ctx_id, .key = k };
		k = NULL;
	}
	free(e->value);
	e->value = v;
	v = NULL;
	return 0;
}

const char *config_get(const struct config *c, uint32_t ctx_id, const char *key)
{
	const struct config_entry *e = entry_find(c, ctx_id, key);

	if (!e)
		e = entry_find(c, 0, key);
	if (e)
		return e->value;
	for (size_t i = 0; i < ARRAY_SIZE(variables); i++) {
		if (!strcmp(variables[i].key, key))
			return getenv(variables[i].env);
	}
	return NULL;
}

int config_each(const struct config *c, uint32_t ctx_id, int (*fn)(void *, const char *, const char *), void *user)
{
	int err = 0;

	for (size_t i = 0; !err && i < ARRAY_SIZE(variables); i++) {
		const char *v = config_get(c, ctx_id, variables[i].key);

		if (v)
			err = fn(user, variables[i].key, v);
	}
	for (size_t i = 0; !err && i < c->n; i++) {
		const struct config_entry *e = &c->entries[i];

		if (e->ctx_id == ctx_id || (e->ctx_id == 0 && !entry_find(c, ctx_id, e->key)))
			err = fn(user, e->key, e->value);
	}
	return err;
}

static void entry_free(struct config_entry *e)
{
	free(e->key);
	free(e->value);
}

void config_forget(struct config *c, uint32_t ctx_id)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->n; i++) {
		if (c->entries[i].ctx_id == ctx_id)
			entry_free(&c->entries[i]);
		else
			c->entries[kept++] = c->entries[i];
	}
	c->n = kept;
}

void config_fini(struct config *c)
{
	for (size_t i = 0; i < c->n; i++)
		entry_free(&c->entries[i]);
	free(c->entries);
	*c = (struct config){ 0 };
}
