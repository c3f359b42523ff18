/* SPDX-License-Identifier: MIT */
/*
 * See probe.h. An object is an array of slots; every slot holds a function that notes its own index and returns
 * zero. An accessor then tells where it expects its function: get_alignment is slot 2 in API 2 and slot 3 in API 3.
 */
#include "ggml-abi/probe.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/util.h"

#define N_SLOTS 18

static _Thread_local int called;

#define SLOT(n)                                                                                                        \
	static size_t slot_##n(void)                                                                                   \
	{                                                                                                              \
		called = n;                                                                                            \
		return 0;                                                                                              \
	}
SLOT(0)
SLOT(1) SLOT(2) SLOT(3) SLOT(4) SLOT(5) SLOT(6) SLOT(7) SLOT(8) SLOT(9) SLOT(10) SLOT(11) SLOT(12) SLOT(13) SLOT(
	14) SLOT(15) SLOT(16) SLOT(17)

	static size_t (*const recorders[N_SLOTS])(void) = { slot_0, slot_1, slot_2, slot_3, slot_4, slot_5, slot_6,
		slot_7, slot_8, slot_9, slot_10, slot_11, slot_12, slot_13, slot_14, slot_15, slot_16, slot_17 };

/* Larger than any object and filled to the end, so that an unexpected layout still lands on a recorder. */
union object {
	size_t (*slots[N_SLOTS])(void);
	union abi_buft buft;
	struct abi_device device;
	struct abi_reg reg;
};

static void object_init(union object *o, size_t first)
{
	memset(o, 0, sizeof *o);
	for (size_t i = first; i < N_SLOTS; i++)
		o->slots[i] = recorders[i - first];
}

int abi_probe(const struct abi_symbols *s, void *handle, enum abi_version *api, char *err, size_t err_size)
{
	bool has_n = dlsym(handle, "ggml_backend_buft_alloc_buffer_n") != NULL;
	const char *version = s->version();
	int alignment, supports, count;
	unsigned major = 0, minor = 0;
	union object o;
	size_t f, t;

	object_init(&o, 0);
	called = -1;
	s->buft_get_alignment(&o.buft);
	alignment = called;
	called = -1;
	s->dev_memory(&o.device, &f, &t);
	supports = called == 2 ? 0 : -1;
	called = -1;
	s->dev_type(&o.device);
	supports |= called == 3 ? 0 : -1;
	object_init(&o, 1); /* a registry begins with its API version */
	called = -1;
	s->reg_dev_count(&o.reg);
	count = called;
	sscanf(version, "%u.%u", &major, &minor);
	if (supports == 0 && count == 1 && major == 0) {
		if (alignment == 2 && !has_n && minor >= 21 && minor < 27) {
			*api = ABI_API_2;
			return 0;
		}
		if (alignment == 3 && has_n && minor >= 26) {
			*api = ABI_API_3;
			return 0;
		}
	}
	snprintf(
		err, err_size, "ggml %s has a plugin interface that we don't know; supported: " ABI_SUPPORTED, version);
	return -EPROTO;
}
