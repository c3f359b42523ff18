/* SPDX-License-Identifier: MIT */
/*
 * A program that ends while a child of its lives on: it has a buffer and a stream on VirtGPU0 and forks; the child asks for the
 * device, which it can't have, and sleeps. Prints the child's process id.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ggml-backend.h>

#define ENOUGH 600 /* s: the test ends it */

/* In the child. Its answer goes over the pipe, since the program's own output has to come to its end. */
static void live_on(ggml_backend_dev_t device, int answer)
{
	char got = ggml_backend_dev_init(device, NULL) ? 'y' : 'n';
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		_exit(1);
	if (write(answer, &got, 1) != 1)
		_exit(1);
	close(answer);
	sleep(ENOUGH);
	_exit(0);
}

int main(void)
{
	const char *path = getenv("GGML_BACKEND_PATH");
	ggml_backend_dev_t device;
	int answer[2];
	char got = 0;
	pid_t child;

	if (!path || !ggml_backend_load(path) || !(device = ggml_backend_dev_by_name("VirtGPU0")) ||
		!ggml_backend_dev_init(device, NULL) ||
		!ggml_backend_buft_alloc_buffer(ggml_backend_dev_buffer_type(device), 1 << 20)) {
		fprintf(stderr, "forks: no device\n");
		return 1;
	}
	if (pipe(answer) < 0 || (child = fork()) < 0) {
		perror("forks");
		return 1;
	}
	if (child == 0)
		live_on(device, answer[1]);
	if (read(answer[0], &got, 1) != 1 || got != 'n') {
		fprintf(stderr, "forks: the child has %s\n", got == 'y' ? "the device" : "no answer");
		return 1;
	}
	printf("%ld\n", (long)child);
	return 0;
}
