/* SPDX-License-Identifier: MIT */
/*
 * Operations, unary and GLU operations and types by their names. ggml's numbers for them may change with every version,
 * so they cross the wire as numbers that both ends agreed on: APIR 0.2's, or the host's own once it has told its names.
 * Each side has a map from one numbering to the other, made from the names; what the other lacks has no number.
 */
#ifndef GGML_ABI_NAMES_H
#define GGML_ABI_NAMES_H

#include "ggml-abi/symbols.h"
#include "proto/cursor.h"

enum abi_list { ABI_OPS, ABI_UNARY, ABI_GLU, ABI_TYPES, ABI_LISTS };
#define ABI_NAMES     128 /* in a list; what comes behind is left out */
#define ABI_NAME_ROOM 32

struct abi_name {
	char text[ABI_NAME_ROOM]; /* empty: nothing has this number */
	uint32_t block, bytes;    /* of a type: elements in a block, and its size */
};

struct abi_names {
	uint32_t n[ABI_LISTS];
	struct abi_name names[ABI_LISTS][ABI_NAMES];
};

/* Those of a ggml, as it tells them itself. */
void abi_names_learn(struct abi_names *names, const struct abi_symbols *fn);
/* Those of APIR 0.2's peers. */
void abi_names_canonical(struct abi_names *names);

/* On the wire: four lists, each uint32 n, n times string [, for a type: uint32 block, uint32 bytes]. */
MUST_CHECK bool abi_names_write(struct cursor *c, const struct abi_names *names);
MUST_CHECK bool abi_names_read(struct cursor *c, struct abi_names *names);

/* From one's numbers to another's; -1: the other has none. */
struct abi_numbers {
	int16_t to[ABI_LISTS][ABI_NAMES];
	int32_t unary, glu; /* the one's operations whose first parameter is a number of a list too; -1: it has none */
};

/* Types are the same when their sizes are, too. */
void abi_numbers_map(struct abi_numbers *m, const struct abi_names *from, const struct abi_names *to);
int32_t abi_number(const struct abi_numbers *m, enum abi_list list, int32_t number);
/* Replaces a tensor's operation, with its first parameter where that is a number too. False: there is none, and what the
 * two hold now is of no use. */
bool abi_numbers_op(const struct abi_numbers *m, int32_t *op, int32_t *param);

#endif
