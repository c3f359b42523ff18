/* SPDX-License-Identifier: MIT */
/*
 * Writes a model to test and measure with: llama architecture, seeded random weights of any size and type,
 * and a vocabulary of the 256 bytes and made-up words. The same options give the same file.
 *
 * libggml's gguf API writes the metadata from tensors that have shapes but no data; the weights follow, a
 * block of rows at a time, so that memory use does not grow with the model. Each tensor's weights come from
 * the seed and the tensor's name, not from the order of writing.
 */
#include <getopt.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include <ggml.h>
#include <gguf.h>

#define TOOL "mkmodel"
#include "../bench/tool.h"

enum {
	TOKEN_UNK,
	TOKEN_BOS,
	TOKEN_EOS,
	TOKEN_BYTES,
	TOKEN_WORDS = TOKEN_BYTES + 256,
	MAX_OPTION = 1 << 24,
	ROWS_AT_ONCE = 64,
};

/* llama.cpp's token types, as tokenizer.ggml.token_type holds them */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN = 2, TYPE_CONTROL = 3, TYPE_BYTE = 6 };

#define EMBEDDING_SCALE 4.0f

struct model_type {
	const char *name;
	enum ggml_type type;
	uint32_t file_type; /* general.file_type: llama.cpp's LLAMA_FTYPE_* */
};

static const struct model_type model_types[] = {
	{ "f32", GGML_TYPE_F32, 0 },
	{ "f16", GGML_TYPE_F16, 1 },
	{ "q8_0", GGML_TYPE_Q8_0, 7 },
	{ "q4_0", GGML_TYPE_Q4_0, 2 },
};

struct shape {
	uint32_t layers, embd, heads, kv_heads, ff, vocab, ctx;
	uint32_t experts, used; /* 0: one feed-forward network a layer */
	uint64_t seed;
	const struct model_type *type;
};

static const char usage_text[] =
	"usage: mkmodel OUT [OPTION...]\n"
	"  --layers N     layers (22)                 --embd N      width (256)\n"
	"  --heads N      attention heads (8)         --kv-heads N  key and value heads (as many as heads)\n"
	"  --ff N         feed-forward width (512)    --vocab N     tokens (512; at least 259)\n"
	"  --type T       f32, f16, q8_0, q4_0 (f16)  --ctx N       context length (4096)\n"
	"  --experts N    feed-forward networks a layer, of which each token uses --used N (0: one; 2)\n"
	"  --seed N       of the weights (1)\n";

static uint64_t seed_for(uint64_t seed, const char *name)
{
	uint64_t h = 0xcbf29ce484222325; /* FNV-1a */

	for (; *name; name++)
		h = (h ^ (unsigned char)*name) * 0x100000001b3;
	h ^= random_next(&seed);
	return h;
}

static const struct model_type *type_named(const char *name)
{
	for (size_t i = 0; i < sizeof model_types / sizeof *model_types; i++)
		if (!strcmp(model_types[i].name, name))
			return &model_types[i];
	die(2, "--type %s: want f32, f16, q8_0 or q4_0", name);
}

static void shape_check(const struct shape *s)
{
	const uint32_t block = (uint32_t)ggml_blck_size(s->type->type);

	if (!s->layers || !s->embd || !s->heads || !s->kv_heads || !s->ff || !s->ctx)
		die(2, "--layers, --embd, --heads, --kv-heads, --ff and --ctx must not be 0");
	if (s->embd % s->heads)
		die(2, "--embd %u is not divisible by --heads %u", s->embd, s->heads);
	if (s->embd / s->heads % 2)
		die(2, "--embd %u over --heads %u gives heads of odd width %u, which can't be rotated", s->embd,
			s->heads, s->embd / s->heads);
	if (s->heads % s->kv_heads)
		die(2, "--heads %u is not divisible by --kv-heads %u", s->heads, s->kv_heads);
	if (s->embd % block)
		die(2, "--embd %u is not divisible by %u, the block of %s", s->embd, block, s->type->name);
	if (s->ff % block)
		die(2, "--ff %u is not divisible by %u, the block of %s", s->ff, block, s->type->name);
	if (s->experts && (!s->used || s->used > s->experts))
		die(2, "--used %u: want a number from 1 to --experts %u", s->used, s->experts);
	if (s->vocab < TOKEN_WORDS)
		die(2, "--vocab %u is too small: 3 special tokens and 256 bytes need %d", s->vocab, TOKEN_WORDS);
}

static void add_vocabulary(struct gguf_context *g, uint32_t n)
{
	static const char *const special[] = { "<unk>", "<s>", "</s>" };
	char(*text)[24] = alloc(n, sizeof *text);
	const char **tokens = alloc(n, sizeof *tokens);
	float *scores = alloc(n, sizeof *scores);
	int32_t *types = alloc(n, sizeof *types);

	for (uint32_t i = 0; i < n; i++) {
		if (i < TOKEN_BYTES) {
			snprintf(text[i], sizeof text[i], "%s", special[i]);
			types[i] = i == TOKEN_UNK ? TYPE_UNKNOWN : TYPE_CONTROL;
		} else if (i < TOKEN_WORDS) {
			snprintf(text[i], sizeof text[i], "<0x%02X>", i - TOKEN_BYTES);
			types[i] = TYPE_BYTE;
		} else {
			/* U+2581 is SPM's space. */
			snprintf(text[i], sizeof text[i], "\xe2\x96\x81w%u", i);
			types[i] = TYPE_NORMAL;
			scores[i] = -(float)i;
		}
		tokens[i] = text[i];
	}
	gguf_set_val_str(g, "tokenizer.ggml.model", "llama");
	gguf_set_arr_str(g, "tokenizer.ggml.tokens", tokens, n);
	gguf_set_arr_data(g, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, scores, n);
	gguf_set_arr_data(g, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, types, n);
	gguf_set_val_u32(g, "tokenizer.ggml.unknown_token_id", TOKEN_UNK);
	gguf_set_val_u32(g, "tokenizer.ggml.bos_token_id", TOKEN_BOS);
	gguf_set_val_u32(g, "tokenizer.ggml.eos_token_id", TOKEN_EOS);
	free(types);
	free(scores);
	free(tokens);
	free(text);
}

static void add_parameters(struct gguf_context *g, const struct shape *s)
{
	gguf_set_val_str(g, "general.architecture", "llama");
	gguf_set_val_str(g, "general.name", "random llama");
	gguf_set_val_u32(g, "general.file_type", s->type->file_type);
	gguf_set_val_u32(g, "llama.block_count", s->layers);
	gguf_set_val_u32(g, "llama.context_length", s->ctx);
	gguf_set_val_u32(g, "llama.embedding_length", s->embd);
	gguf_set_val_u32(g, "llama.feed_forward_length", s->ff);
	gguf_set_val_u32(g, "llama.attention.head_count", s->heads);
	gguf_set_val_u32(g, "llama.attention.head_count_kv", s->kv_heads);
	gguf_set_val_f32(g, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
	gguf_set_val_u32(g, "llama.rope.dimension_count", s->embd / s->heads);
	gguf_set_val_u32(g, "llama.vocab_size", s->vocab);
	if (s->experts) {
		gguf_set_val_u32(g, "llama.expert_count", s->experts);
		gguf_set_val_u32(g, "llama.expert_used_count", s->used);
	}
}

/* One row of 32-bit floats is a norm's weights: they stay exact in every model, as in real ones. */
static void add_tensor(struct ggml_context *ctx, struct gguf_context *g, enum ggml_type type, uint32_t cols,
	uint32_t rows, uint32_t matrices, const char *name)
{
	struct ggml_tensor *t = rows == 1  ? ggml_new_tensor_1d(ctx, GGML_TYPE_F32, cols)
	                        : matrices ? ggml_new_tensor_3d(ctx, type, cols, rows, matrices)
	                                   : ggml_new_tensor_2d(ctx, type, cols, rows);

	ggml_set_name(t, name);
	gguf_add_tensor(g, t);
}

static void add_tensors(struct ggml_context *ctx, struct gguf_context *g, const struct shape *s)
{
	const uint32_t kv = s->embd / s->heads * s->kv_heads, experts = s->experts;
	const struct {
		const char *name;
		uint32_t cols, rows, matrices;
	} layer[] = {
		{ "attn_norm", s->embd, 1, 0 },
		{ "attn_q", s->embd, s->embd, 0 },
		{ "attn_k", s->embd, kv, 0 },
		{ "attn_v", s->embd, kv, 0 },
		{ "attn_output", s->embd, s->embd, 0 },
		{ "ffn_norm", s->embd, 1, 0 },
		{ experts ? "ffn_gate_exps" : "ffn_gate", s->embd, s->ff, experts },
		{ experts ? "ffn_down_exps" : "ffn_down", s->ff, s->embd, experts },
		{ experts ? "ffn_up_exps" : "ffn_up", s->embd, s->ff, experts },
	};
	char name[GGML_MAX_NAME];

	add_tensor(ctx, g, s->type->type, s->embd, s->vocab, 0, "token_embd.weight");
	add_tensor(ctx, g, GGML_TYPE_F32, s->embd, 1, 0, "output_norm.weight");
	add_tensor(ctx, g, s->type->type, s->embd, s->vocab, 0, "output.weight");
	for (uint32_t l = 0; l < s->layers; l++) {
		for (size_t i = 0; i < sizeof layer / sizeof *layer; i++) {
			snprintf(name, sizeof name, "blk.%u.%s.weight", l, layer[i].name);
			add_tensor(ctx, g, s->type->type, layer[i].cols, layer[i].rows, layer[i].matrices, name);
		}
		snprintf(name, sizeof name, "blk.%u.ffn_gate_inp.weight", l); /* which experts */
		if (experts)
			add_tensor(ctx, g, GGML_TYPE_F32, s->embd, experts, 0, name);
	}
}

/*
 * Norms are ones; a matrix keeps the size of what it multiplies, whatever its width. The embedding is larger
 * than what the layers add to it, or every context would end in the same few tokens.
 */
static void write_weights(FILE *f, const char *path, const struct ggml_tensor *t, uint64_t seed)
{
	const size_t cols = (size_t)t->ne[0], rows = (size_t)ggml_nrows(t), row_size = ggml_row_size(t->type, t->ne[0]);
	const float scale = strcmp(t->name, "token_embd.weight") ? sqrtf(3.0f / (float)cols) : EMBEDDING_SCALE;
	uint64_t state = seed_for(seed, t->name);
	float *values = alloc(ROWS_AT_ONCE * cols, sizeof *values);
	void *encoded = alloc(ROWS_AT_ONCE, row_size);

	for (size_t row = 0, n; row < rows; row += n) {
		n = rows - row < ROWS_AT_ONCE ? rows - row : ROWS_AT_ONCE;
		for (size_t i = 0; i < n * cols; i++)
			values[i] = ggml_is_vector(t) ? 1.0f : random_unit(&state) * scale;
		ggml_quantize_chunk(t->type, values, encoded, 0, (int64_t)n, (int64_t)cols, NULL);
		if (fwrite(encoded, row_size, n, f) != n)
			die(1, "write %s: %s", path, strerror(errno));
	}
	free(encoded);
	free(values);
}

static void write_model(const char *path, const struct shape *s)
{
	/* Room for the tensors' headers only: with no_alloc they have no data. */
	const struct ggml_init_params params = {
		.mem_size = (10 * (size_t)s->layers + 3) * ggml_tensor_overhead(),
		.no_alloc = true,
	};
	struct ggml_context *ctx = ggml_init(params);
	struct gguf_context *g = gguf_init_empty();
	size_t meta_size;
	FILE *f;

	if (!ctx || !g)
		die(1, "out of memory for the tensors' headers");
	add_parameters(g, s);
	add_vocabulary(g, s->vocab);
	add_tensors(ctx, g, s);
	f = fopen(path, "wb");
	if (!f)
		die(1, "open %s: %s", path, strerror(errno));
	if (!gguf_write_to_file_ptr(g, f, true))
		die(1, "cannot write the metadata of %s", path);
	meta_size = gguf_get_meta_size(g);
	for (int64_t i = 0; i < gguf_get_n_tensors(g); i++) {
		if (fseek(f, (long)(meta_size + gguf_get_tensor_offset(g, i)), SEEK_SET) < 0)
			die(1, "seek in %s: %s", path, strerror(errno));
		write_weights(f, path, ggml_get_tensor(ctx, gguf_get_tensor_name(g, i)), s->seed);
	}
	/* The format pads the last tensor too. */
	for (long end = ftell(f), pad = (long)gguf_get_alignment(g); end % pad; end++)
		fputc(0, f);
	if (ferror(f) | fclose(f))
		die(1, "write %s: %s", path, strerror(errno));
	gguf_free(g);
	ggml_free(ctx);
}

int main(int argc, char **argv)
{
	struct shape s = {
		.layers = 22, .embd = 256, .heads = 8, .ff = 512, .vocab = 512, .ctx = 4096, .used = 2, .seed = 1
	};
	const struct {
		const char *name;
		uint32_t *value;
	} sizes[] = {
		{ "layers", &s.layers },
		{ "embd", &s.embd },
		{ "heads", &s.heads },
		{ "kv-heads", &s.kv_heads },
		{ "ff", &s.ff },
		{ "vocab", &s.vocab },
		{ "ctx", &s.ctx },
		{ "experts", &s.experts },
		{ "used", &s.used },
	};
	enum { N_SIZES = sizeof sizes / sizeof *sizes, OPT_SEED = N_SIZES, OPT_TYPE, OPT_HELP, N_OPTIONS };
	struct option options[N_OPTIONS + 1] = {
		[OPT_SEED] = { "seed", required_argument, NULL, OPT_SEED },
		[OPT_TYPE] = { "type", required_argument, NULL, OPT_TYPE },
		[OPT_HELP] = { "help", no_argument, NULL, OPT_HELP },
	};
	bool kv_given = false;
	int o;

	s.type = type_named("f16");
	for (int i = 0; i < N_SIZES; i++)
		options[i] = (struct option){ sizes[i].name, required_argument, NULL, i };
	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o >= 0 && o < N_SIZES) {
			*sizes[o].value = (uint32_t)number(sizes[o].name, optarg, 0, MAX_OPTION);
			kv_given |= sizes[o].value == &s.kv_heads;
		} else if (o == OPT_SEED) {
			s.seed = number("seed", optarg, 0, UINT64_MAX);
		} else if (o == OPT_TYPE) {
			s.type = type_named(optarg);
		} else if (o == OPT_HELP) {
			fputs(usage_text, stdout);
			return 0;
		} else {
			fputs(usage_text, stderr);
			return 2;
		}
	}
	if (optind != argc - 1) {
		fputs(usage_text, stderr);
		return 2;
	}
	if (!kv_given)
		s.kv_heads = s.heads;
	shape_check(&s);
	write_model(argv[optind], &s);
	return 0;
}
