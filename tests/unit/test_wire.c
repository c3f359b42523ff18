/* SPDX-License-Identifier: MIT */
/* The numbers of APIR 0.2 against each other: whoever changes one breaks the old peers, and hears of it here.
 */
#include "tests/support/cm.h"

#include "ggml-abi/abi.h"
#include "proto/apir_wire.h"
#include "proto/vtest_wire.h"
#include "proto/worker_wire.h"

static void commands_keep_their_numbers(void **state)
{
	(void)state;
	assert_int_equal(APIR_HANDSHAKE, 0);
	assert_int_equal(APIR_LOADLIBRARY, 1);
	assert_int_equal(APIR_FORWARD, 2);
	assert_int_equal(APIR_TYPE_COUNT, 3);
	assert_int_equal(APIR_VENUS_TYPE_BASE, 331);
	assert_int_equal(APIR_CMD_HEADER_SIZE, 3 * sizeof(uint32_t));
	assert_int_equal(APIR_PROTOCOL_MAJOR, 0);
	assert_int_equal(APIR_PROTOCOL_MINOR, 2);
	assert_int_equal(APIR_HANDSHAKE_MAGIC, 0xab1e);
}

static void codes_keep_their_numbers(void **state)
{
	(void)state;
	assert_int_equal(APIR_LOAD_OK, 0);
	assert_int_equal(APIR_LOAD_HYPERCALL, 1);
	assert_int_equal(APIR_LOAD_ALREADY, 2);
	assert_int_equal(APIR_LOAD_ENV_MISSING, 3);
	assert_int_equal(APIR_LOAD_CANNOT_OPEN, 4);
	assert_int_equal(APIR_LOAD_SYMBOL_MISSING, 5);
	assert_int_equal(APIR_LOAD_INIT, 6);
	assert_int_equal(APIR_INIT_OK, 0);
	assert_int_equal(APIR_INIT_FAILED, 5);
	assert_int_equal(APIR_INIT_NO_REG, 6);
	assert_int_equal(APIR_INIT_ALREADY, 7);
	assert_int_equal(APIR_INIT_NO_DEVICE, 8);
	assert_int_equal(APIR_INIT_NO_BACKEND, 9);
	assert_int_equal(APIR_FORWARD_OK, 4 + 0);
	assert_int_equal(APIR_FORWARD_NO_DISPATCH, 1);
	assert_int_equal(APIR_FORWARD_TIMEOUT, 2);
	assert_int_equal(APIR_FORWARD_NO_SYNC, 3);
	assert_int_equal(APIR_FORWARD_BASE, 4);
	assert_int_equal(APIR_FORWARD_OK, APIR_FORWARD_BASE + APIR_FN_OK);
	for (int64_t code = -1; code < 16; code++) /* 0 is what our first hosts sent */
		assert_int_equal(apir_forward_ok(code), code == 4 || code == 0);
	assert_int_equal(APIR_FN_OK, 0);
	assert_int_equal(APIR_FN_INVALID, 6);
}

static void there_are_23_functions_in_their_order(void **state)
{
	static const int order[] = { APIR_FN_DEVICE_COUNT_OLD, APIR_FN_DEVICE_COUNT, APIR_FN_DEVICE_NAME,
		APIR_FN_DEVICE_DESCRIPTION, APIR_FN_DEVICE_TYPE, APIR_FN_DEVICE_MEMORY, APIR_FN_DEVICE_SUPPORTS_OP,
		APIR_FN_DEVICE_BUFFER_TYPE, APIR_FN_DEVICE_PROPS, APIR_FN_DEVICE_BUFFER_FROM_PTR, APIR_FN_BUFT_NAME,
		APIR_FN_BUFT_ALIGNMENT, APIR_FN_BUFT_MAX_SIZE, APIR_FN_BUFT_IS_HOST, APIR_FN_BUFT_ALLOC_BUFFER,
		APIR_FN_BUFT_ALLOC_SIZE, APIR_FN_BUFFER_BASE, APIR_FN_BUFFER_SET_TENSOR, APIR_FN_BUFFER_GET_TENSOR,
		APIR_FN_BUFFER_CPY_TENSOR, APIR_FN_BUFFER_CLEAR, APIR_FN_BUFFER_FREE, APIR_FN_GRAPH_COMPUTE };

	(void)state;
	assert_int_equal(sizeof order / sizeof order[0], 23);
	for (int i = 0; i < 23; i++)
		assert_int_equal(order[i], i);
}

static void blobs_are_whole_granules(void **state)
{
	(void)state;
	assert_int_equal(APIR_REPLY_BLOB_SIZE, 0x4000);
	assert_int_equal(APIR_DATA_BLOB_SIZE, 0x1830000);
	assert_int_equal(APIR_BLOB_GRANULE, 16384);
	assert_int_equal(APIR_REPLY_BLOB_SIZE % APIR_BLOB_GRANULE, 0);
	assert_int_equal(APIR_DATA_BLOB_SIZE % APIR_BLOB_GRANULE, 0);
	assert_true(APIR_DATA_BLOB_SIZE >= (24u << 20));
}

/* As a C compiler of x86-64 and aarch64 lays out upstream's struct, field by field, without gaps that we
 * don't name. */
static void the_tensor_lies_as_upstreams_compiler_lays_it(void **state)
{
	static const struct {
		size_t offset, size;
	} fields[] = {
#define FIELD(f) { offsetof(struct apir_tensor, f), sizeof(((struct apir_tensor *)0)->f) }
		FIELD(id),
		FIELD(type),
		FIELD(memory),
		FIELD(buffer),
		FIELD(ne),
		FIELD(nb),
		FIELD(op),
		FIELD(op_params),
		FIELD(flags),
		FIELD(src),
		FIELD(view_src),
		FIELD(view_offs),
		FIELD(data),
		FIELD(name),
		FIELD(use_count),
		FIELD(pad1),
	};
	size_t at = 0;

	(void)state;
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
		assert_int_equal(fields[i].offset, at);
		at += fields[i].size;
	}
	assert_int_equal(at, 304);
	assert_int_equal(sizeof(struct apir_tensor), 304);
	assert_int_equal(offsetof(struct apir_tensor, type), 8);
	assert_int_equal(offsetof(struct apir_tensor, buffer), 16);
	assert_int_equal(offsetof(struct apir_tensor, ne), 24);
	assert_int_equal(offsetof(struct apir_tensor, nb), 40);
	assert_int_equal(offsetof(struct apir_tensor, op), 56);
	assert_int_equal(offsetof(struct apir_tensor, op_params), 60);
	assert_int_equal(offsetof(struct apir_tensor, flags), 124);
	assert_int_equal(offsetof(struct apir_tensor, src), 128);
	assert_int_equal(offsetof(struct apir_tensor, view_src), 208);
	assert_int_equal(offsetof(struct apir_tensor, view_offs), 216);
	assert_int_equal(offsetof(struct apir_tensor, data), 224);
	assert_int_equal(offsetof(struct apir_tensor, name), 232);
}

static void the_tensor_has_room_for_all_that_ggmls_has(void **state)
{
	(void)state;
	assert_int_equal(sizeof(((struct apir_tensor *)0)->ne) / 4, ABI_DIMS);
	assert_int_equal(sizeof(((struct apir_tensor *)0)->src) / 8, ABI_SRCS);
	assert_int_equal(sizeof(((struct apir_tensor *)0)->op_params) / 4, ABI_PARAMS);
	assert_int_equal(sizeof(((struct apir_tensor *)0)->name), ABI_NAME);
	assert_int_equal(sizeof(struct abi_tensor) + ABI_OBJECT, 368);
	assert_int_equal(offsetof(struct abi_tensor, src), 152);
	assert_int_equal(offsetof(struct abi_tensor, data), 248);
	assert_int_equal(offsetof(struct abi_tensor, name), 256);
}

static void capsets_and_greeting_keep_their_shape(void **state)
{
	(void)state;
	assert_int_equal(APIR_CAPSET_APIR, 10);
	assert_int_equal(APIR_CAPSET_VENUS, 4);
	assert_int_equal(sizeof(struct apir_capset), 24);
	assert_int_equal(APIR_CAPSET_VENUS_SIZE, 160);
	assert_int_equal(sizeof(struct apir_greeting), 12);
	assert_int_equal(sizeof(struct worker_msg), 16);
	assert_int_equal(VTEST_SUBMIT_CMD2, 24);
	assert_int_equal(VTEST_COMMAND_COUNT, 25);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_keep_their_numbers),
		cmocka_unit_test(codes_keep_their_numbers),
		cmocka_unit_test(there_are_23_functions_in_their_order),
		cmocka_unit_test(blobs_are_whole_granules),
		cmocka_unit_test(the_tensor_lies_as_upstreams_compiler_lays_it),
		cmocka_unit_test(the_tensor_has_room_for_all_that_ggmls_has),
		cmocka_unit_test(capsets_and_greeting_keep_their_shape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
