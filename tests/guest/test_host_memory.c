/* SPDX-License-Identifier: MIT */
/* A host's memory: what a device on host memory says of it, and what is said when there is none left. */
#include "tests/guest/scenario.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "platform/memory.h"
#include "tests/support/cgroup.h"
#include "tests/support/process.h"

#define MIB   (UINT64_C(1) << 20)
#define LIMIT (512 * MIB)

static struct memory asked(const struct program *p)
{
	size_t free_bytes = 0, total = 0;

	p->g.dev_memory(p->dev, &free_bytes, &total);
	return (struct memory){ .total = total, .free = free_bytes };
}

static struct abi_buffer *filled(const struct program *p, uint64_t size)
{
	struct abi_buffer *b = p->g.buft_alloc_buffer(p->g.dev_buffer_type(p->dev), size);

	CHECK(b);
	p->g.buffer_clear(b, 1);
	return b;
}

/* What others use isn't free; other tests use memory too meanwhile. */
SCENARIO(a_device_on_host_memory_has_what_the_machine_has_left)
{
	struct memory machine, device;
	struct program p;

	(void)unused;
	program_start(&p, server.socket);
	CHECK(memory_look(&machine));
	device = asked(&p);
	CHECK(device.total == machine.total);
	CHECK(device.free < device.total);
	CHECK(device.free < machine.free + machine.total / 4 && device.free + machine.total / 4 > machine.free);
	program_end(&p);
}

static void enter_and_ask(void *group)
{
	struct memory before, after;
	struct abi_buffer *b;
	struct program p;

	CHECK(cgroup_enter(group));
	CHECK(server_start(&server, NULL));
	program_start(&p, server.socket);
	before = asked(&p);
	CHECK(before.total == LIMIT);
	CHECK(before.free < LIMIT && before.free > LIMIT / 2);
	b = filled(&p, 128 * MIB);
	after = asked(&p);
	CHECK(after.total == LIMIT);
	CHECK(after.free + 120 * MIB < before.free);
	p.g.buffer_free(b);
	program_end(&p);
	server_stop(&server);
}

/* The kernel ends the worker, not the server, nor its door, nor this program. */
static void enter_and_take_too_much(void *group)
{
	struct abi_buffer *b;
	struct program p;
	pid_t door;

	CHECK(cgroup_enter(group));
	CHECK(server_start(&server, NULL));
	program_start(&p, server.socket);
	door = server_door(&server);
	b = p.g.buft_alloc_buffer(p.g.dev_buffer_type(p.dev), 2 * LIMIT);
	CHECK(b);
	p.g.buffer_clear(b, 1);
	p.g.synchronize(p.gpu);
	CHECK(server_said(&server,
		"its worker was ended by signal 9 (Killed), as the kernel does when memory is out (ended so since it "
		"started: 1 in its cgroup): the context is lost, others go on"));
	CHECK(door && !process_ends(server.pid, 0));
	p.g.buffer_free(b);
	program_end(&p);
	server_stop(&server);
}

static void write_to(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static _Noreturn void take_all(void)
{
	char *p = mmap(NULL, 4 * LIMIT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	write_to("/proc/self/oom_score_adj", "1000");
	memset(p, 1, 4 * LIMIT);
	_exit(0);
}

/* The kernel has ended another process; this worker has taken no memory. */
static void enter_and_be_killed_after_another(void *group)
{
	struct program p;
	pid_t glutton, worker;
	int status;

	CHECK(cgroup_enter(group));
	CHECK(server_start(&server, NULL));
	program_start(&p, server.socket);
	worker = server_worker(&server);
	CHECK(worker > 1);
	glutton = fork();
	if (glutton == 0)
		take_all();
	CHECK(waitpid(glutton, &status, 0) == glutton && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK(kill(worker, SIGKILL) == 0);
	CHECK(server_said(&server,
		"its worker was ended by signal 9 (Killed), as the kernel does when memory is out (ended so since it "
		"started: 1 in its cgroup): the context is lost, others go on"));
	program_end(&p);
	server_stop(&server);
}

enum { SKIPPED = 77 };

/* The hierarchy as a container may see it: its group's files at the root, and no folder of the name that it has. */
static void look_from_a_container(void *procs)
{
	struct memory m;
	char text[32];

	write_to(procs, "0");
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("none", "/sys/fs/cgroup", "tmpfs", 0, NULL))
		_exit(SKIPPED);
	snprintf(text, sizeof text, "%llu\n", (unsigned long long)LIMIT);
	write_to("/sys/fs/cgroup/memory.max", text);
	write_to("/sys/fs/cgroup/memory.current", "1048576\n");
	CHECK(memory_look(&m));
	CHECK(m.total == LIMIT && m.free == LIMIT - MIB);
}

static void in_a_cgroup(void (*fn)(void *))
{
	struct cgroup group;
	int status;

	if (!cgroup_make(&group, LIMIT)) {
		print_message("no cgroups of memory here that we may make\n");
		skip();
	}
	status = child_run(fn, &group);
	cgroup_remove(&group);
	assert_int_equal(status, 0);
}

static void a_device_on_host_memory_has_what_its_cgroup_has_left(void **state)
{
	(void)state;
	in_a_cgroup(enter_and_ask);
}

static void a_container_that_sees_its_group_as_the_root_has_its_limit(void **state)
{
	const char *root = access("/sys/fs/cgroup/unified", R_OK) ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
	char group[128], procs[160];
	int status;

	(void)state;
	snprintf(group, sizeof group, "%s/ggml-virtgpu-test-%d", root, (int)getpid());
	snprintf(procs, sizeof procs, "%s/cgroup.procs", group);
	if (mkdir(group, 0755) < 0 || access(procs, W_OK) < 0) {
		rmdir(group);
		print_message("no cgroups of version 2 here that we may make\n");
		skip();
	}
	status = child_run(look_from_a_container, procs);
	for (int i = 0; i < 1000 && rmdir(group) < 0; i++)
		usleep(10000);
	if (status == SKIPPED) {
		print_message("no namespaces of mounts here that we may make\n");
		skip();
	}
	assert_int_equal(status, 0);
}

static void a_worker_that_takes_all_memory_is_the_one_that_ends_and_the_log_says_why(void **state)
{
	(void)state;
	in_a_cgroup(enter_and_take_too_much);
}

static void a_killed_worker_is_not_said_to_have_wanted_memory_because_another_did(void **state)
{
	(void)state;
	in_a_cgroup(enter_and_be_killed_after_another);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_device_on_host_memory_has_what_the_machine_has_left, server_up, server_down),
		cmocka_unit_test(a_device_on_host_memory_has_what_its_cgroup_has_left),
		cmocka_unit_test(a_container_that_sees_its_group_as_the_root_has_its_limit),
		cmocka_unit_test(a_worker_that_takes_all_memory_is_the_one_that_ends_and_the_log_says_why),
		cmocka_unit_test(a_killed_worker_is_not_said_to_have_wanted_memory_because_another_did),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
