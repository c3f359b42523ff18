/* SPDX-License-Identifier: MIT */
/* What the programs have in common that lab/build-tools compiles, each from one file. TOOL is the program's name. */
#ifndef BENCH_TOOL_H
#define BENCH_TOOL_H

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

__attribute__((noreturn, format(printf, 2, 3))) static inline void die(int status, const char *fmt, ...)
{
	va_list args;

	fputs(TOOL ": ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(status);
}

/* Zeroed. */
static inline void *alloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		die(1, "out of memory: %zu times %zu bytes", n, size);
	return p;
}

/* Seconds. */
static inline double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline int by_value(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* splitmix64: every state is as good as any other, so a hash can seed it. */
static inline uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

/* In [-1, 1), with the 24 bits that a float holds. */
static inline float random_unit(uint64_t *state)
{
	return (float)(int32_t)(random_next(state) >> 40) * 0x1p-23f - 1.0f;
}

static inline uint64_t number(const char *option, const char *text, uint64_t min, uint64_t max)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || n < min || n > max)
		die(2, "--%s %s: want a number from %llu to %llu", option, text, (unsigned long long)min,
			(unsigned long long)max);
	return n;
}

#endif
