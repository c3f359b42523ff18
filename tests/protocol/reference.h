/* SPDX-License-Identifier: MIT */
/* What the tests of the configuration reference share: files of every unsuitable kind, and line patterns. */
#ifndef TESTS_PROTOCOL_REFERENCE_H
#define TESTS_PROTOCOL_REFERENCE_H

#include <sys/types.h>

/* A group's setup and teardown: makes the files, unsets the variables that are tested. */
int reference_prepare(void **state);
int reference_clean(void **state);

/* What "$NAME" stands for. Ends the test where there is no such word. */
char *word(const char *name);
/* The text with its $WORDS replaced, in a buffer that lives until the fourth call from now. */
const char *expand(const char *text);
/* How many lines of the text match the pattern of fnmatch(); its $WORDS are expanded. */
int lines_like(const char *text, const char *pattern);

void file_make(const char *path, const char *text, mode_t mode);

#endif
