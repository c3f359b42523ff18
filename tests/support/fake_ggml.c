/* SPDX-License-Identifier: MIT */
/*
 * GGML libraries with something wrong, all in one file: the registration function that is named decides what.
 * It hangs on the real libggml-base, as plugins do. Built with ACCEL, it is as BLAS is: an accelerator and nothing else.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "ggml-abi/abi.h"
#include "tests/support/breed.h"

#define EXPORT __attribute__((visibility("default")))

static const char *name(struct abi_reg *r)
{
	(void)r;
	return "fake";
}

static size_t no_devices(struct abi_reg *r)
{
	(void)r;
	return 0;
}

static size_t one_device(struct abi_reg *r)
{
	(void)r;
	return 1;
}

static const char *device_name(struct abi_device *d)
{
	(void)d;
	return "broken";
}

static struct abi_backend *no_backend(struct abi_device *d, const char *params)
{
	(void)d;
	(void)params;
	return NULL;
}

static int32_t accelerates(struct abi_device *d)
{
	(void)d;
	return ABI_DEV_ACCEL;
}

static int32_t is_gpu(struct abi_device *d)
{
	(void)d;
	return ABI_DEV_GPU;
}

static struct abi_device device = {
	.get_name = device_name, .get_description = device_name, .get_type = is_gpu, .init_backend = no_backend
};

static struct abi_device *get_device(struct abi_reg *r, size_t i)
{
	(void)r;
	return i == 0 ? &device : NULL;
}

static void *no_function(struct abi_reg *r, const char *f)
{
	(void)r;
	(void)f;
	return NULL;
}

static struct abi_reg reg = { .get_name = name, .get_device = get_device, .get_proc_address = no_function };

EXPORT struct abi_reg *fake_null(void);
EXPORT struct abi_reg *fake_null(void)
{
	return NULL;
}

EXPORT struct abi_reg *fake_no_device(void);
EXPORT struct abi_reg *fake_no_device(void)
{
	reg.api_version = ABI_API_2;
	reg.get_device_count = no_devices;
	return &reg;
}

EXPORT struct abi_reg *fake_no_backend(void);
EXPORT struct abi_reg *fake_no_backend(void)
{
	reg.api_version = ABI_API_2;
	reg.get_device_count = one_device;
	return &reg;
}

EXPORT struct abi_reg *fake_accel(void);
EXPORT struct abi_reg *fake_accel(void)
{
	reg.api_version = ABI_API_2;
	reg.get_device_count = one_device;
	device.get_type = accelerates;
	return &reg;
}

#ifdef ACCEL
EXPORT struct abi_reg *ggml_backend_init(void);
EXPORT struct abi_reg *ggml_backend_init(void)
{
	return fake_accel();
}
#endif

EXPORT struct abi_reg *fake_future(void);
EXPORT struct abi_reg *fake_future(void)
{
	reg.api_version = 99;
	reg.get_device_count = one_device;
	return &reg;
}

EXPORT struct abi_reg *fake_crash(void);
EXPORT struct abi_reg *fake_crash(void)
{
	raise(SIGKILL);
	return NULL;
}

/* Says that it is there, and stays for a while. */
static void stay(const char *path)
{
	FILE *f = fopen(path, "ae");

	prctl(PR_SET_NAME, "breed"); /* not a worker, to who looks for one */
	if (f) {
		fprintf(f, "%d\n", (int)getpid());
		fclose(f);
	}
	alarm(120);
	for (;;)
		pause();
}

/* What a guest would do that has taken a worker over: children that are to outlive it. */
EXPORT struct abi_reg *fake_breeds(void);
EXPORT struct abi_reg *fake_breeds(void)
{
	const char *path = getenv("GGML_TEST_BREED");

	if (path && fork() == 0)
		stay(path);
	if (path && fork() == 0) {
		setsid();
		if (fork())
			_exit(0);
		close_range(0, ~0u, 0);
		if (fork() == 0) {
			setsid();
			stay(path);
		}
		stay(path);
	}
	return NULL;
}

/* Starts another and ends, again and again, until nobody cares: the file is gone, or it is too late. */
static _Noreturn void outrun(const char *path, time_t late)
{
	prctl(PR_SET_NAME, "breed");
	while (access(path, F_OK) == 0 && time(NULL) < late) {
		if (fork())
			_exit(0);
		setsid();
	}
	_exit(0);
}

/* The same guest, with processes that don't wait to be ended. While there are any, the FIFO has a writer. */
EXPORT struct abi_reg *fake_outruns(void);
EXPORT struct abi_reg *fake_outruns(void)
{
	const char *path = getenv("GGML_TEST_BREED");
	const time_t late = time(NULL) + OUTRUN_S;

	if (!path || open(path, O_WRONLY) < 0) /* all of them inherit it */
		return NULL;
	for (int i = 0; i < OUTRUNNERS; i++) {
		if (fork() == 0)
			outrun(path, late);
	}
	return NULL;
}

EXPORT struct abi_backend *fake_init(size_t device_number);
EXPORT struct abi_backend *fake_init(size_t device_number)
{
	(void)device_number;
	return NULL;
}
