/* SPDX-License-Identifier: MIT */
/*
 * Another version of ggml: a copy of the real one in which some names have changed. Its functions, and the CPU library
 * that goes with it, still mean what the numbers meant.
 */
#ifndef TESTS_SUPPORT_OTHER_GGML_H
#define TESTS_SUPPORT_OTHER_GGML_H

#include <stdbool.h>
#include <stddef.h>

struct other_name {
	const char *from, *to; /* `to` is no longer than `from` */
};

struct other_ggml {
	char dir[32]; /* what TEST_GGML may name */
};

bool other_ggml_make(struct other_ggml *g, const struct other_name *names, size_t n);
void other_ggml_remove(struct other_ggml *g);

#endif
