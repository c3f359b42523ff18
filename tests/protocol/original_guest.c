/* SPDX-License-Identifier: MIT */
/* See original_guest.h. Arguments are appended to the command, answers are read where the host wrote them. */
#include "tests/protocol/original_guest.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/clock.h"

#define VENUS_TYPES  331
#define REPLY_SIZE   0x4000u
#define DATA_SIZE    0x1830000u
#define HANDSHAKE_MS 2000
#define PATIENCE_MS  60000
#define NO_ANSWER    UINT32_MAX

enum { HANDSHAKE = 0, LOADLIBRARY = 1, FORWARD = 2 };

static void give_up(const char *what, uint32_t n)
{
	fprintf(stderr, "the original's guest aborts: %s (%u)\n", what, n);
	abort();
}

static bool blob_make(struct original *g, size_t size, struct original_blob *out)
{
	bool made = g->device->blob(size, out);

	g->blobs += made;
	return made;
}

static void put(struct original *g, const void *p, size_t n)
{
	if (n > sizeof g->cmd - g->n)
		give_up("a command that is too long", (uint32_t)n);
	memcpy(g->cmd + g->n, p, n);
	g->n += n;
}

static void put_u32(struct original *g, uint32_t v)
{
	put(g, &v, sizeof v);
}

static void put_u64(struct original *g, uint64_t v)
{
	put(g, &v, sizeof v);
}

static void take(struct original *g, void *p, size_t n)
{
	if (n > g->reply.size - g->at)
		give_up("an answer that is too short", (uint32_t)n);
	memcpy(p, g->reply.ptr + g->at, n);
	g->at += n;
}

static uint32_t take_u32(struct original *g)
{
	uint32_t v;

	take(g, &v, sizeof v);
	return v;
}

static uint64_t take_u64(struct original *g)
{
	uint64_t v;

	take(g, &v, sizeof v);
	return v;
}

/* A string's size counts its NUL, its bytes are padded to 4. */
static void take_string(struct original *g)
{
	uint64_t size = take_u64(g);
	char text[256] = "";

	if (size == 0 || size > sizeof text)
		give_up("a string of this size", (uint32_t)size);
	take(g, text, (size + 3) / 4 * 4);
	if (strlen(text) + 1 != size)
		give_up("a string that doesn't end where it says", (uint32_t)size);
}

static void begin(struct original *g, int32_t type, int32_t flags)
{
	g->n = 0;
	put_u32(g, (uint32_t)type + (g->capset == 4 ? VENUS_TYPES : 0));
	put_u32(g, (uint32_t)flags);
	put_u32(g, g->reply.res);
}

/* The code behind the reply word, or NO_ANSWER. */
static uint32_t run(struct original *g, int patience_ms)
{
	_Atomic uint32_t *word = (_Atomic uint32_t *)(void *)g->reply.ptr;
	int64_t until = clock_ms() + patience_ms;
	uint32_t v;

	atomic_store(word, 0);
	if (!g->device->submit(g->cmd, g->n))
		give_up("the command can't be sent", 0);
	while ((v = atomic_load_explicit(word, memory_order_acquire)) == 0) {
		if (clock_ms() > until)
			return NO_ANSWER;
		g->device->pause();
	}
	g->at = sizeof v;
	return v - 1;
}

bool original_open(struct original *g, const struct original_device *device, uint32_t capset)
{
	uint32_t code;

	*g = (struct original){ .device = device, .capset = capset };
	if (!blob_make(g, REPLY_SIZE, &g->reply) || !blob_make(g, DATA_SIZE, &g->data))
		give_up("no memory to talk through", 0);
	begin(g, HANDSHAKE, 0);
	put_u32(g, 0);
	put_u32(g, 2);
	code = run(g, HANDSHAKE_MS * 10); /* it gives 2 s; a loaded machine may need more */
	if (code != 0xab1e)
		give_up("the handshake's code", code);
	g->host_major = take_u32(g);
	g->host_minor = take_u32(g);
	if (g->host_major != 0)
		give_up("the host's version", g->host_major);
	begin(g, LOADLIBRARY, 0);
	g->load_code = run(g, PATIENCE_MS);
	return g->load_code == 0;
}

static uint32_t forward(struct original *g)
{
	uint32_t code = run(g, PATIENCE_MS);

	if (code < 4 || code == NO_ANSWER)
		give_up("a function's code", code);
	return code - 4;
}

static void begin_function(struct original *g, uint32_t function)
{
	begin(g, FORWARD, (int32_t)function);
}

static void must(struct original *g, const char *what)
{
	uint32_t code = forward(g);

	if (code)
		give_up(what, code);
}

uint32_t original_call(struct original *g, uint32_t function)
{
	begin_function(g, function);
	return forward(g);
}

void original_ask(struct original *g)
{
	uint32_t v;

	begin_function(g, 1);
	must(g, "device count");
	v = take_u32(g);
	if (v == 0)
		give_up("devices", v);
	begin_function(g, 2);
	must(g, "device name");
	take_string(g);
	begin_function(g, 3);
	must(g, "device description");
	take_string(g);
	begin_function(g, 4);
	must(g, "device type");
	v = take_u32(g);
	if (v != 1)
		give_up("llama.cpp offloads to GPUs only, this is of type", v);
	begin_function(g, 5);
	must(g, "device memory");
	take_u64(g);
	if (take_u64(g) == 0)
		give_up("total memory", 0);
	begin_function(g, 8);
	must(g, "device props");
	take_u32(g); /* async */
	take_u32(g); /* host_buffer */
	g->from_ptr = take_u32(g);
	take_u32(g); /* events */
	take_u32(g); /* mmap_support */
	begin_function(g, 7);
	must(g, "buffer type");
	g->buft = take_u64(g);
	begin_function(g, 10);
	put_u64(g, g->buft);
	must(g, "buffer type's name");
	take_string(g);
	begin_function(g, 11);
	put_u64(g, g->buft);
	must(g, "alignment");
	if (take_u64(g) == 0)
		give_up("alignment", 0);
	begin_function(g, 12);
	put_u64(g, g->buft);
	must(g, "max size");
	if (take_u64(g) == 0)
		give_up("max size", 0);
}

struct original_buffer original_alloc(struct original *g, uint64_t size)
{
	struct original_buffer b = { 0 };

	if (g->from_ptr) {
		if (!blob_make(g, size, &b.blob))
			return b;
		begin_function(g, 9);
		put_u32(g, b.blob.res);
		put_u64(g, size);
		put_u64(g, size);
		if (forward(g))
			return b;
		b.handle = take_u64(g);
		take_u64(g); /* the buffer's type */
		return b;
	}
	begin_function(g, 14);
	put_u64(g, g->buft);
	put_u64(g, size);
	if (forward(g) == 0)
		b.handle = take_u64(g);
	return b;
}

/* 304 bytes, zero where nothing is said; each value at the place where a C compiler puts the struct's field. */
struct tensor {
	uint8_t bytes[304];
};

static void field(struct tensor *t, size_t at, const void *p, size_t n)
{
	memcpy(t->bytes + at, p, n);
}

static struct tensor tensor(uint64_t id, uint64_t buffer, uint64_t data, uint32_t op, uint64_t a, uint64_t b)
{
	const uint32_t ne[4] = { 8, 1, 1, 1 }, nb[4] = { 4, 32, 32, 32 };
	const int32_t flags = 16; /* compute */
	struct tensor t = { { 0 } };

	field(&t, 0, &id, sizeof id);
	field(&t, 16, &buffer, sizeof buffer);
	field(&t, 24, ne, sizeof ne);
	field(&t, 40, nb, sizeof nb);
	field(&t, 56, &op, sizeof op);
	field(&t, 124, &flags, sizeof flags);
	field(&t, 128, &a, sizeof a);
	field(&t, 136, &b, sizeof b);
	field(&t, 224, &data, sizeof data);
	return t;
}

/* set_tensor (17) or get_tensor (18), the bytes in the data blob. */
static void transfer(struct original *g, uint32_t function, uint64_t buffer, const struct tensor *t)
{
	begin_function(g, function);
	put_u64(g, buffer);
	put(g, t, sizeof *t);
	put_u32(g, g->data.res);
	put_u64(g, 0);
	put_u64(g, 32);
	must(g, function == 17 ? "set_tensor" : "get_tensor");
}

static void set(struct original *g, uint64_t buffer, const struct tensor *t, const float *values)
{
	memcpy(g->data.ptr, values, 32);
	transfer(g, 17, buffer, t);
}

bool original_adds(struct original *g, const struct original_buffer *b)
{
	const uint32_t add = 2; /* GGML_OP_ADD */
	const struct tensor t[3] = { tensor(1, b->handle, 0, 0, 0, 0), tensor(2, b->handle, 64, 0, 0, 0),
		tensor(3, b->handle, 128, add, 1, 2) };
	const uint32_t n_nodes = 1, n_tensors = 3;
	const uint64_t node = 3;
	const float zero[8] = { 0 };
	float x[8], y[8], sum[8];
	uint8_t *p = g->data.ptr;

	for (int i = 0; i < 8; i++) {
		x[i] = (float)i;
		y[i] = (float)(100 + i);
	}
	set(g, b->handle, &t[0], x);
	set(g, b->handle, &t[1], y);
	set(g, b->handle, &t[2], zero);
	memcpy(p, &n_nodes, 4);
	memcpy(p + 4, &node, 8);
	memcpy(p + 12, &n_tensors, 4);
	memcpy(p + 16, t, sizeof t);
	begin_function(g, 22);
	put_u32(g, g->data.res);
	put_u64(g, 16 + sizeof t);
	must(g, "graph_compute");
	if (take_u32(g) != 0)
		return false;
	memset(g->data.ptr, 0, 32);
	transfer(g, 18, b->handle, &t[2]);
	memcpy(sum, g->data.ptr, 32);
	for (int i = 0; i < 8; i++) {
		if (sum[i] != x[i] + y[i])
			return false;
	}
	return true;
}
