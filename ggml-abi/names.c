/* SPDX-License-Identifier: MIT */
/* See names.h. */
#include "ggml-abi/names.h"

#include <stdio.h>
#include <string.h>

static void name_take(struct abi_name *to, const char *text)
{
	/* Types that were given up keep a number, with a sentence for a name. */
	if (text && strlen(text) < sizeof to->text)
		strcpy(to->text, text);
}

static void list_learn(struct abi_names *names, enum abi_list list, const char *(*name_of)(int32_t), uint32_t n)
{
	names->n[list] = n;
	for (uint32_t i = 0; i < n; i++)
		name_take(&names->names[list][i], name_of((int32_t)i));
}

/* ggml 0.21 has one less than 0.25, and its function for the names checks nothing. */
static uint32_t glu_count(const struct abi_symbols *fn)
{
	unsigned major = 0, minor = 0;

	sscanf(fn->version(), "%u.%u", &major, &minor);
	return major == 0 && minor < 25 ? ABI_N_GLU - 1 : ABI_N_GLU;
}

static_assert(ABI_N_OPS <= ABI_NAMES && ABI_N_TYPES <= ABI_NAMES, "a list's room");

void abi_names_learn(struct abi_names *names, const struct abi_symbols *fn)
{
	*names = (struct abi_names){ 0 };
	list_learn(names, ABI_OPS, fn->op_name, ABI_N_OPS);
	list_learn(names, ABI_UNARY, fn->unary_op_name, ABI_N_UNARY);
	list_learn(names, ABI_GLU, fn->glu_op_name, glu_count(fn));
	list_learn(names, ABI_TYPES, fn->type_name, ABI_N_TYPES);
	for (int32_t i = 0; i < ABI_N_TYPES; i++) {
		struct abi_name *type = &names->names[ABI_TYPES][i];

		type->block = (uint32_t)fn->blck_size(i);
		type->bytes = (uint32_t)fn->type_size(i);
		if (!type->block || !type->bytes)
			*type = (struct abi_name){ 0 };
	}
}

bool abi_names_write(struct cursor *c, const struct abi_names *names)
{
	for (int list = 0; list < ABI_LISTS; list++) {
		if (!cursor_write_u32(c, names->n[list]))
			return false;
		for (uint32_t i = 0; i < names->n[list]; i++) {
			const struct abi_name *name = &names->names[list][i];

			if (!cursor_write_string(c, name->text) ||
				(list == ABI_TYPES &&
					(!cursor_write_u32(c, name->block) || !cursor_write_u32(c, name->bytes))))
				return false;
		}
	}
	return true;
}

bool abi_names_read(struct cursor *c, struct abi_names *names)
{
	*names = (struct abi_names){ 0 };
	for (int list = 0; list < ABI_LISTS; list++) {
		uint32_t n;

		if (!cursor_read_u32(c, &n))
			return false;
		names->n[list] = n < ABI_NAMES ? n : ABI_NAMES;
		for (uint32_t i = 0; i < n; i++) {
			struct abi_name name = { 0 };
			const char *text;

			if (!cursor_read_string(c, &text) ||
				(list == ABI_TYPES &&
					(!cursor_read_u32(c, &name.block) || !cursor_read_u32(c, &name.bytes))))
				return false;
			name_take(&name, text);
			if (i < ABI_NAMES)
				names->names[list][i] = name;
		}
	}
	return true;
}

static bool name_same(const struct abi_name *a, const struct abi_name *b)
{
	return a->text[0] && !strcmp(a->text, b->text) && a->block == b->block && a->bytes == b->bytes;
}

static int16_t names_find(const struct abi_names *in, int list, const struct abi_name *name)
{
	for (uint32_t i = 0; i < in->n[list]; i++) {
		if (name_same(name, &in->names[list][i]))
			return (int16_t)i;
	}
	return -1;
}

static int32_t names_op(const struct abi_names *names, const char *text)
{
	struct abi_name name = { 0 };

	name_take(&name, text);
	return names_find(names, ABI_OPS, &name);
}

void abi_numbers_map(struct abi_numbers *m, const struct abi_names *from, const struct abi_names *to)
{
	for (int list = 0; list < ABI_LISTS; list++) {
		for (uint32_t i = 0; i < ABI_NAMES; i++)
			m->to[list][i] = i < from->n[list] ? names_find(to, list, &from->names[list][i]) : -1;
	}
	m->unary = names_op(from, "UNARY");
	m->glu = names_op(from, "GLU");
}

int32_t abi_number(const struct abi_numbers *m, enum abi_list list, int32_t number)
{
	return number >= 0 && number < ABI_NAMES ? m->to[list][number] : -1;
}

bool abi_numbers_op(const struct abi_numbers *m, int32_t *op, int32_t *param)
{
	int32_t number = abi_number(m, ABI_OPS, *op);

	if (number >= 0 && (*op == m->unary || *op == m->glu)) {
		*param = abi_number(m, *op == m->unary ? ABI_UNARY : ABI_GLU, *param);
		if (*param < 0)
			return false;
	}
	*op = number;
	return number >= 0;
}
