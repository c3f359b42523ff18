/* SPDX-License-Identifier: MIT */
/* See device.h. */
#include "guest/device.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest/turn.h"

#define NAME_ENV     "GGML_VIRTGPU_NAME"
#define DEFAULT_NAME "VirtGPU"
#define MAX_NAME     11
#define ALPHANUMERIC "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

/* Some programs know GPUs by their names only, so it can be chosen. */
int device_name_choose(struct device *dev, char *err, size_t err_size)
{
	const char *name = getenv(NAME_ENV);
	size_t n = name ? strspn(name, ALPHANUMERIC) : 0;

	snprintf(dev->name, sizeof dev->name, DEFAULT_NAME "0");
	if (!name)
		return 0;
	if (n == 0 || n > MAX_NAME || name[n]) {
		snprintf(err, err_size, NAME_ENV " is '%.64s': give 1 to %d letters and digits, or unset it", name,
			MAX_NAME);
		return -EINVAL;
	}
	snprintf(dev->name, sizeof dev->name, "%s0", name);
	return 0;
}

/* A question without arguments or about the buffer type; read() takes the answer. */
static int device_ask(struct device *dev, enum apir_fn fn, const char *name, bool about_buft,
	bool (*read)(struct cursor *, void *), void *out)
{
	struct call c;
	int err;

	turn_begin(&c, device_session(dev), fn, name);
	if (about_buft)
		call_u64(&c, dev->buft_handle);
	err = call_run(&c);
	if (!err && !read(&c.reply, out))
		err = -EPROTO;
	turn_end(&c);
	return err;
}

static bool read_u64(struct cursor *c, void *out)
{
	return cursor_read_u64(c, out);
}

/* Into a char[160], cut if it must be. */
static bool read_text(struct cursor *c, void *out)
{
	const char *s;

	if (!cursor_read_string(c, &s))
		return false;
	snprintf(out, 160, "%s", s);
	return true;
}

/* Buffers' addresses here are a page's (buffer_slots.c), and ggml counts in alignments from there. */
static bool alignment_can_be(uint64_t alignment)
{
	return alignment && !(alignment & (alignment - 1)) && alignment <= (uint64_t)sysconf(_SC_PAGESIZE);
}

int device_init(struct device *dev, struct host *host, char *err, size_t err_size)
{
	char description[160] = "";
	uint64_t max = 0, alignment = 0;
	int e;

	dev->host = host;
	e = device_ask(dev, APIR_FN_DEVICE_DESCRIPTION, "get_description", false, read_text, description);
	if (!e)
		e = device_ask(dev, APIR_FN_DEVICE_BUFFER_TYPE, "get_buffer_type", false, read_u64, &dev->buft_handle);
	if (!e)
		e = device_ask(dev, APIR_FN_BUFT_ALIGNMENT, "get_alignment", true, read_u64, &alignment);
	if (!e && !alignment_can_be(alignment)) {
		snprintf(err, err_size,
			"%s: the host's device aligns to %" PRIu64
			" bytes, and here it can be a power of two up to a page's "
			"size: name another device or GGML library on the host (ggml.devices, ggml.library.path)",
			host->session.connection.transport->where, alignment);
		return -ENOTSUP;
	}
	if (!e)
		e = device_ask(dev, APIR_FN_BUFT_MAX_SIZE, "get_max_size", true, read_u64, &max);
	if (!e && max == 0)
		e = -EPROTO;
	if (e < 0)
		return e;
	dev->alignment = alignment;
	dev->max_size = max;
	snprintf(dev->description, sizeof dev->description, "ggml-virtgpu: %.140s", description);
	memo_init(&dev->supports);
	memo_init(&dev->alloc_sizes);
	kept_store_init(&dev->kept, host);
	pthread_mutex_init(&dev->refused.lock, NULL);
	return 0;
}
