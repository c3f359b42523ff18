/* SPDX-License-Identifier: MIT */
/* 100,000 graphs and as many sets in one context: nobody's memory grows. */
#include "tests/support/cm.h"

#include <stdio.h>
#include <string.h>

#include "tests/protocol/fixture.h"
#include "tests/support/process.h"
#include "tests/support/sanitized.h"

#define WARM_UP 1000
#define ROUNDS (SANITIZED ? 10000 : 100000)

/* Ten different graphs, so that some are kept and some are built anew, and now and then a refused one. */
static void rounds_run(int n)
{
	for (int i = 0; i < n; i++) {
		struct wire_graph w = graph_add(&g);

		for (int t = 0; t < 3; t++)
			w.tensors[t].data += (uint64_t)(i % 10) * 256;
		memset(g.data.ptr, i, 32);
		if (tensor_set(&g, g.buffer, &w.tensors[0], 0, 32) != 0 || graph_try(&g, &w) != 0)
			fail_msg("round %d", i);
		if (i % 100 == 0) {
			w.tensors[2].src[0] = 99;
			assert_int_equal(graph_try(&g, &w), REFUSED);
		}
		if (i % 1000 == 0) {
			uint64_t b = buffer_alloc(&g, 1 << 20);

			assert_true(b != 0);
			assert_int_equal(buffer_free(&g, b), 0);
		}
	}
}

static void memory_does_not_grow(void **state)
{
	pid_t worker = host_worker(h);
	long before[2], after[2];

	(void)state;
	rounds_run(WARM_UP);
	before[0] = process_status(worker, "VmRSS");
	before[1] = process_status(getpid(), "VmRSS");
	rounds_run(ROUNDS);
	after[0] = process_status(worker, "VmRSS");
	after[1] = process_status(getpid(), "VmRSS");
	printf("worker %ld -> %ld KiB, this process %ld -> %ld KiB\n", before[0], after[0], before[1], after[1]);
	assert_int_equal(host_worker(h), worker);
	if (SANITIZED)
		return;
	assert_true(before[0] > 0 && after[0] - before[0] < before[0] / 100);
	assert_true(before[1] > 0 && after[1] - before[1] < before[1] / 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(memory_does_not_grow, open_ready, close_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
