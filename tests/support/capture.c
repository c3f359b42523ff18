/* SPDX-License-Identifier: MIT */
/* See capture.h. A memfd takes any amount of text, so nobody ever waits for us to read it. */
#include "tests/support/capture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

void capture_begin(struct capture *c)
{
	fflush(stderr);
	c->saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
	c->file = memfd_create("stderr", MFD_CLOEXEC);
	if (c->saved < 0 || c->file < 0 || dup2(c->file, STDERR_FILENO) < 0)
		abort();
	fcntl(c->file, F_SETFL, O_APPEND);
}

static char *text_read(int fd)
{
	size_t n = 0, room = 4096;
	char *text = malloc(room + 1);
	ssize_t got;

	while (text && (got = pread(fd, text + n, room - n, (off_t)n)) > 0) {
		n += (size_t)got;
		if (n == room) {
			room *= 2;
			text = realloc(text, room + 1);
		}
	}
	if (text)
		text[n] = '\0';
	return text;
}

char *capture_end(struct capture *c)
{
	char *text;

	fflush(stderr);
	dup2(c->saved, STDERR_FILENO);
	text = text_read(c->file);
	close(c->saved);
	close(c->file);
	return text;
}

char *file_text(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = fd < 0 ? NULL : text_read(fd);

	if (fd >= 0)
		close(fd);
	return text;
}
