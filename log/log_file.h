/* SPDX-License-Identifier: MIT */
/*
 * Where a log's lines go: to a file that an environment variable names, appended, else to stderr. A file that can't be opened
 * or written is told of once; from then on it is stderr. Nothing blocks: a reader that doesn't read gets no line.
 */
#ifndef LOG_LOG_FILE_H
#define LOG_LOG_FILE_H

#include <pthread.h>
#include <stdatomic.h>

#include "log/rate.h"
#include "proto/util.h"

#define LOG_FILE_UNOPENED (-2)

struct log_file {
	const char *env; /* the variable's name */
	char who[64];    /* what its own lines begin with */
	_Atomic int fd;
	pthread_mutex_t lock;
	struct rate rates[2]; /* of stderr, of the file */
};

#define LOG_FILE_INIT(variable, name)                                                                                  \
	{                                                                                                              \
		.env = (variable), .who = (name), .fd = LOG_FILE_UNOPENED, .lock = PTHREAD_MUTEX_INITIALIZER           \
	}

/* Once; what follows does it too. Thread-safe, as all of these. */
void log_file_open(struct log_file *f);
/* Where one more line goes, which counts; -1: nowhere, for there are too many, or there is no file and it isn't for stderr. */
int log_file_begin(struct log_file *f, bool for_stderr);
/* Writes there, in one piece. False: the file is lost, and who began a line may begin it again. */
bool log_file_put(struct log_file *f, int fd, const char *text, size_t size);

#endif
