/* SPDX-License-Identifier: MIT */
/*
 * Device VirtGPU0, or what GGML_VIRTGPU_NAME calls it. Its type is GPU whatever the host's device is: llama.cpp offloads
 * to GPUs only. Its memory is asked for every time; supports_op once a signature.
 */
#include "guest/device_slots.h"

#include <errno.h>

#include "guest/buffer.h"
#include "guest/entry.h"
#include "guest/event.h"
#include "guest/shared_buffer.h"
#include "guest/stream.h"
#include "guest/tensor.h"
#include "guest/turn.h"

static const char *dev_name(struct abi_device *d)
{
	return device_of(d)->name;
}

static const char *dev_description(struct abi_device *d)
{
	return device_of(d)->description;
}

static void dev_memory_ask(struct device *dev, uint64_t *free_bytes, uint64_t *total)
{
	struct call c;

	turn_begin(&c, device_session(dev), APIR_FN_DEVICE_MEMORY, "get_memory");
	if (call_run(&c) < 0 || !cursor_read_u64(&c.reply, free_bytes) || !cursor_read_u64(&c.reply, total))
		*free_bytes = *total = 0;
	turn_end(&c);
}

/* A signal handler within another call gets what was known last: llama.cpp's programs ask in theirs. */
static void dev_memory(struct abi_device *d, size_t *free_bytes, size_t *total)
{
	struct device *dev = device_of(d);
	uint64_t f = 0, t = 0;

	if (!session_alive(device_session(dev))) {
		;
	} else if (entry_begin(NULL)) {
		dev_memory_ask(dev, &f, &t);
		atomic_store(&dev->last_free, f);
		atomic_store(&dev->last_total, t);
		entry_end();
	} else {
		f = atomic_load(&dev->last_free);
		t = atomic_load(&dev->last_total);
	}
	*free_bytes = f;
	*total = t;
}

static int32_t dev_type(struct abi_device *d)
{
	(void)d;
	return ABI_DEV_GPU;
}

static void dev_props(struct abi_device *d, struct abi_props *p)
{
	const struct device *dev = device_of(d);

	*p = (struct abi_props){
		.name = dev->name,
		.description = dev->description,
		.type = ABI_DEV_GPU,
		/* Ours, whatever the host's device says: a program's mapping is read here, by set_tensor, and its own page
		 * cache serves it. buffer_from_host_ptr stays false: llama.cpp would hand over its mapping, which no host
		 * can see, and give up when that is refused. */
		.mmap_support = true,
		.async = true, /* our streams' own truth: stream.c */
		.events = true,
		.host_buffer = shared_buffer_type(device_of(d)) != NULL,
	};
	dev_memory(d, &p->memory_free, &p->memory_total);
}

static union abi_buft *dev_buffer_type(struct abi_device *d)
{
	return &device_of(d)->buft;
}

static union abi_buft *dev_shared_buffer_type(struct abi_device *d)
{
	return shared_buffer_type(device_of(d));
}

static bool op_fits(const struct abi_tensor *op)
{
	if (!tensor_fits(op))
		return false;
	for (int i = 0; i < ABI_SRCS; i++) {
		if (op->src[i] && !tensor_fits(op->src[i]))
			return false;
	}
	return true;
}

static bool dev_supports_ask(struct device *dev, const struct abi_tensor *op, const struct signature *sig)
{
	bool yes = false;
	struct call c;
	int err;

	turn_begin(&c, device_session(dev), APIR_FN_DEVICE_SUPPORTS_OP, "supports_op");
	tensor_encode_raw(&c, dev->host, op);
	err = call_run(&c);
	if (!err && cursor_read_bool(&c.reply, &yes))
		memo_put(&dev->supports, sig, yes);
	turn_end(&c);
	return err == -EPIPE || err == -EAGAIN || yes;
}

/* In our memory, or to be: a program that only measures puts tensors into a buffer of ggml's own that has our type and no memory. */
static bool lies_here(const struct device *dev, const struct abi_tensor *t)
{
	const struct abi_buffer *b = buffer_under(t);

	return b && b->buft == &dev->buft;
}

/*
 * Where nobody can be asked the answer is yes: the next compute fails then, while a no about tensors that lie here already
 * would make ggml's scheduler abort the program. So it is where the protocol can't carry an operation whose result lies
 * here: a node that writes into a cache past 32 bits, say.
 */
static bool dev_supports_op(struct abi_device *d, const struct abi_tensor *op)
{
	struct device *dev = device_of(d);
	struct signature sig;
	uint64_t answer;

	if (!tensor_op_known(dev->host, op))
		return false;
	if (own_op_idle(op))
		return true;
	if (!op_fits(op))
		return lies_here(dev, op);
	if (!session_alive(device_session(dev)) || !entry_begin("supports_op"))
		return true;
	signature_make(&sig, op);
	if (!memo_get(&dev->supports, &sig, &answer))
		answer = dev_supports_ask(dev, op, &sig);
	entry_end();
	return answer;
}

static bool dev_supports_buft(struct abi_device *d, union abi_buft *buft)
{
	return buft == &device_of(d)->buft;
}

static const struct abi_device device_iface = {
	.get_name = dev_name,
	.get_description = dev_description,
	.get_memory = dev_memory,
	.get_type = dev_type,
	.get_props = dev_props,
	.init_backend = stream_new,
	.get_buffer_type = dev_buffer_type,
	.get_host_buffer_type = dev_shared_buffer_type,
	.supports_op = dev_supports_op,
	.supports_buft = dev_supports_buft,
	.event_new = event_new,
	.event_free = event_free,
	.event_synchronize = event_synchronize,
};

void device_slots_init(struct device *dev, struct abi_reg *reg)
{
	dev->object = device_iface;
	dev->object.reg = reg;
	dev->object.context = dev;
}
