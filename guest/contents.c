/* SPDX-License-Identifier: MIT */
/* See contents.h. */
#include "guest/contents.h"

#include <stdlib.h>
#include <string.h>

#include "guest/buffer.h"
#include "guest/bytes.h"
#include "guest/device.h"
#include "guest/loss.h"
#include "guest/say.h"
#include "guest/tensor.h"
#include "guest/transfer.h"
#include "guest/turn.h"
#include "proto/util.h"

/* What ggml leaves free between a tensor's end and the next aligned address, if this write reaches that end. */
static uint64_t pad_behind(const struct buffer *b, const struct abi_tensor *t, size_t offset, size_t size)
{
	if (t->view_src || offset + size != own.fn.nbytes(t))
		return 0;
	return -((uintptr_t)t->data + offset + size) & (b->device->alignment - 1);
}

/* Small writes wait for others; true: taken care of. */
static bool contents_collect(struct buffer *b, const struct abi_tensor *t, const void *data, size_t offset, size_t size)
{
	uint64_t start = (uint64_t)((char *)t->data - b->base) + offset;

	if (size == 0)
		return true;
	if (size > PENDING_SMALL || !range_ok(start, size, b->size))
		return false;
	/* The host clears the padding behind a quantised tensor when it is told which one it is. */
	if (offset == 0 && own.fn.blck_size(t->type) > 1)
		return false;
	return turn_collect(device_session(b->device), b, start, size, pad_behind(b, t, offset, size), data);
}

/* Of a tensor that the protocol can't describe, so many bytes travel at a time as bytes. */
#define SPAN ((size_t)1 << 30)

/* What stands for the tensor's bytes [*offset, *offset + *size), or as many of them as fit: *offset is within *w then.
 * NULL, or why there is none. */
static const char *span_encode(
	const struct buffer *b, const struct abi_tensor *t, size_t *offset, size_t *size, struct apir_tensor *w)
{
	uint64_t start = (uint64_t)((char *)t->data - b->base);

	if (tensor_encode(b->device->host, t, w))
		return NULL;
	if (!range_ok(start, own.fn.nbytes(t), b->size) || !range_ok(*offset, *size, own.fn.nbytes(t)))
		return "reaches beyond its buffer";
	if (*size > SPAN)
		*size = SPAN;
	*w = bytes_encode(b->handle, start + *offset, (uint32_t)*size);
	*offset = 0;
	return NULL;
}

bool contents_set(struct buffer *b, const struct abi_tensor *t, const void *data, size_t offset, size_t size)
{
	size_t done = 0;

	do {
		size_t at = offset + done, n = size - done;
		struct apir_tensor w;
		const char *fault = span_encode(b, t, &at, &n, &w);

		if (fault) {
			say_error("set_tensor: '%s' %s", t->name, fault);
			return false;
		}
		if (done == 0 && contents_collect(b, t, data, offset, size))
			return true;
		w.view_src = (uintptr_t)t->view_src;
		if (!transfer_set(device_session(b->device), b, &w, (const char *)data + done, at, n))
			return false;
		done += n;
	} while (done < size);
	return true;
}

size_t contents_get(struct buffer *b, const struct abi_tensor *t, void *data, size_t offset, size_t size)
{
	size_t done = 0;

	while (done < size) {
		size_t at = offset + done, n = size - done, got;
		struct apir_tensor w;
		const char *fault = span_encode(b, t, &at, &n, &w);

		if (fault) {
			say_error("get_tensor: '%s' %s", t->name, fault);
			return done;
		}
		got = transfer_get(device_session(b->device), b, &w, (char *)data + done, at, n);
		done += got;
		if (got < n)
			return done;
	}
	return done;
}

bool contents_set_later(struct buffer *b, const struct abi_tensor *t, const void *data, size_t offset, size_t size)
{
	size_t at = offset, n = size;
	struct apir_tensor w;

	if (size <= PENDING_SMALL || span_encode(b, t, &at, &n, &w) || n != size)
		return false;
	w.view_src = (uintptr_t)t->view_src;
	return transfer_set_later(device_session(b->device), b, &w, data, at, n);
}

bool contents_get_later(struct buffer *b, const struct abi_tensor *t, void *data, size_t offset, size_t size)
{
	size_t at = offset, n = size;
	struct apir_tensor w;

	return size > 0 && !span_encode(b, t, &at, &n, &w) && n == size &&
	       transfer_get_later(device_session(b->device), b, &w, data, at, n);
}

/* APIR 0.2 has no memset: the bytes travel. */
bool contents_memset(struct buffer *b, const struct abi_tensor *t, uint8_t value, size_t offset, size_t size)
{
	size_t room = size < (size_t)1 << 20 ? size : (size_t)1 << 20;
	AUTO_FREE char *bytes = malloc(room ? room : 1);

	if (!bytes)
		return false;
	memset(bytes, value, room);
	for (size_t done = 0; done < size; done += room) {
		size_t n = size - done < room ? size - done : room;

		if (!contents_set(b, t, bytes, offset + done, n))
			return false;
	}
	return true;
}

bool contents_copy(
	const struct buffer *from, struct buffer *to, const struct abi_tensor *src, const struct abi_tensor *dst)
{
	struct host *host = to->device->host;
	struct apir_tensor ws, wd;
	bool done = false;
	struct call c;

	if (!tensor_encode(host, src, &ws) || !tensor_encode(host, dst, &wd) || !session_alive(&host->session))
		return false;
	turn_begin(&c, &host->session, APIR_FN_BUFFER_CPY_TENSOR, "cpy_tensor");
	call_u64(&c, to->handle);
	call_bytes(&c, &ws, sizeof ws);
	call_bytes(&c, &wd, sizeof wd);
	if (call_run(&c) < 0 || !cursor_read_bool(&c.reply, &done))
		done = false;
	done |= loss_spread(from, to);
	turn_end(&c);
	return done;
}

bool contents_clear(const struct buffer *b, uint8_t value)
{
	struct call c;
	bool done;

	turn_begin(&c, device_session(b->device), APIR_FN_BUFFER_CLEAR, "clear");
	call_u64(&c, b->handle);
	call_u32(&c, value);
	done = call_run(&c) == 0;
	turn_end(&c);
	return done;
}
