/* Which of the unit's paths let the daemon write in the database's directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "jobs/doctor_unit.c"

static void the_directory_itself_or_one_above_it(void **state)
{
    (void)state;
    assert_true(covers("/var/lib/app", "/var/lib/app"));
    assert_true(covers("/var/lib/app/", "/var/lib/app"));
    assert_true(covers("/srv /var/lib", "/var/lib/app"));
    assert_true(covers("-/var/lib/app /srv", "/var/lib/app"));
    assert_true(covers("-+/var/lib/", "/var/lib/app"));
    assert_true(covers("/", "/var/lib/app"));
    assert_true(covers("/home/a:/home/a:rbind", "/home/a"));
    assert_true(covers("/home/a:/home/a:rbind", "/home/a/data"));
}

static void no_other(void **state)
{
    (void)state;
    assert_false(covers("", "/var/lib/app"));
    assert_false(covers("/var/lib/app2 /var/lib/ap", "/var/lib/app"));
    assert_false(covers("/var/lib/app/sub", "/var/lib/app"));
    assert_false(covers("/srv/var/lib/app", "/var/lib/app"));
    assert_false(covers("/home/a/b:/home/a/b:rbind", "/home/a"));
}

static void blanks_in_a_path(void **state)
{
    (void)state;
    assert_true(covers("/srv /home/a/my data", "/home/a/my data"));
    assert_true(covers("/home/a/my data:/home/a/my data:rbind", "/home/a/my data"));
    assert_false(covers("/home/a/my database", "/home/a/my data"));
}

static void which_unit_belongs_to_a_name(void **state)
{
    struct buf unit = {0};

    (void)state;
    setup_unit_name(&unit, "syncd");
    assert_string_equal(unit.data, "syncd.service");
    buf_clear(&unit);
    setup_unit_name(&unit, "my-app");
    assert_string_equal(unit.data, "syncd@my-app.service");
    buf_free(&unit);
    assert_true(setup_hides("/home") && setup_hides("/root/x") && setup_hides("/tmp/x"));
    assert_false(setup_hides("/homes/x") || setup_hides("/var/lib/app") || setup_hides("/"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_directory_itself_or_one_above_it),
        cmocka_unit_test(no_other),
        cmocka_unit_test(blanks_in_a_path),
        cmocka_unit_test(which_unit_belongs_to_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
