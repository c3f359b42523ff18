/* SPDX-License-Identifier: MIT */
/* See graph_key.h. Lanes of 16 bytes each, so many that their multiplications overlap. */
#include "proto/graph_key.h"

#include <stddef.h>
#include <string.h>

#define LANES 8
#define BLOCK (16 * LANES)

/* Any will do that differ. */
static const uint64_t seeds[LANES] = { UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0xbf58476d1ce4e5b9),
	UINT64_C(0x94d049bb133111eb), UINT64_C(0xd6e8feb86659fd93), UINT64_C(0xa0761d6478bd642f),
	UINT64_C(0xe7037ed1a0b428db), UINT64_C(0x8ebc6af09c88c6e3), UINT64_C(0x589965cc75374cc3) };
#define OTHER UINT64_C(0x1d8e4e27c47d124f)

static uint64_t key_mix(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* In registers, once it is unrolled. */
static inline __attribute__((always_inline)) void key_block(uint64_t lanes[LANES], const uint8_t *block)
{
	uint64_t words[2];

#pragma GCC unroll 8
	for (size_t i = 0; i < LANES; i++) {
		memcpy(words, block + i * sizeof words, sizeof words);
		lanes[i] = key_mix(lanes[i] ^ words[0], words[1] ^ OTHER);
	}
}

struct graph_key graph_key_of(const void *bytes, uint64_t size)
{
	uint64_t lanes[LANES], end = size - size % BLOCK;
	struct graph_key key = { size, size, OTHER };
	uint8_t rest[BLOCK] = { 0 };

	memcpy(lanes, seeds, sizeof lanes);
	for (uint64_t at = 0; at < end; at += BLOCK)
		key_block(lanes, (const uint8_t *)bytes + at);
	memcpy(rest, (const uint8_t *)bytes + end, size - end);
	key_block(lanes, rest);
	for (size_t i = 0; i < LANES; i++) {
		key.low = key_mix(key.low ^ lanes[i], seeds[i]);
		key.high = key_mix(key.high ^ lanes[i], OTHER) + key.low;
	}
	return key;
}
