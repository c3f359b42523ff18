/* SPDX-License-Identifier: MIT */
/* What a device of ours has counted between two moments (guest/counters.h); others' count nothing. */
#ifndef BENCH_COUNTED_H
#define BENCH_COUNTED_H

#include <stdio.h>

#include <ggml-backend.h>

#include "../guest/counters.h"

struct counted {
	ggml_backend_virtgpu_counters_t read; /* NULL: the device doesn't count */
	ggml_backend_dev_t dev;
	struct ggml_backend_virtgpu_counters from, to;
};

/* dev: NULL: none. */
static inline struct counted counted_of(ggml_backend_dev_t dev)
{
	struct counted c = { .dev = dev };

	if (dev)
		*(void **)&c.read = ggml_backend_reg_get_proc_address(
			ggml_backend_dev_backend_reg(dev), GGML_BACKEND_VIRTGPU_COUNTERS);
	return c;
}

static inline void counted_look(const struct counted *c, struct ggml_backend_virtgpu_counters *out)
{
	*out = (struct ggml_backend_virtgpu_counters){ .size = sizeof *out };
	if (c->read)
		c->read(c->dev, out);
}

static inline void counted_begin(struct counted *c)
{
	counted_look(c, &c->from);
}

static inline void counted_end(struct counted *c)
{
	counted_look(c, &c->to);
}

/* As a member of a JSON object, behind others: each of n steps. */
static inline void counted_print(const struct counted *c, const char *step, double n)
{
#define COUNTED(member) (double)(c->to.member - c->from.member) / n
	if (!c->read)
		return;
	printf(", \"counted_%s\": {\"by_ring\": %.2f, \"by_door\": %.2f, \"doorbells\": %.2f, \"command_bytes\": %.0f, "
	       "\"waits\": %.2f, \"parked\": %.2f, \"parked_us\": %.2f, \"graphs\": %.2f, \"graphs_again\": %.2f, "
	       "\"graphs_written\": %.2f, \"nodes_written\": %.1f, \"set_bytes\": %.0f, \"get_bytes\": %.0f}",
		step, COUNTED(by_ring), COUNTED(by_door), COUNTED(doorbells), COUNTED(command_bytes), COUNTED(waits),
		COUNTED(parked), COUNTED(parked_ns) * 1e-3, COUNTED(graphs), COUNTED(graphs_again),
		COUNTED(graphs_written), COUNTED(nodes_written), COUNTED(set_bytes), COUNTED(get_bytes));
#undef COUNTED
}

#endif
