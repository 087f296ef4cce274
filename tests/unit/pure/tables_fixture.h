/* Definitions of DynamoDB tables that tests are made of. */
#ifndef SYNCD_TESTS_TABLES_FIXTURE_H
#define SYNCD_TESTS_TABLES_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>

#include "dynamodb/tables.h"
#include "plan_fixture.h"

static const struct key_schema one = {.parts = {{(char *)"id", ATTR_N}}, .count = 1};

static struct plan_index index_by(const char *name, const char *a, char ta, const char *b, char tb)
{
    return (struct plan_index){
        .name = (char *)name,
        .keys = {.parts = {{(char *)a, (enum attr_type)ta}, {(char *)b, (enum attr_type)tb}},
                 .count = b ? 2 : 1}};
}

#define _cleanup_definition_ _cleanup_(definition_drop)
static void definition_drop(struct table_definition **d)
{
    table_definition_free(*d);
}

static struct table_definition *whole(void)
{
    struct table_definition *d = table_definition_new("things", &one);
    struct plan_index first = index_by("by-a", "a", 'S', "id", 'N');
    struct plan_index second = index_by("by-b", "b", 'B', "a", 'S');
    char *included[] = {(char *)"x", (char *)"y"};
    struct err err = {.text = ""};

    second.projection = PROJECT_INCLUDE;
    second.include = included;
    second.include_count = 2;
    assert_non_null(d);
    assert_int_equal(table_definition_add_index(d, &first, &err), 0);
    assert_int_equal(table_definition_add_index(d, &second, &err), 0);
    assert_int_equal(table_definition_add_index(d, &second, &err), 0); /* the same: once */
    assert_int_equal(table_definition_set_ttl(d, "until", &err), 0);
    assert_int_equal(table_definition_add_tag(d, "team", "a \"b\"", &err), 0);
    d->deletion_protection = d->point_in_time_recovery = true;
    assert_string_equal(err.text, "");
    return d;
}

#endif
