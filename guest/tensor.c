/* SPDX-License-Identifier: MIT */
/* See tensor.h. */
#include "guest/tensor.h"

#include <string.h>

#include "guest/buffer.h"

/* A stride over which nothing is ever stepped may be anything. */
static bool steps_beyond(const struct abi_tensor *t, int dim)
{
	for (int i = dim; i < ABI_DIMS; i++) {
		if (t->ne[i] > 1)
			return true;
	}
	return false;
}

bool tensor_fits(const struct abi_tensor *t)
{
	for (int i = 0; i < ABI_DIMS; i++) {
		if (t->ne[i] < 0 || t->ne[i] > UINT32_MAX || (t->nb[i] > UINT32_MAX && (i == 0 || steps_beyond(t, i))))
			return false;
	}
	return true;
}

static bool type_known(const struct host *host, const struct abi_tensor *t)
{
	return !t || abi_number(&host->numbers, ABI_TYPES, t->type) >= 0;
}

const char *tensor_fault(const struct host *host, const struct abi_tensor *t)
{
	if (!buffer_of(t))
		return buffer_under(t) ? "lies in another backend's buffer: whoever made this graph has to copy it to "
		                         "this device's first"
		                       : "lies in no buffer: whoever made this graph has to allocate it first";
	if (!tensor_fits(t))
		return "has a dimension or stride past 32 bits, more than APIR 0.2 carries: use a shorter context or "
		       "fewer sequences";
	if (!type_known(host, t))
		return "has a type that the host's ggml doesn't have: update the older of the two";
	return NULL;
}

uint32_t tensor_memory_told(const struct host *host, const struct buffer *b)
{
	const struct abi_buffer *object = b->object;

	return object && host->session.features & APIR_FEATURE_MEMORY ? (uint32_t)object->usage + 1 : 0;
}

bool tensor_encode_shape(const struct host *host, const struct abi_tensor *t, struct apir_tensor *w)
{
	if (!tensor_fits(t) || !type_known(host, t))
		return false;
	memset(w, 0, sizeof *w);
	w->type = (uint32_t)abi_number(&host->numbers, ABI_TYPES, t->type);
	for (int i = 0; i < ABI_DIMS; i++) {
		w->ne[i] = (uint32_t)t->ne[i];
		w->nb[i] = t->nb[i] > UINT32_MAX ? UINT32_MAX : (uint32_t)t->nb[i];
	}
	w->flags = t->flags;
	return true;
}

bool tensor_encode(const struct host *host, const struct abi_tensor *t, struct apir_tensor *w)
{
	const struct buffer *b = buffer_of(t);

	if (!b || !tensor_encode_shape(host, t, w))
		return false;
	w->id = (uintptr_t)t;
	w->memory = tensor_memory_told(host, b);
	w->buffer = b->handle;
	w->data = (uint64_t)((char *)t->data - b->base);
	memcpy(w->name, t->name, sizeof w->name);
	return true;
}

bool tensor_encode_op(const struct host *host, const struct abi_tensor *t, struct apir_tensor *w)
{
	int32_t op = t->op;

	memcpy(w->op_params, t->op_params, sizeof w->op_params);
	if (!abi_numbers_op(&host->numbers, &op, &w->op_params[0]))
		return false;
	w->op = (uint32_t)op;
	return true;
}

bool tensor_types_known(const struct host *host, const struct abi_tensor *t)
{
	bool known = type_known(host, t) && type_known(host, t->view_src);

	for (int i = 0; i < ABI_SRCS; i++)
		known &= type_known(host, t->src[i]);
	return known;
}

bool tensor_op_known(const struct host *host, const struct abi_tensor *t)
{
	int32_t op = t->op, param = t->op_params[0];

	return abi_numbers_op(&host->numbers, &op, &param) && tensor_types_known(host, t);
}

static void raw_copy(const struct host *host, const struct abi_tensor *t, struct abi_tensor *copy)
{
	*copy = *t;
	copy->buffer = NULL;
	copy->data = copy->extra = NULL;
	copy->type = abi_number(&host->numbers, ABI_TYPES, t->type);
	/* Of a source only the data counts, whatever made it. */
	if (!abi_numbers_op(&host->numbers, &copy->op, &copy->op_params[0])) {
		copy->op = 0;
		memset(copy->op_params, 0, sizeof copy->op_params);
	}
}

/*
 * The operation, what it views, and its sources up to the first gap, as upstream's host reads them: a non-NULL
 * pointer says that a struct follows. Sources behind a gap come last, each with its slot, and upstream's host
 * doesn't see them; it would follow their pointers, so those are cleared.
 */
void tensor_encode_raw(struct call *c, const struct host *host, const struct abi_tensor *op)
{
	struct abi_tensor copy;
	int gap = 0;

	raw_copy(host, op, &copy);
	while (gap < ABI_SRCS && op->src[gap])
		gap++;
	for (int i = gap; i < ABI_SRCS; i++)
		copy.src[i] = NULL;
	call_bytes(c, &copy, sizeof copy);
	if (op->view_src) {
		raw_copy(host, op->view_src, &copy);
		call_bytes(c, &copy, sizeof copy);
	}
	for (int i = 0; i < ABI_SRCS; i++) {
		if (!op->src[i])
			continue;
		if (i > gap)
			call_u32(c, (uint32_t)i);
		raw_copy(host, op->src[i], &copy);
		call_bytes(c, &copy, sizeof copy);
	}
}
