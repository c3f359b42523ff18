/* SPDX-License-Identifier: MIT */
/* See settings.h. The door has resolved who wins: here the last word counts, and the environment doesn't. */
#include "worker/settings.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static struct setting {
	struct setting *next;
	char *value; /* points into text */
	char text[];
} * settings, *fixed;

/* A server that starts workers for others chooses the libraries: who may ask it must not run code of theirs. */
static bool is_fixed(const char *key)
{
	if (fixed && (!strncmp(key, "apir.", 5) || !strncmp(key, "ggml.library.", 13)))
		return true;
	for (const struct setting *s = fixed; s; s = s->next) {
		if (!strcmp(s->text, key))
			return true;
	}
	return false;
}

int settings_fix(const char *setting)
{
	const char *eq = strchr(setting, '=');
	struct setting *s = eq && eq > setting ? malloc(sizeof *s + strlen(setting) + 1) : NULL;

	if (!s)
		return eq && eq > setting ? -ENOMEM : -EINVAL;
	strcpy(s->text, setting);
	s->text[eq - setting] = '\0';
	s->value = s->text + (eq - setting) + 1;
	s->next = fixed;
	fixed = s;
	return 0;
}

static const char *setting_find(const struct setting *s, const char *key)
{
	for (; s; s = s->next) {
		if (!strcmp(s->text, key))
			return s->value;
	}
	return NULL;
}

int settings_add(const char *payload, size_t size)
{
	const char *end = memchr(payload, '\0', size);
	struct setting *s;

	if (!end || end == payload || end + 1 >= payload + size || payload[size - 1])
		return -EBADMSG;
	if (is_fixed(payload))
		return 0;
	s = malloc(sizeof *s + size);
	if (!s)
		return -ENOMEM;
	memcpy(s->text, payload, size);
	s->value = s->text + (end - payload) + 1;
	s->next = settings;
	settings = s;
	return 0;
}

const char *settings_get(const char *key)
{
	const char *value = setting_find(fixed, key);

	return value ? value : setting_find(settings, key);
}
