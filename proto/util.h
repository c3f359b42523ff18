/* SPDX-License-Identifier: MIT */
/* Small helpers that every part shares: array sizes, overflow-safe ranges, and cleanup variables. */
#ifndef PROTO_UTIL_H
#define PROTO_UTIL_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#if !defined(__LP64__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "ggml-virtgpu speaks its protocol on little-endian LP64 machines only (x86-64, aarch64)"
#endif

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

/* True when [off, off + len) lies within [0, size); never wraps. */
static inline bool range_ok(uint64_t off, uint64_t len, uint64_t size)
{
	return len <= size && off <= size - len;
}

/* Rounds up to a power of two; returns 0 when that does not fit in 64 bits. */
static inline uint64_t round_up(uint64_t v, uint64_t pow2)
{
	uint64_t r;

	return __builtin_add_overflow(v, pow2 - 1, &r) ? 0 : r & ~(pow2 - 1);
}

static inline void auto_close_fn(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void auto_free_fn(void *p)
{
	free(*(void **)p);
}

/* A descriptor that closes itself; initialise it, with -1 if need be. */
#define AUTO_CLOSE __attribute__((cleanup(auto_close_fn)))
/* A malloc'ed pointer that frees itself; initialise it, with NULL if need be. */
#define AUTO_FREE __attribute__((cleanup(auto_free_fn)))

/* Hands a descriptor over: the variable forgets it. */
static inline int fd_steal(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}

#define FD_FIRST (STDERR_FILENO + 1) /* the lowest that we take */

/*
 * For a descriptor that was just made, to be closed on exec; -1 stays -1. Where a program was started with stdin, stdout or
 * stderr closed the lowest number that is free is one of theirs, and what it prints would go into our socket: we take none
 * below 3. -1 and errno when none is left.
 */
static inline int fd_above_std(int fd)
{
	int r = fd, err;

	if (fd >= 0 && fd < FD_FIRST) {
		r = fcntl(fd, F_DUPFD_CLOEXEC, FD_FIRST);
		err = errno;
		close(fd);
		errno = err;
	}
	return r;
}

/* Within a loop that only looks. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

#endif
