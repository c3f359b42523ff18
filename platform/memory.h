/* SPDX-License-Identifier: MIT */
/* The memory that this process may have: the machine's, or less where it is in a group with a limit. */
#ifndef PLATFORM_MEMORY_H
#define PLATFORM_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct memory {
	uint64_t total, free; /* bytes; free: with what the system gives up when it is asked, files that it keeps */
};

/* False: this system doesn't tell. */
bool memory_look(struct memory *out);

/* How many processes the system has ended for want of memory. */
struct memory_kills {
	bool told;
	uint64_t group, machine; /* of our group, of the whole machine */
};

void memory_kills(struct memory_kills *out);

#endif
