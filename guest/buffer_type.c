/* SPDX-License-Identifier: MIT */
/* See buffer_type.h: what the host said of it once, and the sizes that it is asked for, remembered. */
#include "guest/buffer_type.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "guest/buffer_slots.h"
#include "guest/entry.h"
#include "guest/say.h"
#include "guest/tensor.h"
#include "guest/turn.h"

static const char *buft_name(union abi_buft *buft)
{
	return device_of_buft(buft)->name;
}

/*
 * What ggml is told of a tensor that the protocol can't carry: more than any device has, so that asking for memory fails as
 * it does where there is too little, before anything is in it. Some thousands can be summed up.
 */
#define NOT_TO_BE_HAD ((size_t)1 << 50)

static size_t buft_alloc_size_refused(struct device *dev, const struct abi_tensor *t)
{
	pthread_mutex_lock(&dev->refused.lock);
	snprintf(dev->refused.text, sizeof dev->refused.text,
		"'%.64s', %" PRId64 " x %" PRId64 " x %" PRId64 " x %" PRId64, t->name, t->ne[0], t->ne[1], t->ne[2],
		t->ne[3]);
	pthread_mutex_unlock(&dev->refused.lock);
	return NOT_TO_BE_HAD;
}

/* Empty where there is nothing to tell. */
static void buft_refusal_take(struct device *dev, char text[sizeof dev->refused.text])
{
	text[0] = '\0';
	if (!entry_begin("alloc_buffer"))
		return;
	pthread_mutex_lock(&dev->refused.lock);
	memcpy(text, dev->refused.text, sizeof dev->refused.text);
	dev->refused.text[0] = '\0';
	pthread_mutex_unlock(&dev->refused.lock);
	entry_end();
}

static struct abi_buffer *buft_alloc(union abi_buft *buft, size_t size)
{
	struct device *dev = device_of_buft(buft);
	char text[sizeof dev->refused.text] = "";

	if (size >= NOT_TO_BE_HAD)
		buft_refusal_take(dev, text);
	if (!text[0])
		return buffer_new(dev, size);
	say_error(
		"alloc_buffer: no memory for tensor %s: a dimension or stride of it passes 32 bits, more than APIR 0.2 "
		"carries: use a shorter context or fewer sequences",
		text);
	return NULL;
}

static size_t buft_alignment(union abi_buft *buft)
{
	return device_of_buft(buft)->alignment;
}

static size_t buft_max_size(union abi_buft *buft)
{
	return device_of_buft(buft)->max_size;
}

/* 0: the host doesn't say. */
static uint64_t buft_alloc_size_ask(struct device *dev, const struct abi_tensor *t, size_t least)
{
	uint64_t size = 0;
	struct call c;

	turn_begin(&c, device_session(dev), APIR_FN_BUFT_ALLOC_SIZE, "get_alloc_size");
	call_u64(&c, dev->buft_handle);
	tensor_encode_raw(&c, dev->host, t);
	if (call_run(&c) < 0 || !cursor_read_u64(&c.reply, &size) || size < least)
		size = 0;
	turn_end(&c);
	return size;
}

/* Devices pad rows of quantised types, and some operations need memory behind their result: only the host knows. */
static size_t buft_alloc_size(union abi_buft *buft, const struct abi_tensor *t)
{
	struct device *dev = device_of_buft(buft);
	size_t plain = own.fn.nbytes(t);
	struct signature sig;
	uint64_t size = 0;

	if (!tensor_types_known(dev->host, t)) /* not to be asked about, nor to be computed with */
		return plain;
	if (!session_alive(device_session(dev)) || !entry_begin("get_alloc_size"))
		return plain;
	signature_make(&sig, t);
	if (!t->view_src && !tensor_fits(t)) {
		size = buft_alloc_size_refused(dev, t);
	} else if (!memo_get(&dev->alloc_sizes, &sig, &size)) {
		size = buft_alloc_size_ask(dev, t, plain);
		if (size)
			memo_put(&dev->alloc_sizes, &sig, size);
	}
	entry_end();
	return size ? size : plain;
}

static bool buft_is_host(union abi_buft *buft)
{
	(void)buft;
	return false;
}

void buffer_type_init(struct device *dev)
{
	static const struct abi_buft_i iface = {
		.get_name = buft_name,
		.alloc_buffer = buft_alloc,
		.get_alignment = buft_alignment,
		.get_max_size = buft_max_size,
		.get_alloc_size = buft_alloc_size,
		.is_host = buft_is_host,
	};

	abi_buft_init(&dev->buft, own.api, &iface, &dev->object, dev);
}
