/* SPDX-License-Identifier: MIT */
/* The device's buffer type: what the host said of it once, and the sizes that it is asked for, remembered. */
#include "guest/guest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "guest/say.h"

static const char *buft_name(union abi_buft *buft)
{
	(void)buft;
	return plugin.device_name;
}

/*
 * What ggml is told of a tensor that the protocol can't carry: more than any device has, so that asking for memory fails as
 * it does where there is too little, before anything is in it. Some thousands can be summed up.
 */
#define NOT_TO_BE_HAD ((size_t)1 << 50)

/* The last such tensor, to tell of when its memory is asked for. */
static struct {
	pthread_mutex_t lock;
	char text[256];
} refused = { .lock = PTHREAD_MUTEX_INITIALIZER };

static size_t alloc_size_refused(const struct abi_tensor *t)
{
	pthread_mutex_lock(&refused.lock);
	snprintf(refused.text, sizeof refused.text, "'%.64s', %" PRId64 " x %" PRId64 " x %" PRId64 " x %" PRId64,
		t->name, t->ne[0], t->ne[1], t->ne[2], t->ne[3]);
	pthread_mutex_unlock(&refused.lock);
	return NOT_TO_BE_HAD;
}

/* Empty where there is nothing to tell. */
static void refusal_take(char text[sizeof refused.text])
{
	text[0] = '\0';
	if (!entry_begin("alloc_buffer"))
		return;
	pthread_mutex_lock(&refused.lock);
	memcpy(text, refused.text, sizeof refused.text);
	refused.text[0] = '\0';
	pthread_mutex_unlock(&refused.lock);
	entry_end();
}

static struct abi_buffer *buft_alloc(union abi_buft *buft, size_t size)
{
	char text[sizeof refused.text] = "";

	(void)buft;
	if (size >= NOT_TO_BE_HAD)
		refusal_take(text);
	if (!text[0])
		return buffer_new(size);
	say_error(
		"alloc_buffer: no memory for tensor %s: a dimension or stride of it passes 32 bits, more than APIR 0.2 "
		"carries: use a shorter context or fewer sequences",
		text);
	return NULL;
}

static size_t buft_alignment(union abi_buft *buft)
{
	(void)buft;
	return plugin.alignment;
}

static size_t buft_max_size(union abi_buft *buft)
{
	(void)buft;
	return plugin.max_size;
}

/* 0: the host doesn't say. */
static uint64_t host_alloc_size(const struct abi_tensor *t, size_t least)
{
	uint64_t size = 0;
	struct call c;

	turn_begin(&c, &plugin.session, APIR_FN_BUFT_ALLOC_SIZE, "get_alloc_size");
	call_u64(&c, plugin.buft_handle);
	tensor_encode_raw(&c, t);
	if (call_run(&c) < 0 || !cursor_read_u64(&c.reply, &size) || size < least)
		size = 0;
	turn_end(&c);
	return size;
}

/* Devices pad rows of quantised types, and some operations need memory behind their result: only the host knows. */
static size_t buft_alloc_size(union abi_buft *buft, const struct abi_tensor *t)
{
	size_t plain = plugin.fn.nbytes(t);
	struct signature sig;
	uint64_t size = 0;

	(void)buft;
	if (!tensor_types_known(t)) /* not to be asked about, nor to be computed with */
		return plain;
	if (!session_alive(&plugin.session) || !entry_begin("get_alloc_size"))
		return plain;
	signature_make(&sig, t);
	if (!t->view_src && !tensor_fits(t)) {
		size = alloc_size_refused(t);
	} else if (!memo_get(&plugin.alloc_sizes, &sig, &size)) {
		size = host_alloc_size(t, plain);
		if (size)
			memo_put(&plugin.alloc_sizes, &sig, size);
	}
	entry_end();
	return size ? size : plain;
}

static bool buft_is_host(union abi_buft *buft)
{
	(void)buft;
	return false;
}

void buffer_type_setup(void)
{
	static const struct abi_buft_i iface = {
		.get_name = buft_name,
		.alloc_buffer = buft_alloc,
		.get_alignment = buft_alignment,
		.get_max_size = buft_max_size,
		.get_alloc_size = buft_alloc_size,
		.is_host = buft_is_host,
	};

	abi_buft_init(&plugin.buft, plugin.api, &iface, &plugin.device, NULL);
}
