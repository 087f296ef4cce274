/* The ways from a configuration back to text: what --check prints, the sample file, differences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "config/config_read.h"
#include "config/options.h"
#include "printed_config.h"

static int lookup(void *arg, const char *name, const char **value, struct err *err)
{
    (void)arg;
    (void)value;
    return err_set(err, -1, "${%s} is not set", name);
}

static struct config *parse_whole_file(const char *text, size_t n)
{
    struct err err = {.text = ""};
    struct config *c = NULL;

    if (config_parse_memory("syncd.conf", text, n, lookup, NULL, &c, &err) != 0)
        fail_msg("%s\n%s", err.text, text);
    return c;
}

/* The configuration of `text` after a [source] section with a database. */
static struct config *parse(const char *text)
{
    _cleanup_buf_ struct buf all = {0};

    buf_puts(&all, "[source]\ndatabase = /d/app.db\n");
    buf_puts(&all, text);
    return parse_whole_file(all.data, all.len);
}

static void collect(void *arg, const char *key, enum config_effect effect)
{
    static const char *const words[] = {" reloadable", " remaps", ""};

    buf_printf(arg, "%s%s\n", key, words[effect]);
}

static void differences(void **state)
{
    _cleanup_buf_ struct buf got = {0};
    struct config *a = parse("[sync]\nlinger = 1s\n[log]\nlevel = debug\n"
                             "[table \"t\"]\ntarget = one\nrename.a = b\nrename.c = d\n"
                             "[table \"gone\"]\nexclude = x\n[table \"plain\"]\n");
    struct config *b = parse("tables = t, u\n[sync]\nlinger = 2s\n[log]\nlevel = debug\n"
                             "[table \"T\"]\ntarget = two\nrename.c = d\nrename.a = b\n"
                             "[table \"new\"]\nenabled = no\n");

    (void)state;
    assert_int_equal(config_diff(a, b, collect, &got), 5);
    assert_string_equal(got.data, "source.tables remaps\n"
                                  "sync.linger reloadable\n"
                                  "table \"t\".target remaps\n"
                                  "table \"gone\".exclude remaps\n"
                                  "table \"new\".enabled remaps\n");
    assert_int_equal(config_diff(a, a, NULL, NULL), 0);
    config_free(a);
    config_free(b);
}

static void what_is_printed_reads_back_the_same(void **state)
{
    _cleanup_buf_ struct buf text = {0};
    struct config *c = parse("database = \"/d/ a\\\"b $${x}\"\n"
                             "tables = \"a, b\", \" c\", d*\nexclude_columns = *.p, t.\"\n"
                             "[dynamodb]\nregion = eu-west-1\ntable_name = x-{Table}\n"
                             "billing_mode = PROVISIONED\nwrite_capacity = 77\n"
                             "create_tables = yes\n[sync]\nlinger = 1500us\nlag_critical = 1d\n"
                             "[log]\nformat = text\n[state]\npath = /s/x.db\n"
                             "[table \"odd \\\"t.]\"]\ntarget = abc\npartition_key = U#{a}\n"
                             "rename.\"a=b\" = \" c \"\nrename.x.y = z\nnull = null\n"
                             "[table \"off\"]\nenabled = no\nexclude = a, b\n");

    (void)state;
    printed_as_ini(c, &text);
    struct config *again = parse_whole_file(text.data, text.len);
    assert_string_equal(again->database, "/d/ a\"b ${x}");
    assert_int_equal(again->table_section_count, 2);
    assert_int_equal(config_diff(c, again, NULL, NULL), 0);
    config_free(c);
    config_free(again);
}

static char *sample(size_t *size)
{
    char *text = NULL;
    FILE *f = open_memstream(&text, size);

    assert_non_null(f);
    config_print_sample(f);
    fclose(f);
    return text;
}

static void the_sample_file_is_the_tables_output(void **state)
{
    size_t size = 0;
    _cleanup_free_ char *text = sample(&size);
    _cleanup_free_ char *file = calloc(1, size + 2);
    FILE *f = fopen("etc/syncd.conf", "r");

    (void)state;
    assert_non_null(file);
    assert_non_null(f);
    assert_int_equal(fread(file, 1, size + 1, f), size);
    fclose(f);
    assert_string_equal(file, text);
}

static void the_sample_shows_every_setting_within_100_columns(void **state)
{
    size_t size = 0;
    _cleanup_free_ char *text = sample(&size);

    (void)state;
    for (const struct config_option *o = config_options; o->section; o++) {
        _cleanup_buf_ struct buf line = {0};
        buf_printf(&line, "\n#%s%s", o->key, o->type == OPTION_PAIRS ? "." : " =");
        if (o->type == OPTION_LATER)
            assert_null(strstr(text, line.data));
        else
            assert_non_null(strstr(text, line.data));
    }
    for (char *rest = text, *line; (line = strsep(&rest, "\n"));)
        assert_true(strlen(line) <= 100);
}

/* With each commented setting in force the file is valid, and but for the examples nothing changes.
 */
static void the_sample_uncommented_is_valid(void **state)
{
    size_t size = 0;
    _cleanup_free_ char *text = sample(&size);
    struct config *plain = parse("");
    _cleanup_buf_ struct buf got = {0};

    (void)state;
    for (char *p = text; (p = strstr(p, "\n#")); p++)
        if (p[2] != ' ' && p[2] != '\n')
            p[1] = ' ';
    struct config *c = parse_whole_file(text, size);
    assert_string_equal(c->database, "/var/lib/app/app.db");
    config_diff(plain, c, collect, &got);
    assert_string_equal(got.data, "source.database\n"
                                  "source.source_id remaps\n"
                                  "control.socket\n"
                                  "control.listen\n"
                                  "table \"chat_messages\".target remaps\n"
                                  "table \"chat_messages\".partition_key remaps\n"
                                  "table \"chat_messages\".sort_key remaps\n"
                                  "table \"chat_messages\".partition_key_name remaps\n"
                                  "table \"chat_messages\".sort_key_name remaps\n"
                                  "table \"chat_messages\".exclude remaps\n"
                                  "table \"chat_messages\".rename remaps\n"
                                  "table \"chat_messages\".convert remaps\n"
                                  "table \"chat_messages\".default remaps\n"
                                  "table \"chat_messages\".ttl_column remaps\n"
                                  "table \"chat_messages\".add remaps\n");
    config_free(c);
    config_free(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(differences),
        cmocka_unit_test(what_is_printed_reads_back_the_same),
        cmocka_unit_test(the_sample_file_is_the_tables_output),
        cmocka_unit_test(the_sample_shows_every_setting_within_100_columns),
        cmocka_unit_test(the_sample_uncommented_is_valid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
