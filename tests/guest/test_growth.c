/* SPDX-License-Identifier: MIT */
/* 100,000 graphs and as many inputs of one program: neither its door process nor its worker grows. */
#include "tests/guest/scenario.h"

#include <stdio.h>

#include "tests/support/process.h"
#include "tests/support/sanitized.h"

#define WARM_UP 1000
#define ROUNDS (SANITIZED ? 5000 : 100000)

static void rounds_run(const struct program *p, struct net *n, int rounds)
{
	for (int i = 0; i < rounds; i++) {
		net_input(n, p, (uint32_t)i);
		CHECK(p->g.graph_compute(p->gpu, n->graph) == ABI_STATUS_SUCCESS);
	}
}

SCENARIO(neither_door_nor_worker_grows)
{
	long before[2], after[2];
	struct program p;
	struct net n;
	pid_t of[2];

	(void)unused;
	program_start(&p, server.socket);
	of[0] = server_door(&server);
	of[1] = server_worker(&server);
	CHECK(of[0] && of[1]);
	net_make(&n, &p, p.gpu, 32, 2, 1);
	rounds_run(&p, &n, WARM_UP);
	for (int i = 0; i < 2; i++)
		before[i] = process_status(of[i], "VmRSS");
	rounds_run(&p, &n, ROUNDS);
	for (int i = 0; i < 2; i++)
		after[i] = process_status(of[i], "VmRSS");
	printf("door %ld -> %ld KiB, worker %ld -> %ld KiB\n", before[0], after[0], before[1], after[1]);
	for (int i = 0; i < 2; i++) {
		CHECK(before[i] > 0 && after[i] > 0);
		CHECK(SANITIZED || after[i] - before[i] < before[i] / 100);
	}
	net_free(&n, &p);
	program_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(neither_door_nor_worker_grows),
	};

	return cmocka_run_group_tests(tests, server_up, server_down);
}
