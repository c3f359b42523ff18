/* SPDX-License-Identifier: MIT */
/* ggml's numbers by its own names, and its functions in this process. */
#ifndef TESTS_SUPPORT_GGML_H
#define TESTS_SUPPORT_GGML_H

#include "ggml-abi/symbols.h"

/* The functions of TEST_GGML's libggml-base; loads it once. Ends the test where that fails. */
const struct abi_symbols *ggml(void);
/* Any other function of it, or of the loader library ("ggml_backend_load"). */
void *ggml_symbol(const char *name);
/* The number of an operation ("ADD"), unary operation ("RELU") or type ("f32"). Ends the test where there is
 * none. */
int32_t ggml_op(const char *name);
int32_t ggml_unary(const char *name);
int32_t ggml_type(const char *name);

#endif
