/* SPDX-License-Identifier: MIT */
/* See other_ggml.h. */
#include "tests/support/other_ggml.h"

#include <glob.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/process.h"

#define MAX_NAMES 16

static uint8_t *file_read(const char *path, size_t *size)
{
	FILE *f = fopen(path, "rb");
	uint8_t *bytes = NULL;
	long n;

	if (f && fseek(f, 0, SEEK_END) == 0 && (n = ftell(f)) > 0 && (bytes = malloc((size_t)n))) {
		rewind(f);
		*size = fread(bytes, 1, (size_t)n, f);
	}
	if (f)
		fclose(f);
	return bytes;
}

static bool file_write(const char *dir, const char *name, const uint8_t *bytes, size_t size)
{
	char path[512];
	bool ok;
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "wb");
	ok = f && fwrite(bytes, 1, size, f) == size;
	return (!f || fclose(f) == 0) && ok;
}

/* The one place where the name stands as a string of its own; NULL: there are none or several. */
static uint8_t *name_find(uint8_t *bytes, size_t size, const char *name)
{
	uint8_t *found = NULL, *end = bytes + size, *at = bytes;
	char whole[64] = "";
	size_t n = strlen(name) + 2;

	memcpy(whole + 1, name, strlen(name));
	while ((at = memmem(at, (size_t)(end - at), whole, n))) {
		if (found)
			return NULL;
		found = ++at;
	}
	return found;
}

/* All are found before one is changed, so that two can be exchanged. */
static bool names_change(uint8_t *bytes, size_t size, const struct other_name *names, size_t n)
{
	uint8_t *at[MAX_NAMES];

	for (size_t i = 0; i < n; i++) {
		at[i] = name_find(bytes, size, names[i].from);
		if (!at[i] || strlen(names[i].to) > strlen(names[i].from)) {
			fprintf(stderr, "other ggml: cannot make %s of %s\n", names[i].to, names[i].from);
			return false;
		}
	}
	for (size_t i = 0; i < n; i++)
		memcpy(at[i], names[i].to, strlen(names[i].to) + 1);
	return true;
}

bool other_ggml_make(struct other_ggml *g, const struct other_name *names, size_t n)
{
	static const char *const wanted[] = { "libggml-base.so", "libggml-cpu-x64.so", "libggml.v*.so" };
	bool ok = n <= MAX_NAMES;

	*g = (struct other_ggml){ .dir = "/tmp/test-other-XXXXXX" };
	if (!mkdtemp(g->dir))
		return false;
	for (size_t i = 0; ok && i < 3; i++) {
		char pattern[512];
		uint8_t *bytes;
		glob_t found = { 0 };
		size_t size = 0;

		snprintf(pattern, sizeof pattern, "%s/%s", test_path("TEST_GGML"), wanted[i]);
		if (glob(pattern, 0, NULL, &found) != 0)
			return false;
		bytes = file_read(found.gl_pathv[0], &size);
		ok = bytes && (i > 0 || names_change(bytes, size, names, n)) &&
		     file_write(g->dir, strrchr(found.gl_pathv[0], '/') + 1, bytes, size);
		free(bytes);
		globfree(&found);
	}
	return ok;
}

void other_ggml_remove(struct other_ggml *g)
{
	char pattern[64];
	glob_t found = { 0 };

	snprintf(pattern, sizeof pattern, "%s/*", g->dir);
	if (glob(pattern, 0, NULL, &found) == 0) {
		for (size_t i = 0; i < found.gl_pathc; i++)
			unlink(found.gl_pathv[i]);
	}
	globfree(&found);
	rmdir(g->dir);
}
