/* SPDX-License-Identifier: MIT */
/*
 * A guest that speaks APIR 0.2 as llama.cpp's own ggml-virtgpu does, and nothing beyond: written from the protocol's numbers,
 * in figures, so that a wrong name for one of them shows. It uses the Venus capset's types (331 and up), or, as when
 * GGML_REMOTING_USE_APIR_CAPSET is set, APIR's capset; it sends no greeting and no hello, never asks for a fence, makes a blob for each buffer where the host can use one and frees none. A FORWARD
 * that is answered by less than 4 makes it abort(), and so does a device that is no GPU.
 */
#ifndef TESTS_PROTOCOL_ORIGINAL_GUEST_H
#define TESTS_PROTOCOL_ORIGINAL_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct original_blob {
	uint32_t res;
	uint8_t *ptr;
	size_t size;
};

/* The device it finds. */
struct original_device {
	/* A mappable host blob, attached to the context; false: there is none to be had. */
	bool (*blob)(size_t size, struct original_blob *out);
	/* One command; no fence. */
	bool (*submit)(const void *cmd, size_t size);
	/* Between two looks at the reply word. */
	void (*pause)(void);
};

struct original {
	const struct original_device *device;
	uint32_t capset; /* 4 or 10 */
	struct original_blob reply, data;
	uint8_t cmd[4096];
	size_t n;                        /* of cmd */
	size_t at;                       /* in the reply */
	uint32_t load_code;              /* LOADLIBRARY's */
	uint32_t host_major, host_minor; /* the handshake's */
	bool from_ptr;                   /* buffers are blobs */
	uint64_t buft;
	unsigned blobs; /* that it has made */
};

struct original_buffer {
	uint64_t handle; /* 0: there is none to be had */
	struct original_blob blob;
};

/* What it would not survive is said on stderr, then it aborts; what the host may refuse comes back. */

/* Blobs, handshake, LOADLIBRARY; false: the library could not be loaded, load_code tells. */
bool original_open(struct original *g, const struct original_device *device, uint32_t capset);
/* What it asks a device for when it is made. */
void original_ask(struct original *g);
/* A function without arguments: its own code. */
uint32_t original_call(struct original *g, uint32_t function);
struct original_buffer original_alloc(struct original *g, uint64_t size);
/* c = a + b of 8 floats each in the buffer; whether that came out. */
bool original_adds(struct original *g, const struct original_buffer *b);

#endif
