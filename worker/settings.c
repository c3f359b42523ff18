/* SPDX-License-Identifier: MIT */
/* See settings.h. The door has resolved who wins: here the last word counts, and the environment doesn't. */
#include "worker/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct setting {
	struct setting *next;
	char *value; /* points into text */
	char text[];
} * settings;

int settings_add(const char *payload, size_t size)
{
	const char *end = memchr(payload, '\0', size);
	struct setting *s;

	if (!end || end == payload || end + 1 >= payload + size || payload[size - 1])
		return -EBADMSG;
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
	for (const struct setting *s = settings; s; s = s->next) {
		if (!strcmp(s->text, key))
			return s->value;
	}
	return NULL;
}
