/* SPDX-License-Identifier: MIT */
/* See ggml.h. RTLD_LOCAL, as a program may be loaded that brings its own ggml: nothing may rely on global
 * symbols. */
#include "tests/support/ggml.h"

#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/process.h"

static void give_up(const char *what)
{
	fprintf(stderr, "ggml: %s\n", what ? what : "unknown error");
	exit(99);
}

/* The loader library's name carries a version. */
static void *library(void)
{
	static void *handle;
	char pattern[512];
	glob_t g = { 0 };

	if (handle)
		return handle;
	snprintf(pattern, sizeof pattern, "%s/libggml.v*.so", test_path("TEST_GGML"));
	if (glob(pattern, 0, NULL, &g) != 0)
		give_up("TEST_GGML has no libggml");
	handle = dlopen(g.gl_pathv[0], RTLD_NOW | RTLD_LOCAL);
	globfree(&g);
	if (!handle)
		give_up(dlerror());
	return handle;
}

void *ggml_symbol(const char *name)
{
	void *f = dlsym(library(), name);

	if (!f)
		give_up(name);
	return f;
}

const struct abi_symbols *ggml(void)
{
	static struct abi_symbols symbols;
	const char *missing;

	if (!symbols.version && abi_symbols_load(&symbols, library(), &missing) < 0)
		give_up(missing);
	return &symbols;
}

static int32_t number_of(const char *(*name_of)(int32_t), int32_t n, const char *name)
{
	for (int32_t i = 0; i < n; i++) {
		const char *s = name_of(i);

		if (s && !strcmp(s, name))
			return i;
	}
	give_up(name);
	return -1;
}

int32_t ggml_op(const char *name)
{
	return number_of(ggml()->op_name, ABI_N_OPS, name);
}

int32_t ggml_unary(const char *name)
{
	return number_of(ggml()->unary_op_name, ABI_N_UNARY, name);
}

int32_t ggml_type(const char *name)
{
	return number_of(ggml()->type_name, 40, name);
}
