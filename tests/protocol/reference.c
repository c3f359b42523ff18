/* SPDX-License-Identifier: MIT */
/* See reference.h. */
#include "tests/support/cm.h"

#include "tests/protocol/reference.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/util.h"
#include "tests/support/process.h"

static char dir[] = "/tmp/test-reference-XXXXXX";

static struct {
	const char *name;
	char value[512];
} words[] = {
	{ "NONE", "/nowhere/lib.so" }, { "DIR", "" }, /* a folder */
	{ "TEXT", "" },                               /* a file that is no library */
	{ "LOG", "" },                                /* a file that logs may go to */
	{ "LOCKED", "" },                             /* a file that its owner may only read */
	{ "PIPE", "" },                               /* a pipe that nobody reads */
	{ "SOCKET", "" },                             /* where the plugin finds the door */
	{ "BACKEND", "" }, { "CPU", "" },             /* ggml's own CPU library */
	{ "FAKE", "" },                               /* support/fake_ggml.c */
	{ "WRAP", "" },                               /* support/wrap_ggml.c */
	{ "APIRFAKE", "" },                           /* support/fake_apir.c */
	{ "APIRHALF", "" },                           /* the same, without the dispatcher */
	{ "APIRSHIM", "" },                           /* support/shim_apir.c */
};

char *word(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!strncmp(name, words[i].name, strlen(words[i].name)))
			return words[i].value;
	}
	fail_msg("no word: %s", name);
	return NULL;
}

const char *expand(const char *text)
{
	static char rooms[4][2048];
	static unsigned next;
	char *out = rooms[next++ % 4], *end = out + sizeof rooms[0] - 1;
	char *at = out;

	while (*text && at < end) {
		if (*text == '$') {
			at += snprintf(at, (size_t)(end - at), "%s", word(text + 1));
			text += 1 + strspn(text + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
		} else {
			*at++ = *text++;
		}
	}
	*at = '\0';
	return out;
}

static void path_make(const char *name, const char *file)
{
	snprintf(word(name), sizeof words[0].value, "%s/%s", dir, file);
}

void file_make(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

int reference_prepare(void **state)
{
	static const char *const cleared[] = { "VIRGL_APIR_BACKEND_LIBRARY", "APIR_LLAMA_CPP_GGML_LIBRARY_PATH",
		"APIR_LLAMA_CPP_GGML_LIBRARY_REG", "APIR_LLAMA_CPP_GGML_LIBRARY_INIT", "APIR_LLAMA_CPP_LOG_TO_FILE",
		"VIRGL_APIR_LOG_TO_FILE", "VIRGL_ROUTE_VENUS_TO_APIR", "GGML_REMOTING_USE_APIR_CAPSET" };
	static const struct {
		const char *word, *variable;
	} built[] = {
		{ "BACKEND", "TEST_BACKEND" },
		{ "FAKE", "TEST_FAKE" },
		{ "WRAP", "TEST_WRAP" },
		{ "APIRFAKE", "TEST_APIR_FAKE" },
		{ "APIRHALF", "TEST_APIR_HALF" },
		{ "APIRSHIM", "TEST_APIR_SHIM" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cleared); i++)
		unsetenv(cleared[i]);
	if (!mkdtemp(dir))
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(built); i++)
		snprintf(word(built[i].word), sizeof words[0].value, "%s", test_path(built[i].variable));
	snprintf(word("CPU"), sizeof words[0].value, "%s/libggml-cpu-x64.so", test_path("TEST_GGML"));
	path_make("DIR", "folder");
	path_make("TEXT", "text");
	path_make("LOG", "log");
	path_make("LOCKED", "locked");
	path_make("PIPE", "pipe");
	path_make("SOCKET", "socket");
	file_make(word("TEXT"),
		"this is no library, and long enough not to be called too short: what comes first tells\n", 0700);
	file_make(word("LOCKED"), "", 0400);
	return mkdir(word("DIR"), 0700) || mkfifo(word("PIPE"), 0600);
}

int reference_clean(void **state)
{
	static const char *const files[] = { "TEXT", "LOG", "LOCKED", "PIPE", "SOCKET" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		unlink(word(files[i]));
	rmdir(word("DIR"));
	return rmdir(dir);
}

int lines_like(const char *text, const char *pattern)
{
	char line[2048];
	int n = 0;

	pattern = expand(pattern);
	while (*text) {
		size_t len = strcspn(text, "\n");

		snprintf(line, sizeof line, "%.*s", (int)len, text);
		n += fnmatch(pattern, line, FNM_NOESCAPE) == 0;
		text += len + (text[len] == '\n');
	}
	return n;
}
