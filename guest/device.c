/* SPDX-License-Identifier: MIT */
/*
 * Device VirtGPU0, or what GGML_VIRTGPU_NAME calls it. Its type is GPU whatever the host's device is: llama.cpp offloads
 * to GPUs only. What doesn't change is asked once, when the plugin is loaded; memory is asked every time; supports_op
 * once a signature.
 */
#include "guest/guest.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_ENV     "GGML_VIRTGPU_NAME"
#define DEFAULT_NAME "VirtGPU"
#define MAX_NAME     11
#define ALPHANUMERIC "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

static const char *dev_name(struct abi_device *d)
{
	(void)d;
	return plugin.device_name;
}

static const char *dev_description(struct abi_device *d)
{
	(void)d;
	return plugin.device_description;
}

static void host_memory(uint64_t *free_bytes, uint64_t *total)
{
	struct call c;

	turn_begin(&c, &plugin.session, APIR_FN_DEVICE_MEMORY, "get_memory");
	if (call_run(&c) < 0 || !cursor_read_u64(&c.reply, free_bytes) || !cursor_read_u64(&c.reply, total))
		*free_bytes = *total = 0;
	turn_end(&c);
}

/* What was known last, for a signal handler within another call: llama.cpp's programs ask in theirs. */
static _Atomic uint64_t last_free, last_total;

static void dev_memory(struct abi_device *d, size_t *free_bytes, size_t *total)
{
	uint64_t f = 0, t = 0;

	(void)d;
	if (!session_alive(&plugin.session)) {
		;
	} else if (entry_begin(NULL)) {
		host_memory(&f, &t);
		atomic_store(&last_free, f);
		atomic_store(&last_total, t);
		entry_end();
	} else {
		f = atomic_load(&last_free);
		t = atomic_load(&last_total);
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
	*p = (struct abi_props){
		.name = plugin.device_name,
		.description = plugin.device_description,
		.type = ABI_DEV_GPU,
		/* Ours, whatever the host's device says: a program's mapping is read here, by set_tensor, and its own page
		 * cache serves it. buffer_from_host_ptr stays false: llama.cpp would hand over its mapping, which no host
		 * can see, and give up when that is refused. */
		.mmap_support = true,
	};
	dev_memory(d, &p->memory_free, &p->memory_total);
}

static union abi_buft *dev_buffer_type(struct abi_device *d)
{
	(void)d;
	return &plugin.buft;
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

static bool host_supports(const struct abi_tensor *op, const struct signature *sig)
{
	bool yes = false;
	struct call c;
	int err;

	turn_begin(&c, &plugin.session, APIR_FN_DEVICE_SUPPORTS_OP, "supports_op");
	tensor_encode_raw(&c, op);
	err = call_run(&c);
	if (!err && cursor_read_bool(&c.reply, &yes))
		memo_put(&plugin.supports, sig, yes);
	turn_end(&c);
	return err == -EPIPE || err == -EAGAIN || yes;
}

/* In our memory, or to be: a program that only measures puts tensors into a buffer of ggml's own that has our type and no memory. */
static bool lies_here(const struct abi_tensor *t)
{
	const struct abi_buffer *b = tensor_memory(t);

	return b && b->buft == &plugin.buft;
}

/*
 * Where nobody can be asked the answer is yes: the next compute fails then, while a no about tensors that lie here already
 * would make ggml's scheduler abort the program. So it is where the protocol can't carry an operation whose result lies
 * here: a node that writes into a cache past 32 bits, say.
 */
static bool dev_supports_op(struct abi_device *d, const struct abi_tensor *op)
{
	struct signature sig;
	uint64_t answer;

	(void)d;
	if (!tensor_op_known(op))
		return false;
	if (op_idle(op))
		return true;
	if (!op_fits(op))
		return lies_here(op);
	if (!session_alive(&plugin.session) || !entry_begin("supports_op"))
		return true;
	signature_make(&sig, op);
	if (!memo_get(&plugin.supports, &sig, &answer))
		answer = host_supports(op, &sig);
	entry_end();
	return answer;
}

static bool dev_supports_buft(struct abi_device *d, union abi_buft *buft)
{
	(void)d;
	return buft == &plugin.buft;
}

static const struct abi_device device_iface = {
	.get_name = dev_name,
	.get_description = dev_description,
	.get_memory = dev_memory,
	.get_type = dev_type,
	.get_props = dev_props,
	.init_backend = stream_new,
	.get_buffer_type = dev_buffer_type,
	.supports_op = dev_supports_op,
	.supports_buft = dev_supports_buft,
};

/* A question without arguments or about the buffer type; read() takes the answer. */
static int ask(enum apir_fn fn, const char *name, bool about_buft, bool (*read)(struct cursor *, void *), void *out)
{
	struct call c;
	int err;

	turn_begin(&c, &plugin.session, fn, name);
	if (about_buft)
		call_u64(&c, plugin.buft_handle);
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

/* What both ends can beyond APIR 0.2. An older host doesn't know the question; then it is nothing. Nothing holds that
 * wasn't offered, whatever the host says. */
static void hello(void)
{
	const uint64_t offered = APIR_FEATURE_WRITE | APIR_FEATURE_NAMES | APIR_FEATURE_MEMORY | APIR_FEATURE_AGAIN |
	                         (plugin.has_counts ? APIR_FEATURE_USE_COUNTS : 0);
	uint64_t answer;
	uint32_t version;
	struct call c;

	turn_begin(&c, &plugin.session, APIR_FN_HELLO, "hello");
	call_u32(&c, APIR_HELLO_VERSION);
	call_u64(&c, offered);
	if (call_try(&c) < 0 || !cursor_read_u32(&c.reply, &version) || !cursor_read_u64(&c.reply, &answer))
		answer = 0;
	plugin.session.features = answer & offered;
	turn_end(&c);
}

/* Some programs know GPUs by their names only, so it can be chosen. */
int device_name_choose(char *err, size_t err_size)
{
	const char *name = getenv(NAME_ENV);
	size_t n = name ? strspn(name, ALPHANUMERIC) : 0;

	snprintf(plugin.device_name, sizeof plugin.device_name, DEFAULT_NAME "0");
	if (!name)
		return 0;
	if (n == 0 || n > MAX_NAME || name[n]) {
		snprintf(err, err_size, NAME_ENV " is '%.64s': give 1 to %d letters and digits, or unset it", name,
			MAX_NAME);
		return -EINVAL;
	}
	snprintf(plugin.device_name, sizeof plugin.device_name, "%s0", name);
	return 0;
}

/* Buffers' addresses here are a page's (buffer.c), and ggml counts in alignments from there. */
static bool alignment_can_be(uint64_t alignment)
{
	return alignment && !(alignment & (alignment - 1)) && alignment <= (uint64_t)sysconf(_SC_PAGESIZE);
}

int device_setup(char *err, size_t err_size)
{
	char description[160] = "";
	uint64_t max = 0, alignment = 0;
	int e = ask(APIR_FN_DEVICE_DESCRIPTION, "get_description", false, read_text, description);

	if (!e)
		e = ask(APIR_FN_DEVICE_BUFFER_TYPE, "get_buffer_type", false, read_u64, &plugin.buft_handle);
	if (!e)
		e = ask(APIR_FN_BUFT_ALIGNMENT, "get_alignment", true, read_u64, &alignment);
	if (!e && !alignment_can_be(alignment)) {
		snprintf(err, err_size,
			"%s: the host's device aligns to %" PRIu64
			" bytes, and here it can be a power of two up to a page's "
			"size: name another device or GGML library on the host (ggml.devices, ggml.library.path)",
			plugin.session.connection.transport->where, alignment);
		return -ENOTSUP;
	}
	if (!e)
		e = ask(APIR_FN_BUFT_MAX_SIZE, "get_max_size", true, read_u64, &max);
	if (!e && max == 0)
		e = -EPROTO;
	if (!e && !plugin.session.plain)
		hello();
	if (!e)
		e = names_agree();
	if (e < 0) {
		snprintf(err, err_size, "%s: the host does not describe its device (%s): see the host's log",
			plugin.session.connection.transport->where, strerror(-e));
		return e;
	}
	plugin.alignment = alignment;
	plugin.max_size = max;
	snprintf(plugin.device_description, sizeof plugin.device_description, "ggml-virtgpu: %.140s", description);
	plugin.device = device_iface;
	plugin.device.reg = &plugin.reg;
	memo_init(&plugin.supports);
	memo_init(&plugin.alloc_sizes);
	buffer_type_setup();
	return 0;
}
