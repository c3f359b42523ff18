/* SPDX-License-Identifier: MIT */
/*
 * How long a guest's I/O takes: responsive SECONDS DISK CONSOLE writes 4 KiB to the disk, past every cache, and a line to
 * the console, again and again, and prints "n N median_ms A p99_ms B max_ms C" of one such round. Both are served by the
 * VMM's main loop, so that what holds it up shows here.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define MAX_ROUNDS 100000
#define PAUSE_US   5000

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static const char line[] = "the guest is alive\r\n";
	static double took[MAX_ROUNDS];
	int n = 0, disk, console;
	void *block;
	double end;

	if (argc != 4) {
		fprintf(stderr, "usage: responsive SECONDS DISK CONSOLE\n");
		return 2;
	}
	disk = open(argv[2], O_WRONLY | O_DIRECT | O_SYNC);
	console = open(argv[3], O_WRONLY | O_NOCTTY);
	if (disk < 0 || console < 0 || posix_memalign(&block, 4096, 4096)) {
		perror("responsive: disk or console");
		return 1;
	}
	memset(block, 0x5a, 4096);
	end = now_ms() + atof(argv[1]) * 1e3;
	while (n < MAX_ROUNDS && now_ms() < end) {
		double start = now_ms();

		if (pwrite(disk, block, 4096, (off_t)(n % 256) * 4096) != 4096 ||
			write(console, line, sizeof line - 1) != sizeof line - 1 || tcdrain(console) < 0) {
			perror("responsive: writing");
			return 1;
		}
		took[n++] = now_ms() - start;
		usleep(PAUSE_US);
	}
	if (n < 100) {
		fprintf(stderr, "responsive: only %d rounds\n", n);
		return 1;
	}
	qsort(took, (size_t)n, sizeof took[0], by_size);
	printf("n %d median_ms %.2f p99_ms %.2f max_ms %.2f\n", n, took[n / 2], took[n * 99 / 100], took[n - 1]);
	return 0;
}
