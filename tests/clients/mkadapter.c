/* SPDX-License-Identifier: MIT */
/*
 * mkadapter lora|control OUT LAYERS EMBD: random additions to a llama of tests/mkmodel.c with as many heads for keys as for
 * queries: a LoRA of rank 8 on each layer's attn_q and attn_output, or a control vector.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ggml.h>
#include <gguf.h>

#define RANK 8

static void add(struct ggml_context *ctx, struct gguf_context *g, int64_t cols, int64_t rows, float scale,
	const char *format, int layer)
{
	static uint32_t state = 1;
	struct ggml_tensor *t = rows ? ggml_new_tensor_2d(ctx, GGML_TYPE_F32, cols, rows)
	                             : ggml_new_tensor_1d(ctx, GGML_TYPE_F32, cols);
	float *v = ggml_get_data_f32(t);

	for (int64_t i = 0; i < ggml_nelements(t); i++) {
		state = state * 1664525u + 1013904223u;
		v[i] = scale * (float)(int32_t)state * 0x1p-31f;
	}
	ggml_format_name(t, format, layer);
	gguf_add_tensor(g, t);
}

int main(int argc, char **argv)
{
	const bool lora = argc == 5 && !strcmp(argv[1], "lora");
	const int layers = argc == 5 ? atoi(argv[3]) : 0, embd = argc == 5 ? atoi(argv[4]) : 0;
	struct ggml_context *ctx = ggml_init((struct ggml_init_params){ .mem_size = 256u << 20 });
	struct gguf_context *g = gguf_init_empty();
	const float width = sqrtf(3.0f / (float)embd);

	if (layers <= 0 || embd <= 0 || (!lora && strcmp(argv[1], "control") != 0)) {
		fputs("usage: mkadapter lora|control OUT LAYERS EMBD\n", stderr);
		return 2;
	}
	if (lora) {
		gguf_set_val_str(g, "general.type", "adapter");
		gguf_set_val_str(g, "general.architecture", "llama");
		gguf_set_val_str(g, "adapter.type", "lora");
		gguf_set_val_f32(g, "adapter.lora.alpha", 2 * RANK);
	} else {
		gguf_set_val_str(g, "general.architecture", "controlvector");
		gguf_set_val_str(g, "controlvector.model_hint", "llama");
		gguf_set_val_i32(g, "controlvector.layer_count", layers - 1);
	}
	for (int i = 0; i < layers; i++) {
		if (lora) {
			add(ctx, g, embd, RANK, width, "blk.%d.attn_q.weight.lora_a", i);
			add(ctx, g, RANK, embd, 0.3f, "blk.%d.attn_q.weight.lora_b", i);
			add(ctx, g, embd, RANK, width, "blk.%d.attn_output.weight.lora_a", i);
			add(ctx, g, RANK, embd, 0.3f, "blk.%d.attn_output.weight.lora_b", i);
		} else if (i > 0) {
			add(ctx, g, embd, 0, 0.5f, "direction.%d", i);
		}
	}
	if (!gguf_write_to_file(g, argv[2], false)) {
		fprintf(stderr, "mkadapter: cannot write %s\n", argv[2]);
		return 1;
	}
	return 0;
}
