/* SPDX-License-Identifier: MIT */
/*
 * A model's logits with parts of it placed elsewhere, beside those of the CPU alone, in one process: the same prompt and
 * the same tokens behind it for both.
 *   placed MODEL DEVICE [--nkvo] [--no-fa] [--read] [--layers N] [--sequences N] [PATTERN=CPU…]
 * --read: the file isn't mapped; what stays on the CPU must lie in a host buffer of the device's then. --layers: on the device.
 * Ends with 0 where they are the same but for rounding, 77 where the model doesn't generate.
 */
#include <ggml-backend.h>
#include <llama.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROMPT    12
#define STEPS     8
#define OVERRIDES 15
#define MAX_NMSE  1e-6

static struct {
	const char *model, *device;
	bool nkvo, no_fa, read;
	int32_t layers, sequences, n_overrides;
	struct llama_model_tensor_buft_override overrides[OVERRIDES + 1];
} want = { .layers = 99, .sequences = 1 };
static bool in_host_buffer;

static void fail(const char *what)
{
	fprintf(stderr, "placed: %s\n", what);
	exit(1);
}

static void arguments_read(int argc, char **argv)
{
	if (argc < 3)
		fail("usage: placed MODEL DEVICE [--nkvo] [--no-fa] [--read] [--layers N] [--sequences N] "
		     "[PATTERN=CPU...]");
	want.model = argv[1];
	want.device = argv[2];
	for (int i = 3; i < argc; i++) {
		char *equals = strrchr(argv[i], '=');

		if (!strcmp(argv[i], "--nkvo"))
			want.nkvo = true;
		else if (!strcmp(argv[i], "--no-fa"))
			want.no_fa = true;
		else if (!strcmp(argv[i], "--read"))
			want.read = true;
		else if (!strcmp(argv[i], "--layers") && i + 1 < argc)
			want.layers = atoi(argv[++i]);
		else if (!strcmp(argv[i], "--sequences") && i + 1 < argc)
			want.sequences = atoi(argv[++i]);
		else if (equals && !strcmp(equals, "=CPU") && want.n_overrides < OVERRIDES) {
			*equals = '\0';
			want.overrides[want.n_overrides].pattern = argv[i];
			want.overrides[want.n_overrides++].buft = ggml_backend_cpu_buffer_type();
		} else
			fail("an argument that is none");
	}
}

/* On the device where there is one, with what is wanted elsewhere; else on the CPU. */
static struct llama_model *model_load(ggml_backend_dev_t device)
{
	ggml_backend_dev_t devices[2] = { device, NULL };
	struct llama_model_params p = llama_model_default_params();
	struct llama_model *m;

	p.n_gpu_layers = device ? want.layers : 0;
	if (want.read)
		p.load_mode = LLAMA_LOAD_MODE_NONE;
	p.devices = devices;
	p.use_extra_bufts = false; /* other kernels, other rounding */
	if (device && want.n_overrides)
		p.tensor_buft_overrides = want.overrides;
	m = llama_model_load_from_file(want.model, p);
	if (!m)
		fail("the model can't be loaded");
	return m;
}

static int32_t token_at(int32_t sequence, int32_t at, int32_t n_vocab)
{
	return 3 + (at * 37 + sequence * 11) % (n_vocab - 3);
}

/* Decodes tokens [at, at + n) of every sequence in one batch; the last one's logits go to out. */
static void batch_decode(struct llama_context *ctx, int32_t at, int32_t n, int32_t n_vocab, float *out)
{
	struct llama_batch b = llama_batch_init(n * want.sequences, 0, 1);

	for (int32_t s = 0; s < want.sequences; s++) {
		for (int32_t i = 0; i < n; i++) {
			int32_t k = b.n_tokens++;

			b.token[k] = token_at(s, at + i, n_vocab);
			b.pos[k] = at + i;
			b.n_seq_id[k] = 1;
			b.seq_id[k][0] = s;
			b.logits[k] = i == n - 1;
		}
	}
	if (llama_decode(ctx, b))
		fail("it can't be decoded");
	for (int32_t s = 0; s < want.sequences; s++)
		memcpy(out + s * n_vocab, llama_get_logits_ith(ctx, (s + 1) * n - 1), (size_t)n_vocab * sizeof *out);
	llama_batch_free(b);
}

/* All the logits, *n of them. */
static float *logits_make(ggml_backend_dev_t device, size_t *n)
{
	struct llama_context_params p = llama_context_default_params();
	struct llama_model *m = model_load(device);
	int32_t n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(m));
	size_t each = (size_t)n_vocab * (size_t)want.sequences;
	struct llama_context *ctx;
	float *out;

	if (!llama_model_has_decoder(m) || llama_model_has_encoder(m)) {
		printf("it doesn't generate\n");
		exit(77);
	}
	p.n_ctx = 256 * (uint32_t)want.sequences;
	p.n_batch = 128;
	p.n_threads = p.n_threads_batch = 1;
	p.n_seq_max = (uint32_t)want.sequences;
	p.offload_kqv = !want.nkvo;
	p.flash_attn_type = want.no_fa ? LLAMA_FLASH_ATTN_TYPE_DISABLED : LLAMA_FLASH_ATTN_TYPE_AUTO;
	ctx = llama_init_from_model(m, p);
	*n = each * (1 + STEPS);
	out = malloc(*n * sizeof *out);
	if (!ctx || !out)
		fail("no context");
	batch_decode(ctx, 0, PROMPT, n_vocab, out);
	for (int32_t i = 0; i < STEPS; i++)
		batch_decode(ctx, PROMPT + i, 1, n_vocab, out + each * (size_t)(i + 1));
	llama_free(ctx);
	llama_model_free(m);
	return out;
}

static void quiet(enum ggml_log_level level, const char *text, void *unused)
{
	(void)unused;
	in_host_buffer |= strstr(text, "_Host model buffer size") != NULL;
	if (level >= GGML_LOG_LEVEL_WARN)
		fputs(text, stderr);
}

int main(int argc, char **argv)
{
	double wrong = 0, all = 0, nmse;
	ggml_backend_dev_t device;
	float *cpu, *placed;
	size_t n, m;

	llama_log_set(quiet, NULL);
	ggml_backend_load_all();
	arguments_read(argc, argv);
	device = ggml_backend_dev_by_name(want.device);
	if (!device)
		fail("there is no such device");
	cpu = logits_make(NULL, &n);
	placed = logits_make(device, &m);
	if (want.read && !in_host_buffer)
		fail("no weights lie in a host buffer");
	if (n != m)
		fail("not as many logits");
	for (size_t i = 0; i < n; i++) {
		double d = (double)cpu[i] - (double)placed[i];

		wrong += d * d;
		all += (double)cpu[i] * (double)cpu[i];
	}
	nmse = wrong / all;
	printf("%zu logits, NMSE %.2e\n", n, nmse);
	return isfinite(nmse) && all > 0 && nmse <= MAX_NMSE ? 0 : 1;
}
