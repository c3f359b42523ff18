/* SPDX-License-Identifier: MIT */
/*
 * Signals as something to read beside other descriptors: the handlers write to a pipe. Not a signalfd, which the seccomp
 * filters of older container runtimes refuse.
 */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include <stdbool.h>

struct signal_taken {
	int number;
	bool by_terminal; /* the kernel sent it, so the whole foreground group has it */
};

/* Blocks the signals that end us and those of children, before any child is started. */
void signals_hold(void);
/* In a child: the mask as it was. */
void signals_release(void);
/* Takes them from now on; one that was ignored when we were started stays so, but for those of children. The descriptor
 * to poll, owned by this file, or -errno. */
int signals_open(void);
/* The next one that came; false: none. */
bool signals_next(struct signal_taken *s);
/* In a child that is to go on without us: as if there had been no signals_open(). */
void signals_close(void);

#endif
