/* SPDX-License-Identifier: MIT */
/*
 * Buffers: memory on the host under a handle. Here, each has a range of address space that nobody can touch, so
 * that tensor->data is an address within it and a stray access faults cleanly instead of reading something else.
 *
 * ggml's buffer functions return nothing: what fails is reported, noted in loss.h for the next compute, and what should
 * have been read is filled with zeros, never with what lay there before.
 */
#include "guest/buffer_slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "guest/buffer.h"
#include "guest/contents.h"
#include "guest/entry.h"
#include "guest/loss.h"
#include "guest/say.h"
#include "guest/turn.h"

static struct buffer *slot_buffer(const struct abi_buffer *object)
{
	return object->context;
}

/* Freed by the program, and to be freed on the host with this thread's next call about buffers: there was no memory to send
 * it, or it came from a signal handler within another call, which may have the buffer in hand. */
static _Thread_local struct buffer *_Atomic left;

static void buffer_leave(struct buffer *b)
{
	struct buffer *first = atomic_load(&left);

	atomic_store(&b->object, NULL);
	do
		b->left = first;
	while (!atomic_compare_exchange_weak(&left, &first, b));
}

/* Nothing that is collected or posted may mean it any more. False: the host couldn't be told. */
static bool buffer_forget(struct buffer *b)
{
	struct session *s = device_session(b->device);
	struct call c;
	bool told = true;

	turn_begin(&c, s, APIR_FN_BUFFER_FREE, "free_buffer");
	if (session_alive(s)) {
		call_u64(&c, b->handle);
		told = call_run(&c) != -EAGAIN;
	}
	if (told) {
		queue_settle(&c.session->queue);
		loss_buffer_end(b);
		kept_store_forget(&b->device->kept, b);
	}
	turn_end(&c);
	return told;
}

static void buffer_release(struct buffer *b)
{
	munmap(b->base, b->size);
	free(b);
}

static void buffers_left_free(void)
{
	struct buffer *b = atomic_exchange(&left, NULL), *next;
	bool told = true;

	for (; b; b = next) {
		next = b->left;
		told = told && buffer_forget(b);
		if (told)
			buffer_release(b);
		else
			buffer_leave(b);
	}
}

static void slot_free(struct abi_buffer *object)
{
	struct buffer *b = slot_buffer(object);

	if (entry_begin(NULL)) {
		buffer_leave(b);
		buffers_left_free();
		entry_end();
	} else if (connection_forked()) {
		buffer_release(b);
	} else {
		buffer_leave(b);
	}
}

static void slot_set(struct abi_buffer *object, struct abi_tensor *t, const void *data, size_t offset, size_t size)
{
	struct buffer *b = slot_buffer(object);
	bool done = false;

	if (entry_begin("set_tensor")) {
		done = contents_set(b, t, data, offset, size);
		entry_end();
	}
	if (!done)
		loss_note_write(b);
}

static void slot_get(struct abi_buffer *object, const struct abi_tensor *t, void *data, size_t offset, size_t size)
{
	struct buffer *b = slot_buffer(object);
	size_t got = 0;

	if (entry_begin("get_tensor")) {
		got = contents_get(b, t, data, offset, size);
		entry_end();
	}
	if (got < size) {
		memset((char *)data + got, 0, size - got);
		loss_note_read(b);
	}
}

static void slot_memset(struct abi_buffer *object, struct abi_tensor *t, uint8_t value, size_t offset, size_t size)
{
	struct buffer *b = slot_buffer(object);
	bool done = false;

	if (entry_begin("memset_tensor")) {
		done = contents_memset(b, t, value, offset, size);
		entry_end();
	}
	if (!done)
		loss_note_write(b);
}

/* Both tensors must be the host's; otherwise ggml copies by get and set. */
static bool slot_copy(struct abi_buffer *object, const struct abi_tensor *src, struct abi_tensor *dst)
{
	const struct buffer *from = buffer_of(src);
	bool done = false;

	if (from && entry_begin("cpy_tensor")) {
		done = contents_copy(from, slot_buffer(object), src, dst);
		entry_end();
	}
	return done;
}

static void slot_clear(struct abi_buffer *object, uint8_t value)
{
	struct buffer *b = slot_buffer(object);
	bool done = false;

	if (entry_begin("clear")) {
		done = contents_clear(b, value);
		entry_end();
	}
	if (!done)
		loss_note_write(b);
}

static const struct abi_buffer_i buffer_iface = {
	.free_buffer = slot_free,
	.get_base = buffer_base,
	.memset_tensor = slot_memset,
	.set_tensor = slot_set,
	.get_tensor = slot_get,
	.cpy_tensor = slot_copy,
	.clear = slot_clear,
};

static uint64_t buffer_room(struct device *dev, size_t size)
{
	uint64_t handle = 0;
	struct call c;

	turn_begin(&c, device_session(dev), APIR_FN_BUFT_ALLOC_BUFFER, "alloc_buffer");
	call_u64(&c, dev->buft_handle);
	call_u64(&c, size);
	if (call_run(&c) < 0 || !cursor_read_u64(&c.reply, &handle))
		handle = 0;
	turn_end(&c);
	return handle;
}

/* Room at the host for b, and ggml's object for it. */
static struct abi_buffer *buffer_place(struct buffer *b, size_t size)
{
	struct session *s = device_session(b->device);
	struct abi_buffer *made;

	b->handle = buffer_room(b->device, size);
	made = b->handle ? own.fn.buffer_init(&b->device->buft, buffer_iface, b, size) : NULL;
	if (!made && session_alive(s))
		say_error("alloc_buffer: the host's device has no %zu bytes", size);
	if (!made)
		return NULL;
	atomic_store(&b->object, made);
	pthread_mutex_lock(&s->lock);
	loss_buffer_begin(&s->losses, b);
	pthread_mutex_unlock(&s->lock);
	return made;
}

static struct abi_buffer *buffer_make(struct device *dev, size_t size)
{
	struct buffer *b = calloc(1, sizeof *b);
	struct abi_buffer *made;

	if (!b)
		return NULL;
	b->device = dev;
	b->size = size ? size : 1;
	b->base = mmap(NULL, b->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (b->base == MAP_FAILED) {
		say_error("alloc_buffer: no address space for %zu bytes", size);
		free(b);
		return NULL;
	}
	made = buffer_place(b, size);
	if (!made)
		buffer_release(b);
	return made;
}

struct abi_buffer *buffer_new(struct device *dev, size_t size)
{
	struct abi_buffer *made = NULL;

	if (entry_begin("alloc_buffer")) {
		buffers_left_free();
		made = buffer_make(dev, size);
		entry_end();
	} else {
		entry_forked_tell();
	}
	return made;
}
