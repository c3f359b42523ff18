/* SPDX-License-Identifier: MIT */
/* Waiting for a word of memory that processes share, and waking who waits. */
#ifndef PLATFORM_WORD_H
#define PLATFORM_WORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Wakes everybody who sleeps on the word, in any process that has it mapped: whether there was anybody. After the store. */
bool word_wake(_Atomic uint32_t *word);
/* Sleeps while the word is 0, at most so long; comes back early for any reason: look, and sleep again. */
void word_sleep(const _Atomic uint32_t *word, int64_t ns);

#endif
