/* SPDX-License-Identifier: MIT */
/* See word.h: a futex. Not FUTEX_PRIVATE: who waits and who wakes are two processes. */
#include "platform/word.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

bool word_wake(_Atomic uint32_t *word)
{
	return syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0) > 0;
}

void word_sleep(const _Atomic uint32_t *word, int64_t ns)
{
	const struct timespec ts = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

	syscall(SYS_futex, word, FUTEX_WAIT, 0u, &ts, NULL, 0);
}
