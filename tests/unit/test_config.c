/* What a configuration file means: types and their refusals, names that are unknown or of later
 * versions, lists and tables' sections. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config_read.h"
#include "config/lists.h"
#include "config/option_checks.h"
#include "config/options.h"
#include "config/quantity.h"
#include "config/setting.h"

#define DATABASE "[source]\ndatabase = /d/app.db\n"

static int lookup(void *arg, const char *name, const char **value, struct err *err)
{
    (void)arg;
    if (strcmp(name, "STAGE") != 0)
        return err_set(err, -EINVAL, "${%s} is not set", name);
    *value = "dev";
    return 0;
}

/* The configuration of `text` after a [source] section with a database. */
static struct config *parse(const char *text)
{
    _cleanup_buf_ struct buf all = {0};
    struct err err = {.text = ""};
    struct config *c = NULL;

    buf_puts(&all, DATABASE);
    buf_puts(&all, text);
    if (config_parse_memory("syncd.conf", all.data, all.len, lookup, NULL, &c, &err) != 0)
        fail_msg("%s", err.text);
    return c;
}

/* The whole of `text` is refused with this sentence. */
static void refuse(const char *text, const char *sentence)
{
    struct config *untouched = (struct config *)&lookup, *c = untouched;
    struct err err = {.text = ""};

    assert_int_equal(config_parse_memory("syncd.conf", text, strlen(text), lookup, NULL, &c, &err),
                     -EINVAL);
    assert_string_equal(err.text, sentence);
    assert_ptr_equal(c, untouched);
}

static void joined(const struct strlist *l, const char *text)
{
    _cleanup_buf_ struct buf all = {0};

    buf_puts(&all, "");
    for (size_t i = 0; i < l->count; i++)
        buf_printf(&all, "<%s>", l->items[i]);
    assert_string_equal(all.data, text);
}

static void defaults(void **state)
{
    struct config *c = parse("");

    (void)state;
    assert_string_equal(c->database, "/d/app.db");
    joined(&c->tables, "<*>");
    joined(&c->exclude_tables, "");
    assert_string_equal(c->region, "");
    assert_string_equal(c->table_name, "{table}");
    assert_false(c->allow_plain_http);
    assert_false(c->create_tables);
    assert_int_equal(c->billing_mode, BILLING_PAY_PER_REQUEST);
    assert_int_equal(c->read_capacity, 5);
    assert_int_equal(c->max_requests_in_flight, 8);
    assert_int_equal(c->write_units_per_second, 0);
    assert_int_equal(c->linger, 5 * USEC_PER_MSEC);
    assert_int_equal(c->backoff_base, 25 * USEC_PER_MSEC);
    assert_int_equal(c->backoff_max, 20 * USEC_PER_SEC);
    assert_int_equal(c->request_timeout, 10 * USEC_PER_SEC);
    assert_int_equal(c->journal_limit, 100000000);
    assert_int_equal(c->lag_warning, 60 * USEC_PER_SEC);
    assert_int_equal(c->lag_critical, 600 * USEC_PER_SEC);
    assert_int_equal(c->log_level, LOG_EV_INFO);
    assert_int_equal(c->log_format, LOG_AUTO);
    assert_int_equal(c->table_section_count, 0);
    config_free(c);
}

static void values_of_every_type(void **state)
{
    struct config *c = parse("[dynamodb]\nregion = \"us-west-2\"\ncreate_tables = ON\n"
                             "allow_plain_http = 1\nbilling_mode = provisioned\n"
                             "write_units_per_second = 250\n"
                             "table_name = B-{Table}-${STAGE}\n"
                             "[sync]\nlinger = 0\nrequest_timeout = 1500ms\nlag_critical = 1 d\n"
                             "[log]\nlevel = debug\nformat = json\n");

    (void)state;
    assert_string_equal(c->region, "us-west-2");
    assert_true(c->create_tables);
    assert_true(c->allow_plain_http);
    assert_int_equal(c->billing_mode, BILLING_PROVISIONED);
    assert_int_equal(c->write_units_per_second, 250);
    assert_string_equal(c->table_name, "B-{Table}-dev");
    assert_int_equal(c->linger, 0);
    assert_int_equal(c->request_timeout, 1500 * USEC_PER_MSEC);
    assert_int_equal(c->lag_critical, 86400 * USEC_PER_SEC);
    assert_int_equal(c->log_level, LOG_EV_DEBUG);
    assert_int_equal(c->log_format, LOG_JSON);
    config_free(c);
}

static void the_last_value_counts_and_an_empty_one_is_the_default(void **state)
{
    struct config *c = parse("[sync]\nlinger = 1s\nlinger = 2s\nbackoff_max = 1s\nbackoff_max =\n"
                             "[dynamodb]\nregion = x\nregion = \"\"\n");

    (void)state;
    assert_int_equal(c->linger, 2 * USEC_PER_SEC);
    assert_int_equal(c->backoff_max, 20 * USEC_PER_SEC);
    assert_string_equal(c->region, "");
    config_free(c);
}

static void lists_add_up_until_an_empty_assignment(void **state)
{
    struct config *c = parse("tables = a, \"b, c\"\ntables = d\n"
                             "exclude_tables = x\nexclude_tables =\nexclude_tables = y, z\n"
                             "exclude_columns = *.p\nexclude_columns =\n");

    (void)state;
    joined(&c->tables, "<a><b, c><d>");
    joined(&c->exclude_tables, "<y><z>");
    joined(&c->exclude_columns, "");
    config_free(c);

    c = parse("tables = a\ntables =\n");
    joined(&c->tables, "<*>");
    config_free(c);
}

static void sections_of_one_table_merge(void **state)
{
    struct config *c = parse("[table \"Users\"]\ntarget = t-users\nrename.A = b\nrename.x = y\n"
                             "[table \"odd ]name\"]\nenabled = no\n"
                             "[table \"users\"]\nnull = null\nexclude = p, q\nrename.a = c\n"
                             "rename.x =\n");
    const struct table_config *t = config_table(c, "USERS");

    (void)state;
    assert_int_equal(c->table_section_count, 2);
    assert_non_null(t);
    assert_string_equal(t->name, "Users");
    assert_string_equal(t->target, "t-users");
    assert_int_equal(t->null_policy, NULL_WRITE);
    assert_true(t->enabled);
    assert_string_equal(t->partition_key, "");
    joined(&t->exclude, "<p><q>");
    assert_int_equal(t->rename.count, 1);
    assert_string_equal(pairlist_get(&t->rename, "a", same_name), "c");
    assert_string_equal(t->file, "syncd.conf");
    assert_int_equal(t->line, 3);
    assert_non_null(config_table(c, "odd ]name"));
    assert_null(config_table(c, "other"));
    config_free(c);
}

static void covered_tables_and_excluded_columns(void **state)
{
    struct config *c = parse("tables = app_*, Notes\nexclude_tables = app_tmp?\n"
                             "exclude_columns = *.password_HASH, user.token, app_a.x*\n"
                             "[table \"app_off\"]\nenabled = no\n"
                             "[table \"notes\"]\nexclude = Draft\n");

    (void)state;
    assert_true(config_covers_table(c, "app_a"));
    assert_true(config_covers_table(c, "APP_B"));
    assert_true(config_covers_table(c, "notes"));
    assert_false(config_covers_table(c, "notes2"));
    assert_false(config_covers_table(c, "app_tmp1"));
    assert_true(config_covers_table(c, "app_tmp12"));
    assert_false(config_covers_table(c, "app_off"));

    assert_true(config_excludes_column(c, "any", "Password_Hash"));
    assert_true(config_excludes_column(c, "a.b", "password_hash"));
    assert_true(config_excludes_column(c, "User", "token"));
    assert_false(config_excludes_column(c, "users", "token"));
    assert_true(config_excludes_column(c, "app_a", "x1"));
    assert_false(config_excludes_column(c, "app_a", "y"));
    assert_true(config_excludes_column(c, "Notes", "draft"));
    assert_false(config_excludes_column(c, "app_a", "draft"));
    config_free(c);
}

static void globs(void **state)
{
    (void)state;
    assert_true(glob_match("*", ""));
    assert_true(glob_match("*", "anything"));
    assert_true(glob_match("a*b*c", "AxxByybC"));
    assert_false(glob_match("a*b*c", "axxbyy"));
    assert_true(glob_match("?", "\xc3\xa9"));
    assert_false(glob_match("??", "\xc3\xa9"));
    assert_true(glob_match("caf\xc3\xa9", "CAF\xc3\xa9"));
    assert_false(glob_match("\xc3\x89", "\xc3\xa9")); /* ASCII letters only fold */
    assert_false(glob_match("", "a"));
    assert_true(glob_match("", ""));
    assert_true(glob_match("**a", "ba"));
    assert_false(glob_match("[ab]", "a"));
}

static void bad_values_say_what_is_allowed(void **state)
{
    (void)state;
    refuse("[sync]\nlinger = 5 parsecs\n",
           "syncd.conf:2: linger: \"5 parsecs\" is not a duration (examples: 20ms, 5s, 10m)");
    refuse("[sync]\nlinger = 5\n",
           "syncd.conf:2: linger: \"5\" is not a duration (examples: 20ms, 5s, 10m)");
    refuse("[sync]\nlinger = 1h\n", "syncd.conf:2: linger: \"1h\" is out of range (from 0 to 10s)");
    refuse("[sync]\nrequest_timeout = 99ms\n",
           "syncd.conf:2: request_timeout: \"99ms\" is out of range (from 100ms to 5m)");
    refuse("[dynamodb]\ncreate_tables = maybe\n",
           "syncd.conf:2: create_tables: \"maybe\" is not yes or no");
    refuse("[dynamodb]\nmax_requests_in_flight = 65\n",
           "syncd.conf:2: max_requests_in_flight: \"65\" is not a whole number from 1 to 64");
    refuse("[dynamodb]\nmax_requests_in_flight = 8x\n",
           "syncd.conf:2: max_requests_in_flight: \"8x\" is not a whole number from 1 to 64");
    refuse("[sync]\njournal_limit = 99999999999999999999\n",
           "syncd.conf:2: journal_limit: \"99999999999999999999\" is not a whole number from 1000 "
           "to 1000000000000");
    refuse("[log]\nlevel = loud\n",
           "syncd.conf:2: level: \"loud\" is not one of error, warning, info, debug");
    refuse("[source]\ndatabase = app.db\n",
           "syncd.conf:2: database: \"app.db\" is not an absolute path; begin it with /");
    refuse("[source]\nexclude_columns = *.a, password\n",
           "syncd.conf:2: exclude_columns: \"password\" is not TABLE.COLUMN (for a column of every "
           "table write *.COLUMN)");
    refuse("[dynamodb]\ntable_name = everything\n",
           "syncd.conf:2: table_name: \"everything\" would give every table the same name; put "
           "{table}, {Table} or {table-kebab} into it");
    refuse("[dynamodb]\ntable_name = {tabel}\n",
           "syncd.conf:2: table_name: \"{tabel}\" has a { that begins none of {table}, {Table} and "
           "{table-kebab}");
    refuse("[dynamodb]\ntable_name = a/{table}\n",
           "syncd.conf:2: table_name: \"a/{table}\" holds a character that DynamoDB refuses in a "
           "table's name (use A-Z a-z 0-9 _ . -)");
    refuse("[dynamodb]\ntable_name = {table}-${NOPE}\n",
           "syncd.conf:2: table_name: ${NOPE} is not set");
    refuse("[table \"t\"]\ntarget = ab\n",
           "syncd.conf:2: target: \"ab\" is not a DynamoDB table name (3 to 255 of A-Z a-z 0-9 _ "
           ". -)");
    refuse(
        "[control]\nsocket = /"
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        "aaaaaaaaaaaaaaaaaaaa\n",
        "syncd.conf:2: socket: the path of a socket holds at most 107 bytes, and this one has "
        "109; choose a shorter one");
    /* a long value leaves room for the rest, and is not cut inside a character */
    refuse(
        "[log]\nlevel = "
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa9zzz\n",
        "syncd.conf:2: level: \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...\" "
        "is not one of error, warning, info, debug");
}

static void unknown_names_find_the_nearest(void **state)
{
    (void)state;
    refuse("[dynamodb]\nendpont_url = x\n", "syncd.conf:2: unknown key \"endpont_url\" in "
                                            "[dynamodb], did you mean \"endpoint_url\"?");
    refuse("[dynamodb]\nREGION = x\n",
           "syncd.conf:2: unknown key \"REGION\" in [dynamodb], did you mean \"region\"?");
    refuse("[sync]\nhold_delete = 5%\n",
           "syncd.conf:2: unknown key \"hold_delete\" in [sync], did you mean \"hold_deletes\"?");
    refuse("[sync]\nfrobnicate = 5%\n",
           "syncd.conf:2: unknown key \"frobnicate\" in [sync]; remove the line");
    refuse("[log]\nlinger = 5ms\n",
           "syncd.conf:2: linger is no key of [log] but of [sync]; move the line there");
    refuse("\n[dynamdb]\n", "syncd.conf:2: unknown section [dynamdb], did you mean [dynamodb]?");
    refuse("[postgres]\n", "syncd.conf:1: unknown section [postgres] (there are source, dynamodb, "
                           "sync, state, control, log, table and export)");
    refuse("[source \"x\"]\n", "syncd.conf:1: section [source] takes no name");
    refuse("[table]\n", "syncd.conf:1: section [table] needs a name: [table \"NAME\"]");
    refuse("[table \"t\"]\nrename = x\n",
           "syncd.conf:2: rename needs a column: rename.COLUMN = value");
    refuse("[table \"t\"]\ntarget.x = y\n", "syncd.conf:2: target takes no \".x\" after it");
}

static void what_a_canary_and_a_heartbeat_must_be(void **state)
{
    static const char *const wrong[][2] = {
        {"http://example.org/x", "plain http would tell everybody"},
        {"http://127.0.0.1.example.org/", "plain http would tell everybody"},
        {"http://localhost.example.org/", "plain http would tell everybody"},
        {"https://user:secret@example.org/", "leave them out"},
        {"http://localhost@example.org/", "leave them out"},
        {"ftp://example.org/", "no URL that begins"},
        {"https:///x", "no URL that begins"},
        {"https://example.org/a b", "character"},
    };
    static const char *const right[] = {"https://example.org/ping", "http://127.0.0.1:8080/",
                                        "http://[::1]:80/x?y=z", "http://localhost"};
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(option_check_heartbeat(wrong[i][0], &err), -EINVAL);
        assert_non_null(strstr(err.text, wrong[i][1]));
        assert_null(strstr(err.text, "example.org"));
    }
    for (size_t i = 0; i < sizeof right / sizeof *right; i++)
        assert_int_equal(option_check_heartbeat(right[i], &err), 0);
    refuse("[sync]\ncanary = 1s\n", "syncd.conf:2: canary: a canary every third of so short a time "
                                    "says nothing; give it 3s or more, 60s as a rule, or 0s for "
                                    "none");
    struct config *c = parse("[sync]\ncanary = 60s\n");
    assert_int_equal(c->canary, 60 * USEC_PER_SEC);
    config_free(c);
    c = parse("");
    assert_int_equal(c->canary, 0);
    assert_string_equal(c->meta_table, "syncd-meta");
    config_free(c);
}

static void what_telemetry_takes(void **state)
{
    (void)state;
    struct config *c = parse("[control]\nlisten = [::1]:9847\n[log]\nemf_interval = 60s\n"
                             "emf_namespace = app/syncd\n");
    assert_string_equal(c->listen, "[::1]:9847");
    assert_true(c->emf_interval == 60 * USEC_PER_SEC);
    assert_string_equal(c->emf_namespace, "app/syncd");
    config_free(c);
    refuse(
        "[control]\nlisten = 0.0.0.0:9847\n",
        "syncd.conf:2: listen: \"0.0.0.0:9847\" is not an address of the loopback, and nobody is "
        "asked there who they are; write 127.0.0.1:9847, and put a proxy before it for others");
    refuse(
        "[log]\nemf_namespace = AWS/DynamoDB\n",
        "syncd.conf:2: emf_namespace: \"AWS/DynamoDB\" is not a CloudWatch namespace of one's own "
        "(1 to 255 of A-Z a-z 0-9 _ . - / #, not AWS/...)");
    refuse("[log]\nemf_namespace = a b\n",
           "syncd.conf:2: emf_namespace: \"a b\" is not a CloudWatch namespace of one's own "
           "(1 to 255 of A-Z a-z 0-9 _ . - / #, not AWS/...)");
}

static void tags_and_indexes_by_name(void **state)
{
    struct config *c = parse("[dynamodb]\ntag.team = a, b = c\ntag.Team = x\ntag.\"a b\" = y\n"
                             "tag.gone = z\ntag.gone =\n[table \"t\"]\n"
                             "index.by-user.1 = user_id, at : INCLUDE a, b\n");

    (void)state;
    assert_int_equal(c->tag.count, 3);
    assert_string_equal(c->tag.items[0].value, "a, b = c");
    assert_string_equal(c->tag.items[1].key, "Team"); /* AWS tells letters' case apart */
    assert_string_equal(c->tag.items[2].key, "a b");
    assert_int_equal(c->table_sections[0].index.count, 1);
    assert_string_equal(c->table_sections[0].index.items[0].key, "by-user.1");
    assert_string_equal(c->table_sections[0].index.items[0].value, "user_id, at : INCLUDE a, b");
    config_free(c);
    refuse("[dynamodb]\ntag = x\n", "syncd.conf:2: tag needs a name: tag.NAME = value");
    refuse("[dynamodb]\ntag.aws:x = y\n",
           "syncd.conf:2: tag.aws:x: names of tags that begin with aws: are AWS's own; choose "
           "another");
    refuse(
        "[table \"t\"]\nindex.a = id\n",
        "syncd.conf:2: index.a: \"a\" is not a name for an index (3 to 255 of A-Z a-z 0-9 _ . -)");
}

static void conversions_are_checked_when_they_are_read(void **state)
{
    struct config *c;

    (void)state;
    c = parse("[source]\nsource_id = edge-7\n[table \"t\"]\nconvert.a = uuid5(example.org:users)\n"
              "convert.b = timestamp(ms)\ndefault.b = 0\nadd.isPublicKey = {a}#x\nttl_column = b\n"
              "keep_key = yes\n");
    assert_string_equal(c->source_id, "edge-7");
    assert_int_equal(c->table_sections[0].convert.count, 2);
    assert_string_equal(c->table_sections[0].add.items[0].key, "isPublicKey");
    assert_string_equal(c->table_sections[0].defaults.items[0].value, "0");
    assert_string_equal(c->table_sections[0].ttl_column, "b");
    assert_true(c->table_sections[0].keep_key);
    config_free(c);
    refuse("[table \"t\"]\nconvert.a = boolean\n",
           "syncd.conf:2: convert.a: \"boolean\" is no conversion (bool, timestamp, epoch, json, "
           "string, number, uuid5(NAMESPACE:NAME), binary)");
    refuse("[source]\nsource_id = a#b\n",
           "syncd.conf:2: source_id: \"a#b\" is not an id (1 to 64 letters, digits, _ . and -)");
}

static void settings_that_contradict_each_other(void **state)
{
    (void)state;
    refuse("", "syncd.conf: [source] database is required: the path of the SQLite database to "
               "mirror");
    refuse(DATABASE "[sync]\nbackoff_base = 30s\n",
           "syncd.conf: [sync] backoff_base (30s) is longer than backoff_max (20s); make it "
           "shorter");
    refuse(DATABASE "[sync]\nlag_warning = 11m\n",
           "syncd.conf: [sync] lag_warning (11m) is longer than lag_critical (10m); make it "
           "shorter");
}

static void quantities(void **state)
{
    static const struct {
        const char *text;
        usec value;
    } durations[] = {{"0", 0},         {"0s", 0},         {"1us", 1},          {"20ms", 20000},
                     {"5 s", 5000000}, {"2m", 120000000}, {"3h", 10800000000}, {"1d", 86400000000}};
    static const char *const bad[] = {
        "", "s", "-1s", "1.5s", "1s ", " 1s", "5", "1w", "1S", "1s1s", "9223372036854775807s"};
    usec d = 7;
    int64_t v = 7;

    (void)state;
    for (size_t i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        assert_int_equal(quantity_duration(durations[i].text, &d), 0);
        assert_int_equal(d, durations[i].value);
    }
    d = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(quantity_duration(bad[i], &d), -EINVAL);
    assert_int_equal(d, 7);

    assert_int_equal(quantity_size("64M", &v), 0);
    assert_int_equal(v, 64 << 20);
    assert_int_equal(quantity_size("3", &v), 0);
    assert_int_equal(v, 3);
    assert_int_equal(quantity_size("1T", &v), -EINVAL);
    assert_int_equal(quantity_size("9223372036854775807K", &v), -EINVAL);
    assert_int_equal(quantity_whole("-12", &v), 0);
    assert_int_equal(v, -12);
    assert_int_equal(quantity_whole("0x10", &v), -EINVAL);
    assert_int_equal(quantity_whole("9223372036854775808", &v), -EINVAL);
}

/* No setting is a size in this version, so the type is pinned here. */
static void a_setting_of_sizes(void **state)
{
    struct sized {
        int64_t bytes;
    } s = {0}, other = {.bytes = 1};
    const struct config_option o = {.section = "x",
                                    .key = "bytes",
                                    .type = OPTION_SIZE,
                                    .offset = offsetof(struct sized, bytes),
                                    .initial = "64M",
                                    .max = 1 << 30};
    _cleanup_buf_ struct buf text = {0};
    struct err err;

    (void)state;
    assert_int_equal(setting_init(&o, &s, &err), 0);
    assert_int_equal(s.bytes, 64 << 20);
    assert_int_equal(setting_assign(&o, &s, NULL, "12K", NULL, NULL, &err), 0);
    setting_append(&o, &s, &text);
    assert_string_equal(text.data, "12K");
    assert_false(setting_equal(&o, &s, &other));
    assert_int_equal(setting_assign(&o, &s, NULL, "2G", NULL, NULL, &err), -EINVAL);
    assert_string_equal(err.text, "\"2G\" is out of range (from 0 to 1G)");
    assert_int_equal(setting_assign(&o, &s, NULL, "big", NULL, NULL, &err), -EINVAL);
    assert_string_equal(err.text, "\"big\" is not a size (examples: 512K, 64M, 1G)");
    assert_int_equal(s.bytes, 12 << 10);
}

static void exports_are_sections_in_order(void **state)
{
    struct config *c = parse("[export \"b\"]\nfrom = One\nmatch.sk = B#{id:uuid}\n"
                             "column.id = uuid primary key\ncolumn.\"odd name\" = x text\n"
                             "[export \"a\"]\nfrom = Two\n"
                             "[export \"b\"]\ncolumn.id = bigint primary key\ncolumn.Id = y date\n"
                             "[export \"B\"]\n");

    (void)state;
    assert_int_equal(c->export_section_count, 3);
    const struct export_config *b = &c->export_sections[0];
    assert_string_equal(b->name, "b");
    assert_string_equal(b->from, "One");
    assert_int_equal(b->line, 3);
    assert_int_equal(b->match.count, 1);
    assert_string_equal(b->match.items[0].value, "B#{id:uuid}");
    assert_int_equal(b->columns.count, 3);
    assert_string_equal(b->columns.items[0].key, "id");
    assert_string_equal(b->columns.items[0].value, "bigint primary key");
    assert_string_equal(b->columns.items[1].key, "odd name");
    assert_string_equal(b->columns.items[2].key, "Id");
    assert_string_equal(c->export_sections[1].name, "a");
    assert_string_equal(c->export_sections[2].from, "");
    config_free(c);
    refuse("[export]\n", "syncd.conf:1: section [export] needs a name: [export \"NAME\"]");
    refuse("[export \"x\"]\nmatch.sk = A{b\n",
           "syncd.conf:2: match.sk: a { has no }; {{ stands for a brace");
    refuse("[export \"x\"]\ncolumn.a = b text default 'c\n",
           "syncd.conf:2: column.a: a ' has no second one");
    refuse("[export \"x\"]\ncolumn.a = b integer default c\n",
           "syncd.conf:2: column.a: its default: b is no number");
    refuse("[export \"x\"]\ncolumn = b text\n",
           "syncd.conf:2: column needs a name: column.NAME = value");
    refuse("[export \"x\"]\nfrom = a b\n",
           "syncd.conf:2: from: \"a b\" is not a DynamoDB table name (3 to 255 of A-Z a-z 0-9 _ . "
           "-)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(values_of_every_type),
        cmocka_unit_test(the_last_value_counts_and_an_empty_one_is_the_default),
        cmocka_unit_test(lists_add_up_until_an_empty_assignment),
        cmocka_unit_test(sections_of_one_table_merge),
        cmocka_unit_test(covered_tables_and_excluded_columns),
        cmocka_unit_test(globs),
        cmocka_unit_test(bad_values_say_what_is_allowed),
        cmocka_unit_test(unknown_names_find_the_nearest),
        cmocka_unit_test(what_a_canary_and_a_heartbeat_must_be),
        cmocka_unit_test(what_telemetry_takes),
        cmocka_unit_test(tags_and_indexes_by_name),
        cmocka_unit_test(conversions_are_checked_when_they_are_read),
        cmocka_unit_test(settings_that_contradict_each_other),
        cmocka_unit_test(quantities),
        cmocka_unit_test(a_setting_of_sizes),
        cmocka_unit_test(exports_are_sections_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
