/* SPDX-License-Identifier: MIT */
/*
 * mkwhisper MODEL WAV: a whisper model of random weights, in whisper.cpp's own format, and 3 s of sound for it. The
 * numbers that whisper.cpp has fixed (vocabulary, mel bands, 30 s of audio) are the English models', the rest is small.
 */
#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <ggml.h>

enum {
	VOCAB = 51864,
	WORDS = 50257, /* what comes behind is whisper.cpp's: timestamps and the like */
	AUDIO_CTX = 1500,
	TEXT_CTX = 448,
	STATE = 64,
	HEADS = 2,
	LAYERS = 3, /* with 2 whisper.cpp takes it for a distilled one, which has no timestamps */
	MELS = 80,
	FFT = 201,
	RATE = 16000,
	SECONDS = 3,
};

static uint32_t random_state = 1;

static float random_unit(void)
{
	random_state = random_state * 1664525u + 1013904223u;
	return (float)(int32_t)random_state * 0x1p-31f;
}

static void put(FILE *f, const void *data, size_t size)
{
	if (fwrite(data, 1, size, f) != size) {
		perror("mkwhisper");
		exit(1);
	}
}

static void put_u32(FILE *f, uint32_t v)
{
	put(f, &v, sizeof v);
}

static FILE *create(const char *path)
{
	FILE *f = fopen(path, "wb");

	if (!f) {
		fprintf(stderr, "mkwhisper: %s: %s\n", path, strerror(errno));
		exit(1);
	}
	return f;
}

/* Random numbers around middle; ne as ggml has it, 0 where there is no such dimension. */
static void tensor(FILE *f, const char *name, enum ggml_type type, const uint32_t ne[3], float middle, float scale)
{
	uint32_t n = 1, dims = 0;

	while (dims < 3 && ne[dims])
		n *= ne[dims++];
	put_u32(f, dims);
	put_u32(f, (uint32_t)strlen(name));
	put_u32(f, (uint32_t)type);
	put(f, ne, dims * sizeof *ne);
	put(f, name, strlen(name));
	for (uint32_t i = 0; i < n; i++) {
		float v = middle + scale * random_unit();
		ggml_fp16_t half = ggml_fp32_to_fp16(v);

		put(f, type == GGML_TYPE_F16 ? (void *)&half : (void *)&v,
			type == GGML_TYPE_F16 ? sizeof half : sizeof v);
	}
}

static void vector(FILE *f, const char *prefix, const char *name, uint32_t n, float middle)
{
	char full[96];

	snprintf(full, sizeof full, "%s%s", prefix, name);
	tensor(f, full, GGML_TYPE_F32, (uint32_t[3]){ n }, middle, 0.1f);
}

static void matrix(FILE *f, const char *prefix, const char *name, uint32_t cols, uint32_t rows)
{
	char full[96];

	snprintf(full, sizeof full, "%s%s", prefix, name);
	tensor(f, full, GGML_TYPE_F16, (uint32_t[3]){ cols, rows }, 0.0f, sqrtf(3.0f / (float)cols));
}

static void norm(FILE *f, const char *prefix, const char *name)
{
	char full[80];

	snprintf(full, sizeof full, "%s%s", prefix, name);
	vector(f, full, ".weight", STATE, 1.0f);
	vector(f, full, ".bias", STATE, 0.0f);
}

static void attention(FILE *f, const char *block, const char *name)
{
	char prefix[64];

	snprintf(prefix, sizeof prefix, "%s%s_ln", block, name);
	norm(f, prefix, "");
	snprintf(prefix, sizeof prefix, "%s%s", block, name);
	matrix(f, prefix, ".query.weight", STATE, STATE);
	vector(f, prefix, ".query.bias", STATE, 0.0f);
	matrix(f, prefix, ".key.weight", STATE, STATE);
	matrix(f, prefix, ".value.weight", STATE, STATE);
	vector(f, prefix, ".value.bias", STATE, 0.0f);
	matrix(f, prefix, ".out.weight", STATE, STATE);
	vector(f, prefix, ".out.bias", STATE, 0.0f);
}

static void blocks(FILE *f, const char *side, int crossed)
{
	for (int i = 0; i < LAYERS; i++) {
		char block[48];

		snprintf(block, sizeof block, "%s.blocks.%d.", side, i);
		attention(f, block, "attn");
		if (crossed)
			attention(f, block, "cross_attn");
		norm(f, block, "mlp_ln");
		matrix(f, block, "mlp.0.weight", STATE, 4 * STATE);
		vector(f, block, "mlp.0.bias", 4 * STATE, 0.0f);
		matrix(f, block, "mlp.2.weight", 4 * STATE, STATE);
		vector(f, block, "mlp.2.bias", STATE, 0.0f);
	}
}

static void tensors(FILE *f)
{
	tensor(f, "encoder.positional_embedding", GGML_TYPE_F32, (uint32_t[3]){ STATE, AUDIO_CTX }, 0.0f, 1.0f);
	tensor(f, "encoder.conv1.weight", GGML_TYPE_F16, (uint32_t[3]){ 3, MELS, STATE }, 0.0f, 0.2f);
	tensor(f, "encoder.conv1.bias", GGML_TYPE_F32, (uint32_t[3]){ 1, STATE }, 0.0f, 0.1f);
	tensor(f, "encoder.conv2.weight", GGML_TYPE_F16, (uint32_t[3]){ 3, STATE, STATE }, 0.0f, 0.2f);
	tensor(f, "encoder.conv2.bias", GGML_TYPE_F32, (uint32_t[3]){ 1, STATE }, 0.0f, 0.1f);
	norm(f, "encoder.ln_post", "");
	blocks(f, "encoder", 0);
	tensor(f, "decoder.positional_embedding", GGML_TYPE_F32, (uint32_t[3]){ STATE, TEXT_CTX }, 0.0f, 1.0f);
	matrix(f, "decoder.", "token_embedding.weight", STATE, VOCAB);
	norm(f, "decoder.ln", "");
	blocks(f, "decoder", 1);
}

static void model_write(const char *path)
{
	const uint32_t header[] = { 0x67676d6c, VOCAB, AUDIO_CTX, STATE, HEADS, LAYERS, TEXT_CTX, STATE, HEADS, LAYERS,
		MELS, GGML_TYPE_F16, MELS, FFT };
	FILE *f = create(path);

	put(f, header, sizeof header);
	/* Mel bands: triangles side by side. */
	for (int m = 0; m < MELS; m++) {
		for (int i = 0; i < FFT; i++) {
			float v = 1.0f - fabsf((float)i - 2.5f * (float)(m + 1) * (float)FFT / 205.0f) / 3.0f;

			v = v > 0.0f ? v * 0.02f : 0.0f;
			put(f, &v, sizeof v);
		}
	}
	put_u32(f, WORDS);
	for (uint32_t i = 0; i < WORDS; i++) {
		char word[16];
		int n = i ? snprintf(word, sizeof word, " w%u", i) : 1;

		if (!i)
			word[0] = ' '; /* whisper.cpp asks for this one */
		put_u32(f, (uint32_t)n);
		put(f, word, (size_t)n);
	}
	tensors(f);
	if (fclose(f)) {
		perror("mkwhisper");
		exit(1);
	}
}

/* One channel of 16-bit samples: a tone that rises, and noise. */
static void sound_write(const char *path)
{
	const uint32_t bytes = 2 * RATE * SECONDS;
	FILE *f = create(path);

	put(f, "RIFF", 4);
	put_u32(f, 36 + bytes);
	put(f, "WAVEfmt ", 8);
	put_u32(f, 16);
	put_u32(f, 1 | 1 << 16); /* PCM, one channel */
	put_u32(f, RATE);
	put_u32(f, 2 * RATE);
	put_u32(f, 2 | 16 << 16); /* bytes a frame, bits a sample */
	put(f, "data", 4);
	put_u32(f, bytes);
	for (int i = 0; i < RATE * SECONDS; i++) {
		float t = (float)i / RATE;
		int16_t s = (int16_t)(8000.0f * sinf(6.2832f * (200.0f + 300.0f * t) * t) + 2000.0f * random_unit());

		put(f, &s, sizeof s);
	}
	if (fclose(f)) {
		perror("mkwhisper");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fputs("usage: mkwhisper MODEL WAV\n", stderr);
		return 2;
	}
	model_write(argv[1]);
	sound_write(argv[2]);
	return 0;
}
