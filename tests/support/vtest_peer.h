/* SPDX-License-Identifier: MIT */
/* The server's end of a vtest connection, piece by piece: for servers that a test makes itself. */
#ifndef TESTS_SUPPORT_VTEST_PEER_H
#define TESTS_SUPPORT_VTEST_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/vtest_wire.h"

/* A listening socket at path (or, with listens false, one that nobody listens on), or -1. */
int vtest_peer_listen(const char *path, bool listens, mode_t mode);
/* The next message, its body in words, which has size bytes; false: there is none. */
bool vtest_peer_hear(int fd, struct vtest_header *h, uint32_t *words, size_t size);
void vtest_peer_answer(int fd, uint32_t command, const void *data, uint32_t words);
/* Answers what any server answers before it is asked for capsets; false: h isn't of that. */
bool vtest_peer_greet(int fd, const struct vtest_header *h, uint32_t version);
void vtest_peer_offer(int fd, bool capset);

#endif
