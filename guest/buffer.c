/* SPDX-License-Identifier: MIT */
/*
 * Buffers: memory on the host under a handle. Here, each has a range of address space that nobody can touch, so
 * that tensor->data is an address within it and a stray access faults cleanly instead of reading something else.
 *
 * ggml's buffer functions return nothing: what fails is reported, noted in loss.h for the next compute, and what should
 * have been read is filled with zeros, never with what lay there before.
 */
#include "guest/guest.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "guest/bytes.h"
#include "guest/say.h"
#include "guest/transfer.h"

static _Atomic uint64_t epoch = 1;

uint64_t buffers_epoch(void)
{
	return atomic_load_explicit(&epoch, memory_order_relaxed);
}

static struct buffer *buffer_context(const struct abi_buffer *b)
{
	return b->context;
}

/* Freed by the program, and to be freed on the host with this thread's next call about buffers: there was no memory to send
 * it, or it came from a signal handler within another call, which may have the buffer in hand. */
static _Thread_local struct buffer *_Atomic left;

static void buffer_leave(struct buffer *own)
{
	struct buffer *first = atomic_load(&left);

	atomic_store(&own->object, NULL);
	do
		own->left = first;
	while (!atomic_compare_exchange_weak(&left, &first, own));
}

/* Nothing that is collected or posted may mean it any more. False: the host couldn't be told. */
static bool buffer_forget(struct buffer *own)
{
	struct session *s = &plugin.session;
	struct call c;
	bool told = true;

	turn_begin(&c, s, APIR_FN_BUFFER_FREE, "free_buffer");
	if (session_alive(s)) {
		call_u64(&c, own->handle);
		told = call_run(&c) != -EAGAIN;
	}
	if (told) {
		queue_settle(&c.session->queue);
		loss_buffer_end(own);
		atomic_fetch_add(&epoch, 1);
	}
	turn_end(&c);
	return told;
}

static void buffer_release(struct buffer *own)
{
	munmap(own->base, own->size);
	free(own);
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

static void buffer_free(struct abi_buffer *b)
{
	struct buffer *own = buffer_context(b);

	if (entry_begin(NULL)) {
		buffer_leave(own);
		buffers_left_free();
		entry_end();
	} else if (connection_forked()) {
		buffer_release(own);
	} else {
		buffer_leave(own);
	}
}

static void *buffer_base(struct abi_buffer *b)
{
	return buffer_context(b)->base;
}

/* What ggml leaves free between a tensor's end and the next aligned address, if this write reaches that end. */
static uint64_t pad_behind(const struct abi_tensor *t, size_t offset, size_t size)
{
	if (t->view_src || offset + size != plugin.fn.nbytes(t))
		return 0;
	return -((uintptr_t)t->data + offset + size) & (plugin.alignment - 1);
}

/* Small writes wait for others; true: taken care of. */
static bool write_collect(struct buffer *b, const struct abi_tensor *t, const void *data, size_t offset, size_t size)
{
	struct session *s = &plugin.session;
	uint64_t start = (uint64_t)((char *)t->data - b->base) + offset;

	if (size == 0)
		return true;
	if (size > PENDING_SMALL || !range_ok(start, size, b->size))
		return false;
	/* The host clears the padding behind a quantised tensor when it is told which one it is. */
	if (offset == 0 && plugin.fn.blck_size(t->type) > 1)
		return false;
	return turn_collect(s, b, start, size, pad_behind(t, offset, size), data);
}

/* Of a tensor that the protocol can't describe, so many bytes travel at a time as bytes. */
#define SPAN ((size_t)1 << 30)

/* What stands for the tensor's bytes [*offset, *offset + *size), or as many of them as fit: *offset is within *w then.
 * NULL, or why there is none. */
static const char *span_encode(
	const struct buffer *b, const struct abi_tensor *t, size_t *offset, size_t *size, struct apir_tensor *w)
{
	uint64_t start = (uint64_t)((char *)t->data - b->base);

	if (tensor_encode(t, w))
		return NULL;
	if (!range_ok(start, plugin.fn.nbytes(t), b->size) || !range_ok(*offset, *size, plugin.fn.nbytes(t)))
		return "reaches beyond its buffer";
	if (*size > SPAN)
		*size = SPAN;
	*w = bytes_encode(b->handle, start + *offset, (uint32_t)*size);
	*offset = 0;
	return NULL;
}

static bool tensor_set(struct buffer *own, const struct abi_tensor *t, const void *data, size_t offset, size_t size)
{
	size_t done = 0;

	do {
		size_t at = offset + done, n = size - done;
		struct apir_tensor w;
		const char *fault = span_encode(own, t, &at, &n, &w);

		if (fault) {
			say_error("set_tensor: '%s' %s", t->name, fault);
			return false;
		}
		if (done == 0 && write_collect(own, t, data, offset, size))
			return true;
		w.view_src = (uintptr_t)t->view_src;
		if (!transfer_set(&plugin.session, own, &w, (const char *)data + done, at, n))
			return false;
		done += n;
	} while (done < size);
	return true;
}

static void buffer_set(struct abi_buffer *b, struct abi_tensor *t, const void *data, size_t offset, size_t size)
{
	struct buffer *own = buffer_context(b);
	bool done = false;

	if (entry_begin("set_tensor")) {
		done = tensor_set(own, t, data, offset, size);
		entry_end();
	}
	if (!done)
		loss_note_write(own);
}

/* How many bytes were read, from the first on. */
static size_t tensor_get(struct buffer *own, const struct abi_tensor *t, void *data, size_t offset, size_t size)
{
	size_t done = 0;

	while (done < size) {
		size_t at = offset + done, n = size - done, got;
		struct apir_tensor w;
		const char *fault = span_encode(own, t, &at, &n, &w);

		if (fault) {
			say_error("get_tensor: '%s' %s", t->name, fault);
			return done;
		}
		got = transfer_get(&plugin.session, own, &w, (char *)data + done, at, n);
		done += got;
		if (got < n)
			return done;
	}
	return done;
}

static void buffer_get(struct abi_buffer *b, const struct abi_tensor *t, void *data, size_t offset, size_t size)
{
	struct buffer *own = buffer_context(b);
	size_t got = 0;

	if (entry_begin("get_tensor")) {
		got = tensor_get(own, t, data, offset, size);
		entry_end();
	}
	if (got < size) {
		memset((char *)data + got, 0, size - got);
		loss_note_read(own);
	}
}

/* APIR 0.2 has no memset: the bytes travel. */
static bool tensor_memset(struct buffer *own, const struct abi_tensor *t, uint8_t value, size_t offset, size_t size)
{
	size_t room = size < (size_t)1 << 20 ? size : (size_t)1 << 20;
	AUTO_FREE char *bytes = malloc(room ? room : 1);

	if (!bytes)
		return false;
	memset(bytes, value, room);
	for (size_t done = 0; done < size; done += room) {
		size_t n = size - done < room ? size - done : room;

		if (!tensor_set(own, t, bytes, offset + done, n))
			return false;
	}
	return true;
}

static void buffer_memset(struct abi_buffer *b, struct abi_tensor *t, uint8_t value, size_t offset, size_t size)
{
	struct buffer *own = buffer_context(b);
	bool done = false;

	if (entry_begin("memset_tensor")) {
		done = tensor_memset(own, t, value, offset, size);
		entry_end();
	}
	if (!done)
		loss_note_write(own);
}

static bool tensor_copy(
	const struct buffer *from, struct buffer *to, const struct abi_tensor *src, const struct abi_tensor *dst)
{
	struct apir_tensor ws, wd;
	bool done = false;
	struct call c;

	if (!tensor_encode(src, &ws) || !tensor_encode(dst, &wd) || !session_alive(&plugin.session))
		return false;
	turn_begin(&c, &plugin.session, APIR_FN_BUFFER_CPY_TENSOR, "cpy_tensor");
	call_u64(&c, to->handle);
	call_bytes(&c, &ws, sizeof ws);
	call_bytes(&c, &wd, sizeof wd);
	if (call_run(&c) < 0 || !cursor_read_bool(&c.reply, &done))
		done = false;
	done |= loss_spread(from, to);
	turn_end(&c);
	return done;
}

/* Both tensors must be the host's; otherwise ggml copies by get and set. */
static bool buffer_copy(struct abi_buffer *b, const struct abi_tensor *src, struct abi_tensor *dst)
{
	const struct buffer *from = buffer_of(src);
	bool done = false;

	if (from && entry_begin("cpy_tensor")) {
		done = tensor_copy(from, buffer_context(b), src, dst);
		entry_end();
	}
	return done;
}

static int host_clear(const struct buffer *own, uint8_t value)
{
	struct call c;
	int err;

	turn_begin(&c, &plugin.session, APIR_FN_BUFFER_CLEAR, "clear");
	call_u64(&c, own->handle);
	call_u32(&c, value);
	err = call_run(&c);
	turn_end(&c);
	return err;
}

static void buffer_clear(struct abi_buffer *b, uint8_t value)
{
	struct buffer *own = buffer_context(b);
	int err = -EBUSY;

	if (entry_begin("clear")) {
		err = host_clear(own, value);
		entry_end();
	}
	if (err < 0)
		loss_note_write(own);
}

static const struct abi_buffer_i buffer_iface = {
	.free_buffer = buffer_free,
	.get_base = buffer_base,
	.memset_tensor = buffer_memset,
	.set_tensor = buffer_set,
	.get_tensor = buffer_get,
	.cpy_tensor = buffer_copy,
	.clear = buffer_clear,
};

struct buffer *buffer_of(const struct abi_tensor *t)
{
	const struct abi_buffer *b = t->view_src ? t->view_src->buffer : t->buffer;

	return b && b->iface.get_base == buffer_base ? buffer_context(b) : NULL;
}

static uint64_t host_alloc(size_t size)
{
	uint64_t handle = 0;
	struct call c;

	turn_begin(&c, &plugin.session, APIR_FN_BUFT_ALLOC_BUFFER, "alloc_buffer");
	call_u64(&c, plugin.buft_handle);
	call_u64(&c, size);
	if (call_run(&c) < 0 || !cursor_read_u64(&c.reply, &handle))
		handle = 0;
	turn_end(&c);
	return handle;
}

/* Room at the host for b, and ggml's object for it. */
static struct abi_buffer *buffer_place(struct buffer *b, size_t size)
{
	struct abi_buffer *made;

	b->handle = host_alloc(size);
	made = b->handle ? plugin.fn.buffer_init(&plugin.buft, buffer_iface, b, size) : NULL;
	if (!made && session_alive(&plugin.session))
		say_error("alloc_buffer: the host's device has no %zu bytes", size);
	if (!made)
		return NULL;
	atomic_store(&b->object, made);
	pthread_mutex_lock(&plugin.session.lock);
	loss_buffer_begin(&plugin.session.losses, b);
	atomic_fetch_add(&epoch, 1);
	pthread_mutex_unlock(&plugin.session.lock);
	return made;
}

static struct abi_buffer *buffer_make(size_t size)
{
	struct buffer *b = calloc(1, sizeof *b);
	struct abi_buffer *made;

	if (!b)
		return NULL;
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

struct abi_buffer *buffer_new(size_t size)
{
	struct abi_buffer *made = NULL;

	if (entry_begin("alloc_buffer")) {
		buffers_left_free();
		made = buffer_make(size);
		entry_end();
	} else {
		entry_forked_tell();
	}
	return made;
}
