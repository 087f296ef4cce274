/* Where a configuration comes from: files, drop-ins, NAME.env, environment, command line, and the
 * paths that follow from them. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "config/config.h"
#include "config/envfile.h"
#include "config/lists.h"

/* A directory of the test's own, which is its working directory meanwhile. */
struct place {
    char dir[64], before[PATH_MAX];
};

static int set_up(void **state)
{
    static const char *const systemd[] = {"STATE_DIRECTORY", "RUNTIME_DIRECTORY", "ENVIRONMENT"};
    struct place *p = calloc(1, sizeof *p);

    for (size_t i = 0; i < sizeof systemd / sizeof systemd[0]; i++)
        unsetenv(systemd[i]);
    if (!p || !getcwd(p->before, sizeof p->before))
        return -1;
    strcpy(p->dir, "/tmp/test-config-XXXXXX");
    *state = p;
    return mkdtemp(p->dir) && chmod(p->dir, 0755) == 0 ? chdir(p->dir) : -1;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    char command[96];
    int rc = chdir(p->before);

    snprintf(command, sizeof command, "rm -rf %s", p->dir);
    rc = system(command) ? -1 : rc;
    free(p);
    return rc;
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static struct config *load(const struct config_request *req)
{
    struct config *c = NULL;
    struct err err = {.text = ""};

    if (config_load(req, &c, &err) != 0)
        fail_msg("%s", err.text);
    return c;
}

static struct config *load_file(const char *file)
{
    return load(&(struct config_request){.file = file});
}

static void refuse(const struct config_request *req, int code, const char *sentence)
{
    struct config *untouched = (struct config *)&refuse, *c = untouched;
    struct err err = {.text = ""};

    assert_int_equal(config_load(req, &c, &err), code);
    assert_string_equal(err.text, sentence);
    assert_ptr_equal(c, untouched);
}

static void refuse_file(const char *file, int code, const char *sentence)
{
    refuse(&(struct config_request){.file = file}, code, sentence);
}

static void a_file_and_the_paths_beside_it(void **state)
{
    (void)state;
    write_file("syncd.conf", "[source]\ndatabase = /srv/d/app.db\n");
    write_file("shop.conf", "[source]\ndatabase = /app.db\n");
    write_file("bare",
               "[source]\ndatabase = /app.db\n[control]\nsocket = /s\n[state]\npath = /p\n");

    struct config *c = load_file("syncd.conf");
    assert_string_equal(c->name, "syncd");
    assert_string_equal(c->file, "syncd.conf");
    assert_string_equal(c->state_path, "/srv/d/.app.db-syncd.db");
    assert_string_equal(c->socket, "/run/syncd/syncd.sock");
    config_free(c);

    c = load_file("./shop.conf");
    assert_string_equal(c->name, "shop");
    assert_string_equal(c->state_path, "/.app.db-syncd.db");
    assert_string_equal(c->socket, "/run/syncd/shop/syncd.sock");
    config_free(c);

    setenv("STATE_DIRECTORY", "/var/lib/syncd:/var/lib/other", 1);
    setenv("RUNTIME_DIRECTORY", "/run/syncd/x", 1);
    c = load_file("shop.conf");
    assert_string_equal(c->state_path, "/var/lib/syncd/shop.db");
    assert_string_equal(c->socket, "/run/syncd/x/syncd.sock");
    config_free(c);

    c = load_file("bare");
    assert_string_equal(c->name, "bare");
    assert_string_equal(c->state_path, "/p");
    assert_string_equal(c->socket, "/s");
    config_free(c);
}

static void drop_ins_follow_in_the_order_of_their_names(void **state)
{
    (void)state;
    write_file("a.conf", "[source]\ndatabase = /a.db\ntables = x\n[sync]\nlinger = 1s\n"
                         "[dynamodb]\nregion = main\n");
    assert_int_equal(mkdir("a.conf.d", 0755), 0);
    write_file("a.conf.d/20-b.conf", "[sync]\nlinger = 3s\n[source]\ntables = z\n");
    write_file("a.conf.d/10-a.conf", "[sync]\nlinger = 2s\n[source]\ntables =\ntables = y\n");
    write_file("a.conf.d/.hidden.conf", "nonsense");
    write_file("a.conf.d/30.conf~", "nonsense");

    struct config *c = load_file("a.conf");
    assert_int_equal(c->linger, 3 * USEC_PER_SEC);
    assert_string_equal(c->region, "main");
    assert_int_equal(c->tables.count, 2);
    assert_string_equal(c->tables.items[0], "y");
    assert_string_equal(c->tables.items[1], "z");
    config_free(c);

    write_file("a.conf.d/30.conf", "[sync]\nlinger = soon\n");
    refuse_file("a.conf", -EINVAL,
                "a.conf.d/30.conf:2: linger: \"soon\" is not a duration (examples: 20ms, 5s, 10m)");
    unlink("a.conf.d/30.conf");
    assert_int_equal(mkdir("a.conf.d/40.conf", 0755), 0);
    refuse_file("a.conf", -EISDIR, "a.conf.d/40.conf is a directory; name a file");

    write_file("b.conf", "[source]\ndatabase = /a.db\n");
    write_file("b.conf.d", "");
    refuse_file("b.conf", -ENOTDIR, "the directory b.conf.d cannot be read: Not a directory");
}

static void the_command_line_comes_last(void **state)
{
    const struct place *p = *state;
    char database[PATH_MAX], socket[PATH_MAX];

    write_file("a.conf", "[dynamodb]\nregion = x\nprofile = y\n[control]\nsocket = /from/file\n");
    struct config *c = load(&(struct config_request){.file = "a.conf",
                                                     .database = "new.db",
                                                     .region = "eu-west-1",
                                                     .endpoint_url = "http://127.0.0.1:1",
                                                     .socket = "./s"});
    snprintf(database, sizeof database, "%s/new.db", p->dir);
    snprintf(socket, sizeof socket, "%s/s", p->dir);
    assert_string_equal(c->database, database);
    assert_string_equal(c->socket, socket);
    assert_string_equal(c->region, "eu-west-1");
    assert_string_equal(c->profile, "y");
    assert_string_equal(c->endpoint_url, "http://127.0.0.1:1");
    config_free(c);

    refuse(&(struct config_request){.file = "a.conf", .database = "none/x.db"}, -ENOENT,
           "--database \"none/x.db\": its directory cannot be found: No such file or directory");
    refuse(&(struct config_request){.file = "a.conf", .database = ".."}, -EINVAL,
           "--database \"..\" does not end in the name of a file");
    refuse(&(struct config_request){.file = "a.conf", .database = ""}, -EINVAL,
           "--database \"\" does not end in the name of a file");
}

static void one_off_jobs_need_no_file(void **state)
{
    (void)state;
    if (access(SYNCD_SYSCONFDIR "/syncd/syncd.conf", F_OK) == 0)
        skip();
    struct config *c = load(&(struct config_request){.database = "/d/x.db", .file_optional = true});
    assert_string_equal(c->database, "/d/x.db");
    assert_string_equal(c->name, "syncd");
    assert_string_equal(c->file, "");
    assert_string_equal(c->state_path, "/d/.x.db-syncd.db");
    assert_string_equal(c->socket, "/run/syncd/syncd.sock");
    config_free(c);

    refuse(&(struct config_request){.file_optional = true}, -ENOENT,
           SYNCD_SYSCONFDIR "/syncd/syncd.conf does not exist; write it ([source] database and a "
                            "region are enough) or name another file with --config");
    refuse(
        &(struct config_request){.name = "no-such-name", .database = "/x", .file_optional = true},
        -ENOENT,
        SYNCD_SYSCONFDIR "/syncd/no-such-name.conf does not exist; write it ([source] database "
                         "and a region are enough) or name another file with --config");
}

static void settings_stand_above_the_file(void **state)
{
    static const char *const settings[] = {"source.database=/other/a b.db",
                                           "dynamodb.region=eu-test-1",
                                           "dynamodb.profile=",
                                           "control.socket=/tmp/${S} \"s\"",
                                           "source.tables=t",
                                           "source.tables=u",
                                           NULL};
    struct config_request req = {.file = "syncd.conf", .settings = settings};

    (void)state;
    write_file("syncd.conf", "[source]\ndatabase = /srv/d/app.db\n[dynamodb]\nregion = x\n"
                             "profile = p\n");
    struct config *c = load(&req);
    assert_string_equal(c->database, "/other/a b.db");
    assert_string_equal(c->state_path, "/other/.a b.db-syncd.db");
    assert_string_equal(c->region, "eu-test-1");
    assert_string_equal(c->profile, "");
    assert_string_equal(c->socket, "/tmp/${S} \"s\"");
    assert_int_equal(c->tables.count, 2);
    config_free(c);

    /* A database is enough, as with --database. */
    req = (struct config_request){.settings = settings};
    unlink("syncd.conf");
    c = load(&req);
    assert_string_equal(c->file, "");
    config_free(c);
}

static void refuse_setting(const char *setting, const char *sentence)
{
    const char *const settings[] = {setting, NULL};

    refuse(&(struct config_request){.file = "syncd.conf", .settings = settings}, -EINVAL, sentence);
}

static void settings_that_are_none(void **state)
{
    (void)state;
    write_file("syncd.conf", "[source]\ndatabase = /srv/d/app.db\n");
    refuse_setting("words", "--set \"words\" is not SECTION.KEY=VALUE");
    refuse_setting("source.database", "--set \"source.database\" is not SECTION.KEY=VALUE");
    refuse_setting("source.databse=/x", "--set source.databse=/x: there is no such setting");
    refuse_setting("table.target=abc",
                   "--set table.target=abc: there is no such setting outside of "
                   "a section with a name");
    refuse_setting("dynamodb.tag=x",
                   "--set dynamodb.tag=x: tag has lines of the form tag.NAME = value, which a file "
                   "alone can set");
    refuse_setting("dynamodb.tag=", "--set dynamodb.tag=: tag has lines of the form tag.NAME = "
                                    "value, which a file alone can set");
    refuse_setting("sync.linger=soon",
                   "--set sync.linger: \"soon\" is not a duration (examples: 20ms, 5s, 10m)");
}

static void files_that_cannot_be_read(void **state)
{
    (void)state;
    assert_int_equal(mkdir("d.conf", 0755), 0);
    write_file("empty.conf", "");
    refuse_file("d.conf", -EISDIR, "d.conf is a directory; name a file");
    refuse_file("none.conf", -ENOENT,
                "none.conf does not exist; write it ([source] database and a region are enough) or "
                "name another file with --config");
    refuse_file("empty.conf", -EINVAL,
                "empty.conf: [source] database is required: the path of the SQLite database to "
                "mirror");
    refuse_file("empty.conf/x", -ENOTDIR, "empty.conf/x cannot be opened: Not a directory");
    write_file("same.conf", "[source]\ndatabase = /a.db\n[state]\npath = /a.db\n");
    refuse_file("same.conf", -EINVAL,
                "same.conf: [state] path is the database itself; give the daemon a file of its "
                "own");

    _cleanup_buf_ struct buf big = {0};
    for (int i = 0; i < (1 << 20) + 1; i++)
        buf_putc(&big, '\n');
    write_file("big.conf", big.data);
    refuse_file("big.conf", -EFBIG,
                "big.conf: the file is larger than 1 MiB; is it a configuration?");
}

static void names(void **state)
{
    (void)state;
    refuse(&(struct config_request){.name = "a/b"}, -EINVAL,
           "--name \"a/b\" is not a name (letters, digits, _ . and -, no dot first)");
    refuse(&(struct config_request){.name = ".."}, -EINVAL,
           "--name \"..\" is not a name (letters, digits, _ . and -, no dot first)");
    refuse(&(struct config_request){.name = ""}, -EINVAL,
           "--name \"\" is not a name (letters, digits, _ . and -, no dot first)");
    refuse(&(struct config_request){.name = "a", .file = "b"}, -EINVAL,
           "--config and --name exclude each other; give one of them");
}

static void variables_come_from_the_environment_then_from_the_env_file(void **state)
{
    (void)state;
    write_file("a.conf", "[source]\ndatabase = /${ENVIRONMENT}.db\n");
    refuse_file("a.conf", -EINVAL,
                "a.conf:2: database: ${ENVIRONMENT} is not set; set it in the environment or in "
                "a.env");

    write_file("a.env", "# stage\nENVIRONMENT=file\nOTHER=1\n");
    struct config *c = load_file("a.conf");
    assert_string_equal(c->database, "/file.db");
    assert_null(getenv("ENVIRONMENT"));
    unsetenv("OTHER");
    assert_int_equal(config_export_environment(c, NULL), 0);
    assert_string_equal(getenv("ENVIRONMENT"), "file");
    assert_string_equal(getenv("OTHER"), "1");
    config_free(c);

    setenv("ENVIRONMENT", "process", 1);
    c = load_file("a.conf");
    assert_string_equal(c->database, "/process.db");
    assert_int_equal(config_export_environment(c, NULL), 0);
    assert_string_equal(getenv("ENVIRONMENT"), "process");
    config_free(c);

    write_file("a.env", "A=1\nexport B=hush\n");
    refuse_file("a.conf", -EINVAL, "a.env:2: this line is not NAME=value");
}

/* As another user where this runs as root, whom no mode stops. */
static void files_of_others(void **state)
{
    bool root = geteuid() == 0;

    (void)state;
    write_file("a.conf", "[source]\ndatabase = /a.db\n");
    write_file("b.conf", "[source]\ndatabase = /a.db\n[dynamodb]\nregion = ${STAGE_OF_TEST}\n");
    write_file("a.env", "STAGE_OF_TEST=hush\n");
    write_file("b.env", "STAGE_OF_TEST=hush\n");
    assert_int_equal(chmod("a.env", 0), 0);
    assert_int_equal(chmod("b.env", 0), 0);
    if (root)
        assert_int_equal(seteuid(65534), 0);

    struct config *c = load_file("a.conf");
    assert_int_equal(c->environment.count, 0);
    config_free(c);
    refuse_file("b.conf", -EINVAL,
                "b.conf:4: region: ${STAGE_OF_TEST} is not set in the environment, and b.env may "
                "not be read by this user");

    if (root)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod("a.conf", 0), 0);
    if (root)
        assert_int_equal(seteuid(65534), 0);
    refuse_file("a.conf", -EACCES, "a.conf: permission denied; run as a user who may read it");
    if (root)
        assert_int_equal(seteuid(0), 0);
}

static void env_has(const char *text, const char *value)
{
    struct pairlist env = {0};
    struct err err = {.text = ""};

    if (envfile_parse("x.env", text, strlen(text), &env, &err) != 0)
        fail_msg("%s", err.text);
    assert_string_equal(pairlist_get(&env, "A", same_text), value);
    pairlist_clear(&env);
}

static void env_refused(const char *text, const char *sentence)
{
    struct pairlist env = {0};
    struct err err = {.text = ""};

    assert_int_equal(envfile_parse("x.env", text, strlen(text), &env, &err), -EINVAL);
    assert_string_equal(err.text, sentence);
    pairlist_clear(&env);
}

static void env_files_read_as_systemd_reads_them(void **state)
{
    (void)state;
    env_has("A=b", "b");
    env_has("A=\n", "");
    env_has("  A =  b c  \r\nB=x\n", "b c");
    env_has("A=1\nA=2\n", "2");
    env_has("\n# A=x\n;A=y\n# more \\\nA=z\nA=b # c\n", "b # c");
    env_has("A='b \\ \" $c'\n", "b \\ \" $c");
    env_has("A=\"b \\\" \\\\ \\$ \\` \\n\"\n", "b \" \\ $ ` \\n");
    env_has("A=\"b\\\nc\nd\"\n", "bc\nd");
    env_has("A=b\\ \\ \n", "b  ");
    env_has("A=b\\\nc\n", "bc");
    env_has("A=\"b \"'c'd\n", "b cd");

    env_refused("A=1\n\nwords\n", "x.env:3: this line is not NAME=value");
    env_refused("1A=1\n", "x.env:1: this line is not NAME=value");
    env_refused("=1\n", "x.env:1: this line is not NAME=value");
    env_refused("A=\"hush\n", "x.env:2: a quote that begins before here is not closed");
    env_refused("A='hush", "x.env:1: a quote that begins before here is not closed");
    env_refused("A=\xff", "x.env:1: the value before here holds NUL or is not UTF-8");
}

static void every_example_loads(void **state)
{
    const struct place *p = *state;
    static const struct {
        const char *file, *table_name;
    } examples[] = {{"jaaz", "jaaz-{table-kebab}"},
                    {"booklibrary", "BookLibrary-{Table}-dev"},
                    {"edge", "edge-{table}"}};

    setenv("ENVIRONMENT", "dev", 1);
    for (size_t i = 0; i < sizeof examples / sizeof examples[0]; i++) {
        char path[PATH_MAX + 64];
        snprintf(path, sizeof path, "%s/etc/examples/%s.conf", p->before, examples[i].file);
        struct config *c = load_file(path);
        assert_string_equal(c->name, examples[i].file);
        assert_string_equal(c->table_name, examples[i].table_name);
        assert_true(*c->region != '\0');
        if (c->table_section_count)
            assert_string_equal(config_table(c, "user_book")->target, "BookLibrary-UserBooks-dev");
        config_free(c);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_and_the_paths_beside_it),
        TEST(drop_ins_follow_in_the_order_of_their_names),
        TEST(the_command_line_comes_last),
        TEST(one_off_jobs_need_no_file),
        TEST(settings_stand_above_the_file),
        TEST(settings_that_are_none),
        TEST(files_that_cannot_be_read),
        TEST(names),
        TEST(variables_come_from_the_environment_then_from_the_env_file),
        TEST(files_of_others),
        TEST(env_files_read_as_systemd_reads_them),
        TEST(every_example_loads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
