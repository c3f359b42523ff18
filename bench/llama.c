/* SPDX-License-Identifier: MIT */
/*
 * Times a model on a device through libllama, and prints the tokens that it chose: the same program measures a GPU
 * natively and through VirtGPU, and shows that both say the same. It needs no tokenizer: prompts are made of numbers.
 *
 * A line of JSON: how long loading took and in which load mode, prompt and generation in tokens per second (the median of
 * the repetitions), and the greedy tokens of the first. Loading ends with a small read back, so that a device that takes
 * writes in the background is timed until they have arrived: the first decode does that, and is reported beside it.
 */
#include <getopt.h>
#include <stdbool.h>
#include <string.h>

#include <ggml-backend.h>
#include <llama.h>

#define TOOL "llama"
#include "tool.h"

enum { REPS_MAX = 64, WARM_TOKENS = 4 };

struct figures {
	double load_s, first_ms, pp[REPS_MAX], tg[REPS_MAX];
};

static const char usage_text[] =
	"usage: llama MODEL [OPTION...]\n"
	"  --device NAME  where all layers go; none: the CPU (none)\n"
	"  --load MODE    auto, none, mmap or dio (auto)      --threads N  of the CPU (1)\n"
	"  --prompt N     tokens of a prompt (512)            --gen N      tokens to generate (128)\n"
	"  --reps N       repetitions (3)\n";

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof *v, by_value);
	return v[n / 2];
}

/* Warnings and errors only. */
static void on_log(enum ggml_log_level level, const char *text, void *user)
{
	(void)user;
	if (level >= GGML_LOG_LEVEL_WARN)
		fputs(text, stderr);
}

static llama_token likeliest(struct llama_context *ctx, int n_vocab)
{
	const float *logits = llama_get_logits_ith(ctx, -1);
	llama_token best = 0;

	for (llama_token i = 1; i < n_vocab; i++) {
		if (logits[i] > logits[best])
			best = i;
	}
	return best;
}

static void decode(struct llama_context *ctx, llama_token *tokens, int n)
{
	if (llama_decode(ctx, llama_batch_get_one(tokens, n)))
		die(1, "decoding %d tokens failed", n);
}

/* A prompt, then greedy tokens, on an empty cache. */
static void run(
	struct llama_context *ctx, int n_vocab, int n_prompt, int n_gen, llama_token *chosen, double *pp, double *tg)
{
	llama_token *prompt = calloc((size_t)n_prompt, sizeof *prompt);
	double start, between;

	if (!prompt)
		die(1, "out of memory");
	for (int i = 0; i < n_prompt; i++)
		prompt[i] = 3 + i * 37 % (n_vocab - 3);
	llama_memory_clear(llama_get_memory(ctx), true);
	start = now();
	decode(ctx, prompt, n_prompt);
	llama_synchronize(ctx);
	between = now();
	*pp = n_prompt / (between - start);
	for (int i = 0; i < n_gen; i++) {
		chosen[i] = likeliest(ctx, n_vocab);
		decode(ctx, &chosen[i], 1);
	}
	llama_synchronize(ctx);
	*tg = n_gen / (now() - between);
	free(prompt);
}

static enum llama_load_mode load_mode(const char *name)
{
	static const struct {
		const char *name;
		enum llama_load_mode mode;
	} modes[] = {
		{ "auto", LLAMA_LOAD_MODE_AUTO },
		{ "none", LLAMA_LOAD_MODE_NONE },
		{ "mmap", LLAMA_LOAD_MODE_MMAP },
		{ "dio", LLAMA_LOAD_MODE_DIRECT_IO },
	};

	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
		if (!strcmp(name, modes[i].name))
			return modes[i].mode;
	}
	die(2, "--load %s: give auto, none, mmap or dio", name);
}

int main(int argc, char **argv)
{
	enum { PROMPT, GEN, REPS, THREADS, N_NUMBERS, DEVICE = N_NUMBERS, LOAD };
	static const struct option options[] = { { "prompt", required_argument, NULL, PROMPT },
		{ "gen", required_argument, NULL, GEN }, { "reps", required_argument, NULL, REPS },
		{ "threads", required_argument, NULL, THREADS }, { "device", required_argument, NULL, DEVICE },
		{ "load", required_argument, NULL, LOAD }, { 0 } };
	int n[N_NUMBERS] = { 512, 128, 3, 1 }, o, n_vocab;
	const char *device = "none", *load = "auto";
	struct llama_model_params mp = llama_model_default_params();
	struct llama_context_params cp = llama_context_default_params();
	ggml_backend_dev_t devices[2] = { NULL, NULL };
	struct figures f = { 0 };
	struct llama_context *ctx;
	struct llama_model *model;
	llama_token *chosen, warm[WARM_TOKENS] = { 3, 4, 5, 6 };
	double start;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o >= 0 && o < N_NUMBERS)
			n[o] = (int)number(options[o].name, optarg, 1, 1 << 20);
		else if (o == DEVICE)
			device = optarg;
		else if (o == LOAD)
			load = optarg;
		else
			die(2, "%s", usage_text);
	}
	if (optind != argc - 1 || n[REPS] > REPS_MAX)
		die(2, "%s", usage_text);
	mp.load_mode = load_mode(load);
	llama_log_set(on_log, NULL);
	ggml_backend_load_all();
	llama_backend_init();
	if (strcmp(device, "none") != 0) {
		devices[0] = ggml_backend_dev_by_name(device);
		if (!devices[0])
			die(1, "there is no device '%s'", device);
	}
	mp.devices = devices;
	mp.n_gpu_layers = devices[0] ? 999 : 0;
	mp.use_extra_bufts = false; /* repacking, which no plugin has: the same kernels on both sides */
	start = now();
	model = llama_model_load_from_file(argv[optind], mp);
	if (!model)
		die(1, "cannot load '%s'", argv[optind]);
	f.load_s = now() - start;
	n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
	cp.n_ctx = (uint32_t)(n[PROMPT] + n[GEN] + WARM_TOKENS);
	cp.n_batch = cp.n_ubatch = (uint32_t)(n[PROMPT] > WARM_TOKENS ? n[PROMPT] : WARM_TOKENS);
	cp.n_threads = cp.n_threads_batch = n[THREADS];
	ctx = llama_init_from_model(model, cp);
	chosen = calloc((size_t)n[GEN], sizeof *chosen);
	if (!ctx || !chosen)
		die(1, "cannot make a context of %u tokens", cp.n_ctx);
	start = now();
	decode(ctx, warm, WARM_TOKENS);
	(void)likeliest(ctx, n_vocab);
	f.first_ms = (now() - start) * 1e3;
	run(ctx, n_vocab, n[PROMPT], n[GEN], chosen, &f.pp[0], &f.tg[0]); /* warms up; its speeds don't count */
	for (int i = 0; i < n[REPS]; i++)
		run(ctx, n_vocab, n[PROMPT], n[GEN], chosen, &f.pp[i], &f.tg[i]);
	printf("{\"device\": \"%s\", \"load_mode\": \"%s\", \"load_s\": %.3f, \"first_ms\": %.1f, \"pp\": %.1f, "
	       "\"tg\": %.2f, "
	       "\"tokens\": [",
		device, load, f.load_s, f.first_ms, median(f.pp, n[REPS]), median(f.tg, n[REPS]));
	for (int i = 0; i < n[GEN]; i++)
		printf("%s%d", i ? ", " : "", chosen[i]);
	puts("]}");
	free(chosen);
	llama_free(ctx);
	llama_model_free(model);
	llama_backend_free();
	return 0;
}
