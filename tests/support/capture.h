/* SPDX-License-Identifier: MIT */
/* What this process and its children write to stderr meanwhile. */
#ifndef TESTS_SUPPORT_CAPTURE_H
#define TESTS_SUPPORT_CAPTURE_H

struct capture {
	int saved, file;
};

void capture_begin(struct capture *c);
/* stderr is itself again; the text, malloc'ed. */
char *capture_end(struct capture *c);

/* A file's text, malloc'ed; NULL: it can't be read. */
char *file_text(const char *path);

#endif
