/* SPDX-License-Identifier: MIT */
/*
 * Greedy text by libllama: the same wherever ggml computes alike. llama.cpp's own programs end without waiting for the
 * thread that writes what they say, so their last lines may be missing; here each word is written when it is known.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ggml-backend.h>
#include <llama.h>

#define PROMPT "The host computes"

static const char usage_text[] = "usage: complete MODEL DEVICE N [OPTION...]\n"
				 "  DEVICE     a device's name, none, or auto: whatever llama.cpp finds\n"
				 "  --tokens   numbers instead of text\n"
				 "  -v         ggml's debug lines too\n";

struct options {
	bool tokens, verbose;
};

/* stderr isn't buffered: a line that ggml said is out when this returns. */
static void log_line(enum ggml_log_level level, const char *text, void *user)
{
	static enum ggml_log_level last;
	const struct options *o = user;

	if (level != GGML_LOG_LEVEL_CONT)
		last = level;
	if (o->verbose || last != GGML_LOG_LEVEL_DEBUG)
		fputs(text, stderr);
}

static struct llama_model *model_load(const char *path, const char *device)
{
	struct llama_model_params params = llama_model_default_params();
	ggml_backend_dev_t devices[2] = { NULL };

	params.n_gpu_layers = 99;
	params.use_extra_bufts = false;
	if (strcmp(device, "auto")) {
		params.devices = devices;
		if (strcmp(device, "none") && !(devices[0] = ggml_backend_dev_by_name(device))) {
			fprintf(stderr, "complete: there is no device %s\n", device);
			return NULL;
		}
	}
	return llama_model_load_from_file(path, params);
}

static llama_token greedy(struct llama_context *ctx, int32_t n)
{
	const float *logits = llama_get_logits_ith(ctx, -1);
	llama_token best = 0;

	for (int32_t i = 1; i < n; i++)
		best = logits[i] > logits[best] ? i : best;
	return best;
}

static bool put(const struct llama_vocab *vocab, llama_token token, const struct options *o)
{
	char text[256];
	int32_t n = o->tokens ? snprintf(text, sizeof text, "%d\n", token)
	                      : llama_token_to_piece(vocab, token, text, sizeof text, 0, false);

	return n >= 0 && fwrite(text, 1, (size_t)n, stdout) == (size_t)n && !fflush(stdout);
}

static int complete(struct llama_context *ctx, const struct llama_vocab *vocab, long n, const struct options *o)
{
	const int32_t n_vocab = llama_vocab_n_tokens(vocab);
	llama_token tokens[64];
	int32_t n_prompt = llama_tokenize(vocab, PROMPT, sizeof PROMPT - 1, tokens, 64, true, true);
	struct llama_batch batch;

	if (n_prompt <= 0) {
		fprintf(stderr, "complete: the prompt is no tokens of this model\n");
		return 1;
	}
	batch = llama_batch_get_one(tokens, n_prompt);
	for (long i = 0; i < n; i++) {
		if (llama_decode(ctx, batch)) {
			fprintf(stderr, "complete: failed after %ld tokens\n", i);
			return 1;
		}
		tokens[0] = greedy(ctx, n_vocab);
		if (!put(vocab, tokens[0], o)) {
			perror("complete: stdout");
			return 1;
		}
		batch = llama_batch_get_one(tokens, 1);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct llama_context_params params = llama_context_default_params();
	struct options o = { 0 };
	struct llama_context *ctx;
	struct llama_model *model;
	int status;

	if (argc < 4) {
		fputs(usage_text, stderr);
		return 2;
	}
	for (int i = 4; i < argc; i++) {
		if (!strcmp(argv[i], "--tokens")) {
			o.tokens = true;
		} else if (!strcmp(argv[i], "-v")) {
			o.verbose = true;
		} else {
			fputs(usage_text, stderr);
			return 2;
		}
	}
	llama_log_set(log_line, &o);
	ggml_backend_load_all();
	model = model_load(argv[1], argv[2]);
	if (!model)
		return 1;
	params.n_ctx = 0; /* the model's */
	params.n_threads = params.n_threads_batch = 1;
	ctx = llama_init_from_model(model, params);
	if (!ctx)
		return 1;
	status = complete(ctx, llama_model_get_vocab(model), strtol(argv[3], NULL, 10), &o);
	llama_free(ctx);
	llama_model_free(model);
	return status;
}
