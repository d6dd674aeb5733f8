/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "schemas/json.h"
#include "schemas/operations.h"
#include "schemas/walk.h"

#define assert_ok(expr) assert_int_equal((expr), ERR_OK)

static struct span packed_json(struct buf *b, const char *text)
{
    buf_clear(b);
    assert_ok(json_to_msgpack(span_text(text), b, NULL));
    return buf_span(b);
}

static void operations_are_found_by_their_words(void **state)
{
    (void)state;
    for (int i = 0; i < OP_COUNT; i++) {
        assert_int_equal(operations[i].id, i);
        assert_ptr_equal(operation_find(span_text(operations[i].words)), &operations[i]);
    }
    assert_null(operation_find(span_text("swarm")));
}

static void absent_arguments_take_their_default(void **state)
{
    (void)state;
    struct buf b, scratch;
    buf_init(&b, 4096, NULL);
    buf_init(&scratch, 4096, NULL);
    char why[160];
    struct op_pin_add pin;
    assert_ok(arguments_unpack(&operations[OP_PIN_ADD], packed_json(&b, "{\"path\":\"x\"}"), &scratch, &pin, why,
                               sizeof(why)));
    assert_true(pin.recursive);
    assert_ok(arguments_unpack(&operations[OP_PIN_ADD], packed_json(&b, "{\"path\":\"x\",\"recursive\":false}"),
                               &scratch, &pin, why, sizeof(why)));
    assert_false(pin.recursive);
    struct op_read read;
    assert_ok(
        arguments_unpack(&operations[OP_READ], packed_json(&b, "{\"path\":\"x\"}"), &scratch, &read, why, sizeof(why)));
    assert_int_equal(read.length, 1048576);
    assert_int_equal(arguments_unpack(&operations[OP_READ], (struct span){0}, &scratch, &read, why, sizeof(why)),
                     ERR_INVALID);
    assert_string_equal(why, "path: is missing");
    buf_release(&b);
    buf_release(&scratch);
}

static void bytes_come_as_text_in_json(void **state)
{
    (void)state;
    struct buf b, scratch;
    buf_init(&b, 4096, NULL);
    buf_init(&scratch, 4096, NULL);
    char why[160];
    struct op_add_write write;
    const struct operation *op = &operations[OP_ADD_WRITE];
    assert_ok(arguments_unpack(op, packed_json(&b, "{\"upload\":1,\"offset\":2,\"data\":\"ueWVzIG1hbmkgIQ\"}"),
                               &scratch, &write, why, sizeof(why)));
    assert_true(span_equal_text(write.data, "yes mani !"));
    assert_int_equal(arguments_unpack(op, packed_json(&b, "{\"upload\":1,\"offset\":2,\"data\":\"!\"}"), &scratch,
                                      &write, why, sizeof(why)),
                     ERR_INVALID);
    assert_non_null(strstr(why, "base64url"));
    assert_int_equal(arguments_unpack(op, packed_json(&b, "[1]"), &scratch, &write, why, sizeof(why)), ERR_INVALID);
    buf_release(&b);
    buf_release(&scratch);
}

static void requests_and_answers_round_trip(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b, 4096, NULL);
    char why[160] = "";
    struct request request;
    assert_ok(request_unpack(packed_json(&b, "{\"op\":\"id\"}"), &request, why, sizeof(why)));
    assert_int_equal(request.timeout_ms, REQUEST_TIMEOUT_DEFAULT_MS);
    assert_int_equal(request.args.len, 0);
    assert_int_equal(request_unpack(packed_json(&b, "{\"op\":\"id\",\"args\":3}"), &request, why, sizeof(why)),
                     ERR_INVALID);
    assert_int_equal(request_unpack(packed_json(&b, "{\"args\":{}}"), &request, why, sizeof(why)), ERR_INVALID);
    assert_int_equal(request_unpack(packed_json(&b, "{\"op\":\"id\",\"opp\":1}"), &request, why, sizeof(why)),
                     ERR_INVALID);
    buf_clear(&b);
    assert_ok(answer_pack_error(CODE_NOT_FOUND, "no such block", "try the network", span_text("7"), 0, &b));
    struct answer answer;
    assert_ok(answer_unpack(buf_span(&b), &answer));
    assert_false(answer.ok);
    assert_int_equal(answer.code, CODE_NOT_FOUND);
    assert_int_equal(control_code_exit(answer.code), 4);
    assert_true(span_equal_text(answer.hint, "try the network"));
    assert_true(span_equal_text(answer.id, "7"));
    buf_clear(&b);
    assert_ok(answer_pack((struct span){0}, (struct span){0}, 0, &b));
    assert_ok(answer_unpack(buf_span(&b), &answer));
    assert_true(answer.ok && answer.result.len == 1);
    for (size_t cut = 0; cut < b.len; cut++)
        assert_int_not_equal(answer_unpack(span_first(buf_span(&b), cut), &answer), ERR_OK);
    buf_release(&b);
}

static void help_lists_every_operation(void **state)
{
    (void)state;
    struct buf b, text;
    buf_init(&b, 1 << 20, NULL);
    buf_init(&text, 1 << 20, NULL);
    assert_ok(operations_help(NULL, &b));
    assert_ok(json_from_msgpack(buf_span(&b), &text));
    assert_ok(buf_append_byte(&text, 0));
    for (int i = 0; i < OP_COUNT; i++)
        assert_non_null(strstr((const char *)text.data, operations[i].words));
    buf_release(&b);
    buf_release(&text);
}

/* The page in the repository is the one that the declarations give. */
static void the_document_is_current(void **state)
{
    (void)state;
    struct buf made;
    buf_init(&made, 1 << 20, NULL);
    assert_ok(operations_document(&made));
    FILE *file = fopen(HEARTH_SOURCE "/docs/control.md", "r");
    assert_non_null(file);
    char *kept = calloc(1, made.len + 2);
    assert_non_null(kept);
    size_t len = fread(kept, 1, made.len + 1, file);
    fclose(file);
    bool same = len == made.len && memcmp(kept, made.data, len) == 0;
    free(kept);
    buf_release(&made);
    if (!same)
        fail_msg("docs/control.md is not current: make docs");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_are_found_by_their_words), cmocka_unit_test(absent_arguments_take_their_default),
        cmocka_unit_test(bytes_come_as_text_in_json),          cmocka_unit_test(requests_and_answers_round_trip),
        cmocka_unit_test(help_lists_every_operation),          cmocka_unit_test(the_document_is_current),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
