/* SPDX-License-Identifier: MIT */
/*
 * Times a model on a device through libllama, and prints the tokens that it chose: the same program measures a GPU
 * natively, through VirtGPU and through ggml-rpc, and shows that all say the same. It needs no tokenizer: prompts are made
 * of numbers.
 *
 * A line of JSON: how long loading took and in which load mode; prompt and generation in tokens per second; steps of 1 to
 * 48 tokens, as a server batches them, each a new graph, in ms (each the median of the repetitions); and the greedy tokens of
 * the first. The first decode, which a device that takes writes in the background is timed by, too, stands beside the load. Where
 * the device counts, what a token and a step of the last repetition took of commands, waits and so on.
 */
#include <getopt.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include <ggml-backend.h>
#include <llama.h>

#define TOOL "llama"
#include "counted.h"
#include "tool.h"

enum { REPS_MAX = 64, WARM_TOKENS = 4, STEP_MAX = 48 };

enum { PROMPT, GEN, STEPS, REPS, THREADS, CPU_EXPERTS, N_NUMBERS };

struct figures {
	double load_s, first_ms, pp[REPS_MAX], tg[REPS_MAX], step[REPS_MAX];
};

struct settings {
	const char *model, *device, *load, *rpc;
	int n[N_NUMBERS];
	bool cpu_kv, wait;
};

struct subject {
	struct llama_model *model;
	struct llama_context *ctx;
	int n_vocab, n_ctx;
	struct counted token, step;
};

static const char usage_text[] =
	"usage: llama MODEL [OPTION...]\n"
	"  --device NAME  where all layers go; none: the CPU (none)\n"
	"  --rpc ADDRESS  of a ggml-rpc server, whose device is to be named RPC0\n"
	"  --load MODE    auto, none, mmap or dio (auto)      --threads N  of the CPU (1)\n"
	"  --prompt N     tokens of a prompt (512)            --gen N      tokens to generate (128)\n"
	"  --steps N      steps of 1 to 48 tokens (0)         --reps N     repetitions (3)\n"
	"  --cpu-experts N  layers whose experts stay on the CPU (0)  --cpu-kv  the cache stays there\n"
	"  --wait         after the warm-up, until stdin ends, so that several begin at once\n";

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

static llama_token likeliest(const struct subject *s)
{
	const float *logits = llama_get_logits_ith(s->ctx, -1);
	llama_token best = 0;

	for (llama_token i = 1; i < s->n_vocab; i++) {
		if (logits[i] > logits[best])
			best = i;
	}
	return best;
}

static void decode(const struct subject *s, llama_token *tokens, int n)
{
	if (llama_decode(s->ctx, llama_batch_get_one(tokens, n)))
		die(1, "decoding %d tokens failed", n);
}

static void tokens_make(const struct subject *s, llama_token *tokens, int n)
{
	for (int i = 0; i < n; i++)
		tokens[i] = 3 + i * 37 % (s->n_vocab - 3);
}

static void clear(const struct subject *s)
{
	llama_memory_clear(llama_get_memory(s->ctx), true);
}

/* A prompt, then greedy tokens, on an empty cache. */
static void text_run(struct subject *s, const int *n, llama_token *chosen, double *pp, double *tg)
{
	llama_token *prompt = alloc((size_t)n[PROMPT], sizeof *prompt);
	double start, between;

	tokens_make(s, prompt, n[PROMPT]);
	clear(s);
	start = now();
	decode(s, prompt, n[PROMPT]);
	llama_synchronize(s->ctx);
	counted_begin(&s->token);
	between = now();
	*pp = n[PROMPT] / (between - start);
	for (int i = 0; i < n[GEN]; i++) {
		chosen[i] = likeliest(s);
		decode(s, &chosen[i], 1);
	}
	llama_synchronize(s->ctx);
	*tg = n[GEN] / (now() - between);
	counted_end(&s->token);
	free(prompt);
}

/* Steps of varying size, on a cache that is emptied when it is full; the same sizes every time. ms a step. */
static double steps_run(struct subject *s, int steps)
{
	llama_token tokens[STEP_MAX];
	uint64_t state = 1;
	double start;
	int used = 0;

	clear(s);
	counted_begin(&s->step);
	start = now();
	for (int i = 0; i < steps; i++) {
		int n = 1 + (int)(random_next(&state) % STEP_MAX);

		if (used + n > s->n_ctx) {
			clear(s);
			used = 0;
		}
		tokens_make(s, tokens, n);
		decode(s, tokens, n);
		(void)likeliest(s);
		used += n;
	}
	start = now() - start;
	counted_end(&s->step);
	return start * 1e3 / steps;
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

/* The RPC backend is a plugin, so its function is found by name. */
static void rpc_add(const char *address)
{
	ggml_backend_reg_t rpc = ggml_backend_reg_by_name("RPC");
	ggml_backend_reg_t (*add)(const char *) = NULL;

	if (rpc)
		*(void **)&add = ggml_backend_reg_get_proc_address(rpc, "ggml_backend_rpc_add_server");
	if (!add)
		die(1, "this ggml has no RPC backend");
	ggml_backend_register(add(address));
}

static struct settings settings_read(int argc, char **argv)
{
	enum { DEVICE = N_NUMBERS, LOAD, RPC, CPU_KV, WAIT };
	static const struct option options[] = { { "prompt", required_argument, NULL, PROMPT },
		{ "gen", required_argument, NULL, GEN }, { "steps", required_argument, NULL, STEPS },
		{ "reps", required_argument, NULL, REPS }, { "threads", required_argument, NULL, THREADS },
		{ "cpu-experts", required_argument, NULL, CPU_EXPERTS }, { "device", required_argument, NULL, DEVICE },
		{ "load", required_argument, NULL, LOAD }, { "rpc", required_argument, NULL, RPC },
		{ "cpu-kv", no_argument, NULL, CPU_KV }, { "wait", no_argument, NULL, WAIT }, { 0 } };
	struct settings s = { .device = "none", .load = "auto", .n = { 512, 128, 0, 3, 1, 0 } };
	int o;

	while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (o >= 0 && o < N_NUMBERS)
			s.n[o] = (int)number(options[o].name, optarg, o == STEPS || o == CPU_EXPERTS ? 0 : 1, 1 << 20);
		else if (o == DEVICE)
			s.device = optarg;
		else if (o == LOAD)
			s.load = optarg;
		else if (o == RPC)
			s.rpc = optarg;
		else if (o == CPU_KV)
			s.cpu_kv = true;
		else if (o == WAIT)
			s.wait = true;
		else
			die(2, "%s", usage_text);
	}
	if (optind != argc - 1 || s.n[REPS] > REPS_MAX)
		die(2, "%s", usage_text);
	s.model = argv[optind];
	return s;
}

static struct llama_model *model_load(const struct settings *s)
{
	ggml_backend_dev_t devices[2] = { NULL, NULL };
	struct llama_model_tensor_buft_override *experts = alloc((size_t)s->n[CPU_EXPERTS] + 1, sizeof *experts);
	struct llama_model_params p = llama_model_default_params();
	struct llama_model *model;

	if (strcmp(s->device, "none") != 0) {
		devices[0] = ggml_backend_dev_by_name(s->device);
		if (!devices[0])
			die(1, "there is no device '%s'", s->device);
	}
	for (int i = 0; i < s->n[CPU_EXPERTS]; i++) {
		char *pattern = alloc(1, 64);

		snprintf(pattern, 64, "blk\\.%d\\.ffn_(up|down|gate)_exps", i);
		experts[i].pattern = pattern;
		experts[i].buft = ggml_backend_cpu_buffer_type();
	}
	p.load_mode = load_mode(s->load);
	p.devices = devices;
	p.n_gpu_layers = devices[0] ? 999 : 0;
	p.use_extra_bufts = false; /* repacking, which no plugin has: the same kernels on both sides */
	p.tensor_buft_overrides = s->n[CPU_EXPERTS] ? experts : NULL;
	model = llama_model_load_from_file(s->model, p);
	if (!model)
		die(1, "cannot load '%s'", s->model);
	for (int i = 0; i < s->n[CPU_EXPERTS]; i++)
		free((char *)experts[i].pattern);
	free(experts);
	return model;
}

static void context_make(struct subject *s, const struct settings *settings)
{
	struct llama_context_params p = llama_context_default_params();
	const int *n = settings->n;

	s->n_ctx = n[PROMPT] + n[GEN] + WARM_TOKENS;
	p.n_ctx = (uint32_t)s->n_ctx;
	p.n_batch = p.n_ubatch = (uint32_t)(n[PROMPT] > STEP_MAX ? n[PROMPT] : STEP_MAX);
	p.n_threads = p.n_threads_batch = n[THREADS];
	p.offload_kqv = !settings->cpu_kv;
	s->ctx = llama_init_from_model(s->model, p);
	if (!s->ctx)
		die(1, "cannot make a context of %d tokens", s->n_ctx);
}

int main(int argc, char **argv)
{
	const struct settings settings = settings_read(argc, argv);
	const int *n = settings.n;
	llama_token *chosen = alloc((size_t)n[GEN], sizeof *chosen), warm[WARM_TOKENS] = { 3, 4, 5, 6 };
	struct figures f = { 0 };
	struct subject s;
	double start;

	llama_log_set(on_log, NULL);
	ggml_backend_load_all();
	llama_backend_init();
	if (settings.rpc)
		rpc_add(settings.rpc);
	start = now();
	s.model = model_load(&settings);
	f.load_s = now() - start;
	s.n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(s.model));
	s.token = s.step = counted_of(ggml_backend_dev_by_name(settings.device)); /* none has none */
	context_make(&s, &settings);
	start = now();
	decode(&s, warm, WARM_TOKENS);
	(void)likeliest(&s);
	f.first_ms = (now() - start) * 1e3;
	text_run(&s, n, chosen, &f.pp[0], &f.tg[0]); /* warms up; its speeds don't count */
	if (settings.wait) {
		puts("ready");
		fflush(stdout);
		while (read(STDIN_FILENO, &(char){ 0 }, 1) > 0) {
		}
	}
	for (int i = 0; i < n[REPS]; i++) {
		text_run(&s, n, chosen, &f.pp[i], &f.tg[i]);
		if (n[STEPS])
			f.step[i] = steps_run(&s, n[STEPS]);
	}
	printf("{\"device\": \"%s\", \"load_mode\": \"%s\", \"load_s\": %.3f, \"first_ms\": %.1f, \"pp\": %.1f, "
	       "\"tg\": %.2f, \"step_ms\": %.3f, \"tokens\": [",
		settings.device, settings.load, f.load_s, f.first_ms, median(f.pp, n[REPS]), median(f.tg, n[REPS]),
		median(f.step, n[REPS]));
	for (int i = 0; i < n[GEN]; i++)
		printf("%s%d", i ? ", " : "", chosen[i]);
	printf("]");
	counted_print(&s.token, "token", n[GEN]);
	if (n[STEPS])
		counted_print(&s.step, "step", n[STEPS]);
	puts("}");
	free(chosen);
	llama_free(s.ctx);
	llama_model_free(s.model);
	llama_backend_free();
	return 0;
}
