/* SPDX-License-Identifier: MIT */
#include "tests/protocol/direct.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/ggml.h"
#include "tests/support/process.h"

static const char *config(uint32_t ctx_id, const char *key)
{
	static char path[512];

	(void)ctx_id;
	if (strcmp(key, "ggml.library.path") != 0)
		return NULL;
	snprintf(path, sizeof path, "%s/libggml-cpu-x64.so", test_path("TEST_GGML"));
	return path;
}

static void *shmem(uint32_t ctx_id, uint32_t res_id)
{
	(void)ctx_id, (void)res_id;
	return NULL;
}

struct backend_context *direct_open(void)
{
	static struct apir_callbacks callbacks = { .get_config = config, .get_shmem_ptr = shmem };
	uint32_t code;

	return context_open(1, &callbacks, &code);
}

uint64_t direct_buffer(struct backend_context *ctx, uint64_t size)
{
	struct abi_buffer *b = ctx->lib.fn.buft_alloc_buffer(ctx->lib.buft, size);

	if (!b)
		return 0;
	ctx->lib.fn.buffer_clear(b, 0);
	return context_add_buffer(ctx, b, NULL, 0);
}

uint64_t direct_tensor(struct direct_graph *g, const char *op, uint64_t buffer, uint64_t data, uint32_t ne0,
	uint32_t ne1, uint64_t src0, uint64_t src1)
{
	struct apir_tensor *t = &g->tensors[g->n_tensors++];
	uint32_t row = ne0 * 4, plane = row * ne1;

	*t = (struct apir_tensor){
		.id = g->n_tensors * UINT64_C(0x10001),
		.buffer = buffer,
		.ne = { ne0, ne1, 1, 1 },
		.nb = { 4, row, plane, plane },
		.op = (uint32_t)ggml_op(op),
		.flags = 16,
		.src = { src0, src1 },
		.data = data,
	};
	if (strcmp(op, "NONE") != 0)
		g->nodes[g->n_nodes++] = t->id;
	return t->id;
}

uint8_t *direct_bytes(const struct direct_graph *g, size_t *size)
{
	size_t ids = g->n_nodes * sizeof g->nodes[0], tensors = g->n_tensors * sizeof g->tensors[0];
	uint8_t *bytes = malloc(8 + ids + tensors);

	if (!bytes)
		return NULL;
	memcpy(bytes, &g->n_nodes, 4);
	memcpy(bytes + 4, g->nodes, ids);
	memcpy(bytes + 4 + ids, &g->n_tensors, 4);
	memcpy(bytes + 8 + ids, g->tensors, tensors);
	*size = 8 + ids + tensors;
	return bytes;
}
