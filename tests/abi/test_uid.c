/* SPDX-License-Identifier: MIT */
/*
 * Where a graph's uid is, against the real ggml: its scheduler gives the graph one of its own.
 *   test_uid LIBGGML-CPU
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ggml-abi/counts.h"
#include "ggml-abi/uid.h"

static int failed, passed;

static void check(const char *what, bool ok)
{
	printf("%s - %s\n", ok ? "ok" : "not ok", what);
	if (ok)
		passed++;
	else
		failed++;
}

static void function_get(void *handle, const char *name, void *f)
{
	void *address = dlsym(handle, name);

	if (!address) {
		printf("Bail out! no %s in the library\n", name);
		exit(1);
	}
	memcpy(f, &address, sizeof address);
}

int main(int argc, char **argv)
{
	void *handle = argc == 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
	void *(*sched_new)(struct abi_backend **, union abi_buft **, int, size_t, bool, bool);
	bool (*sched_alloc)(void *, struct abi_graph *);
	void (*sched_reset)(void *), (*sched_free)(void *);
	struct abi_tensor *(*add)(struct abi_context *, struct abi_tensor *, struct abi_tensor *);
	void (*expand)(struct abi_graph *, struct abi_tensor *);
	struct abi_reg *(*reg)(void);
	struct abi_graph *graph, *other;
	struct abi_backend *backend;
	struct abi_context *ctx;
	struct abi_tensor *a, *sum;
	struct abi_symbols fn;
	const char *missing;
	uint64_t first;
	float v = 3;
	void *sched;

	if (!handle || abi_symbols_load(&fn, handle, &missing) < 0) {
		fprintf(stderr, "usage: test_uid LIBGGML-CPU\n");
		return 2;
	}
	function_get(handle, "ggml_backend_init", &reg);
	function_get(handle, "ggml_add", &add);
	function_get(handle, "ggml_build_forward_expand", &expand);
	function_get(handle, "ggml_backend_sched_new", &sched_new);
	function_get(handle, "ggml_backend_sched_alloc_graph", &sched_alloc);
	function_get(handle, "ggml_backend_sched_reset", &sched_reset);
	function_get(handle, "ggml_backend_sched_free", &sched_free);
	printf("# ggml %s\n", fn.version());
	check("a new graph's uid is where we expect it", abi_uid_check(&fn));
	if (failed)
		return 1;

	backend = fn.dev_init(fn.reg_dev_get(reg(), 0), NULL);
	sched = sched_new(&backend, NULL, 1, 64, false, false);
	ctx = fn.init((struct abi_init_params){ .mem_size = 1 << 20, .no_alloc = true });
	a = fn.new_tensor_4d(ctx, 0, 1, 1, 1, 1);
	sum = add(ctx, a, a);
	graph = fn.new_graph_custom(ctx, 16, false);
	other = fn.new_graph_custom(ctx, 16, false);
	expand(graph, sum);
	check("one that was built has none", abi_uid_get(graph) == 0);
	check("it can be scheduled", sched_alloc(sched, graph));
	first = abi_uid_get(graph);
	check("one that was scheduled has ggml's", first != 0 && first < UINT64_C(1) << 32);
	sched_reset(sched);
	a->data = sum->data = NULL;
	a->buffer = sum->buffer = NULL;
	check("it can be scheduled again", sched_alloc(sched, graph));
	check("it is no part that the scheduler has made", abi_uid_of_split(graph) == 0);
	check("it has another then", abi_uid_get(graph) != 0 && abi_uid_get(graph) != first);

	abi_uid_renew(graph);
	abi_uid_renew(other);
	first = abi_uid_get(graph);
	check("ours is none of ggml's and no other's", first >> 32 && first != abi_uid_get(other));
	abi_uid_renew(graph);
	check("renewed it is another", abi_uid_get(graph) != first && abi_uid_get(graph) != abi_uid_get(other));
	fn.tensor_set(a, &v, 0, sizeof v);
	check("with it the graph is computed", fn.graph_compute(backend, graph) == ABI_STATUS_SUCCESS);
	fn.tensor_get(sum, &v, 0, sizeof v);
	check("rightly", v == 6);
	check("its two tensors are counted", abi_counted(graph) == 2);
	expand(graph, add(ctx, sum, sum));
	check("and another one is", abi_counted(graph) == 3);
	sched_free(sched);
	fn.free(ctx);
	fn.backend_free(backend);
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}
