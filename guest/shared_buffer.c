/* SPDX-License-Identifier: MIT */
/*
 * See shared_buffer.h. To ggml such a buffer is one of its CPU's, and so is, literally, what is too large or not to be had:
 * llama.cpp puts weights there, too.
 */
#include "guest/shared_buffer.h"

#include <stdio.h>

#include "guest/entry.h"
#include "guest/turn.h"

static const char *shared_name(union abi_buft *buft)
{
	return device_of_buft(buft)->shared_name;
}

static void *shared_take(struct device *dev, size_t size)
{
	struct session *s = device_session(dev);
	struct call c;
	void *ptr;

	turn_enter(&c, s, "alloc_buffer");
	ptr = shared_make(&s->shared, &s->blobs, size);
	turn_end(&c);
	return ptr;
}

static void shared_give(struct device *dev, const void *ptr)
{
	struct session *s = device_session(dev);
	struct call c;

	turn_enter(&c, s, "free_buffer");
	queue_settle(&s->queue);
	shared_drop(&s->shared, &s->blobs, ptr);
	turn_end(&c);
}

/* From a signal handler within another call it stays; in a forked child it is the parent's. */
static void shared_free(struct abi_buffer *object)
{
	if (!entry_begin("free_buffer"))
		return;
	shared_give(device_of_buft(object->buft), object->context);
	entry_end();
}

static struct abi_buffer *shared_wrap(union abi_buft *buft, size_t size)
{
	struct device *dev = device_of_buft(buft);
	void *ptr = size ? shared_take(dev, size) : NULL;
	struct abi_buffer *object = ptr ? own.fn.cpu_buffer_from_ptr(ptr, size) : NULL;

	if (object) {
		object->buft = buft;
		object->iface.free_buffer = shared_free;
	} else if (ptr) {
		shared_give(dev, ptr);
	}
	return object;
}

static struct abi_buffer *shared_alloc(union abi_buft *buft, size_t size)
{
	struct abi_buffer *object = NULL;

	if (entry_begin("alloc_buffer")) {
		object = shared_wrap(buft, size);
		entry_end();
	}
	return object ? object : own.fn.buft_alloc_buffer(own.fn.cpu_buffer_type(), size);
}

static size_t shared_alignment(union abi_buft *buft)
{
	(void)buft;
	return own.fn.buft_get_alignment(own.fn.cpu_buffer_type());
}

static bool shared_is_host(union abi_buft *buft)
{
	(void)buft;
	return true;
}

void shared_buffer_init(struct device *dev)
{
	static const struct abi_buft_i iface = {
		.get_name = shared_name,
		.alloc_buffer = shared_alloc,
		.get_alignment = shared_alignment,
		.is_host = shared_is_host,
	};

	snprintf(dev->shared_name, sizeof dev->shared_name, "%s_Host", dev->name);
	abi_buft_init(&dev->shared_buft, own.api, &iface, &dev->object, dev);
}

/* A virtio-gpu device's memory may be taken away, which a program that uses it as its own wouldn't survive. */
union abi_buft *shared_buffer_type(struct device *dev)
{
	const struct session *s = device_session(dev);

	return s->channel.reply.stays && s->features & APIR_FEATURE_AT && own.fn.cpu_buffer_from_ptr &&
	                       own.fn.cpu_buffer_type
	               ? &dev->shared_buft
	               : NULL;
}
