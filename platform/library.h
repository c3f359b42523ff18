/* SPDX-License-Identifier: MIT */
/* Shared libraries: what their files are called, and where distributions put ggml's. */
#ifndef PLATFORM_LIBRARY_H
#define PLATFORM_LIBRARY_H

/* Both suffixes come from platform/<system>/meson.build. */

/* The file of a library of ours: "libNAME.so". */
#define LIBRARY_NAME(name) "lib" name LIBRARY_SUFFIX

/* The file of a backend of ggml's, which its build and its loader name by a rule of their own: "libggml-NAME.so". */
#define GGML_BACKEND_NAME(name) "libggml-" name GGML_BACKEND_SUFFIX

/* Folders to look for ggml's backends in, best first, as patterns for glob(); NULL at the end. */
extern const char *const library_places[];

#endif
