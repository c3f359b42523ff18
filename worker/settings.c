/* SPDX-License-Identifier: MIT */
/* See settings.h. The door has resolved who wins: here the last word counts, and the environment doesn't. */
#include "worker/settings.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct setting {
	struct setting *next;
	char *value; /* points into text */
	char text[];
};

static const char *setting_find(const struct setting *s, const char *key)
{
	for (; s; s = s->next) {
		if (!strcmp(s->text, key))
			return s->value;
	}
	return NULL;
}

/* A server that starts workers for others chooses the libraries: who may ask it must not run code of theirs. */
static bool setting_is_fixed(const struct settings *s, const char *key)
{
	if (s->fixed && (!strncmp(key, "apir.", 5) || !strncmp(key, "ggml.library.", 13)))
		return true;
	return setting_find(s->fixed, key) != NULL;
}

/* In front of the others. */
static void setting_push(struct setting **list, struct setting *s, char *value)
{
	s->value = value;
	s->next = *list;
	*list = s;
}

int settings_fix(struct settings *s, const char *setting)
{
	const char *eq = strchr(setting, '=');
	struct setting *one = eq && eq > setting ? malloc(sizeof *one + strlen(setting) + 1) : NULL;

	if (!one)
		return eq && eq > setting ? -ENOMEM : -EINVAL;
	strcpy(one->text, setting);
	one->text[eq - setting] = '\0';
	setting_push(&s->fixed, one, one->text + (eq - setting) + 1);
	return 0;
}

int settings_add(struct settings *s, const char *payload, size_t size)
{
	const char *end = memchr(payload, '\0', size);
	struct setting *one;

	if (!end || end == payload || end + 1 >= payload + size || payload[size - 1])
		return -EBADMSG;
	if (setting_is_fixed(s, payload))
		return 0;
	one = malloc(sizeof *one + size);
	if (!one)
		return -ENOMEM;
	memcpy(one->text, payload, size);
	setting_push(&s->sent, one, one->text + (end - payload) + 1);
	return 0;
}

const char *settings_get(const struct settings *s, const char *key)
{
	const char *value = setting_find(s->fixed, key);

	return value ? value : setting_find(s->sent, key);
}
