/* The shared AWS files: what counts as a profile, a key, a comment, a nested block, an error. */
#include <errno.h>
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

#include "aws/profile.h"

static struct profile_files *parse(const char *credentials, const char *config)
{
    struct profile_files *f = NULL;
    struct err err = {""};
    int r = profile_files_parse(credentials, strlen(credentials), config, strlen(config), &f, &err);

    if (r < 0)
        fail_msg("%s", err.text);
    return f;
}

static void expect(const struct profile_files *f, const char *profile, const char *key,
                   const char *want)
{
    const char *got = profile_get(f, profile, key);

    if (want)
        assert_string_equal(got ? got : "(absent)", want);
    else
        assert_null(got);
}

static void reads_both_files(void **state)
{
    struct profile_files *f = parse("[default]\n"
                                    "aws_access_key_id = AKID1\n"
                                    "aws_secret_access_key=a/b+c=\n"
                                    "[dev]\n"
                                    "region = from-credentials\n",
                                    "[default]\n"
                                    "region = us-west-2\n"
                                    "[profile dev]\n"
                                    "region = from-config\n"
                                    "output = json\n");

    (void)state;
    expect(f, "default", "aws_access_key_id", "AKID1");
    expect(f, "default", "aws_secret_access_key", "a/b+c=");
    expect(f, "default", "region", "us-west-2");
    expect(f, "dev", "region", "from-credentials");
    expect(f, "dev", "output", "json");
    expect(f, "dev", "aws_access_key_id", NULL);
    assert_string_equal(profile_origin(f, "dev", "region"), "credentials");
    assert_string_equal(profile_origin(f, "dev", "output"), "config");
    assert_null(profile_origin(f, "dev", "nothing"));
    assert_true(profile_exists(f, "dev"));
    assert_false(profile_exists(f, "prod"));
    profile_files_free(f);
}

static void names_may_be_quoted_and_keys_in_any_case(void **state)
{
    struct profile_files *f =
        parse("[\"my keys\"]\nAWS_Access_Key_ID = A\n", "[profile \"two words\"]\nREGION = r1\n"
                                                        "[ profile\t'single' ]\nregion = r2\n");

    (void)state;
    expect(f, "my keys", "aws_access_key_id", "A");
    expect(f, "two words", "region", "r1");
    expect(f, "single", "Region", "r2");
    assert_false(profile_exists(f, "Single"));
    profile_files_free(f);
}

static void config_sections_without_the_word_profile_are_no_profiles(void **state)
{
    struct profile_files *f = parse("", "[dev]\nregion = wrong\n"
                                        "[sso-session dev]\nregion = wrong\n"
                                        "[services dev]\nregion = wrong\n"
                                        "[plugins]\nregion = wrong\n");

    (void)state;
    assert_false(profile_exists(f, "dev"));
    expect(f, "dev", "region", NULL);
    expect(f, "plugins", "region", NULL);
    profile_files_free(f);
}

static void profile_default_goes_before_default(void **state)
{
    struct profile_files *both = parse("", "[profile default]\nregion = right\n"
                                           "[default]\nregion = wrong\noutput = wrong\n");
    struct profile_files *one = parse("", "[profile default]\nregion = right\n");

    (void)state;
    expect(both, "default", "region", "right");
    expect(both, "default", "output", NULL);
    expect(one, "default", "region", "right");
    assert_true(profile_exists(one, "default"));
    profile_files_free(both);
    profile_files_free(one);
}

static void sections_met_again_are_merged_and_the_last_value_wins(void **state)
{
    struct profile_files *f = parse("", "[profile a]\nregion = one\noutput = json\n"
                                        "[profile b]\nregion = other\n"
                                        "[profile a]\nregion = two\n");

    (void)state;
    expect(f, "a", "region", "two");
    expect(f, "a", "output", "json");
    expect(f, "b", "region", "other");
    profile_files_free(f);
}

static void comments_blank_lines_and_line_ends(void **state)
{
    struct profile_files *f = parse("", "\xef\xbb\xbf# first\r\n"
                                        "\r\n"
                                        "[profile a] ; after a section\r\n"
                                        "  # indented\r\n"
                                        "region = eu-west-1   # a comment\r\n"
                                        "colour = red#1\r\n"
                                        "empty =\r\n"
                                        "spaced   =   a value with blanks \t\r\n"
                                        "last = no line end");

    (void)state;
    expect(f, "a", "region", "eu-west-1");
    expect(f, "a", "colour", "red#1");
    expect(f, "a", "empty", NULL);
    expect(f, "a", "spaced", "a value with blanks");
    expect(f, "a", "last", "no line end");
    profile_files_free(f);
}

static void an_empty_value_does_not_hide_the_other_file(void **state)
{
    struct profile_files *f = parse("[a]\nregion =\n", "[profile a]\nregion = r\n");

    (void)state;
    expect(f, "a", "region", "r");
    profile_files_free(f);
}

static void nested_blocks_stay_nested(void **state)
{
    struct profile_files *f = parse("", "[profile a]\n"
                                        "services = local\n"
                                        "s3 =\n"
                                        "  region = nested\n"
                                        "\n"
                                        "  # still nested\n"
                                        "  Max_Queue_Size = 100\n"
                                        "region = outer\n"
                                        "[services local]\n"
                                        "dynamodb =\n"
                                        "\tendpoint_url = http://localhost:8000\n"
                                        "s3 =\n"
                                        "  endpoint_url = http://localhost:9000\n"
                                        "endpoint_url = http://wrong\n");

    (void)state;
    expect(f, "a", "region", "outer");
    expect(f, "a", "max_queue_size", NULL);
    expect(f, "a", "s3", NULL);
    assert_string_equal(profile_service_get(f, "a", "dynamodb", "endpoint_url"),
                        "http://localhost:8000");
    assert_string_equal(profile_service_get(f, "a", "S3", "Endpoint_URL"), "http://localhost:9000");
    assert_null(profile_service_get(f, "a", "sqs", "endpoint_url"));
    assert_null(profile_service_get(f, "b", "dynamodb", "endpoint_url"));
    profile_files_free(f);
}

static void a_section_indented_throughout_is_read(void **state)
{
    struct profile_files *f = parse("  [default]\n"
                                    "  aws_access_key_id = A\n"
                                    "  aws_secret_access_key = B\n"
                                    "      continued, and not a key = value\n"
                                    "  aws_session_token = C\n",
                                    "");

    (void)state;
    expect(f, "default", "aws_access_key_id", "A");
    expect(f, "default", "aws_secret_access_key", "B");
    expect(f, "default", "aws_session_token", "C");
    profile_files_free(f);
}

static void errors_name_file_and_line(void **state)
{
    static const struct {
        const char *config, *want;
    } bad[] = {
        {"region = x\n", "config:1: a line stands before the first section"},
        {"[default]\n\nregion x\n", "config:3: expected \"key = value\""},
        {"[default\n", "config:1: a section's name lacks its closing bracket"},
        {"[]\n", "config:1: a section's name is empty"},
        {"[default] region = x\n", "config:1: only a comment may follow"},
        {"[default]\n = x\n", "config:2: a key's name is missing"},
        {"[default]\ns3 =\n  nonsense\n", "config:3: expected \"key = value\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct profile_files *f = NULL;
        struct err err = {""};
        int r = profile_files_parse("", 0, bad[i].config, strlen(bad[i].config), &f, &err);
        assert_int_equal(r, -EINVAL);
        assert_null(f);
        if (strncmp(err.text, bad[i].want, strlen(bad[i].want)) != 0)
            fail_msg("%s", err.text);
    }
}

static void a_nul_byte_is_an_error(void **state)
{
    static const char text[] = "[a]\nkey = v\0w\n";
    struct profile_files *f = NULL;
    struct err err = {""};

    (void)state;
    assert_int_equal(profile_files_parse(text, sizeof text - 1, "", 0, &f, &err), -EINVAL);
    assert_non_null(strstr(err.text, "credentials:2: the line holds a NUL byte"));
}

static char directory[] = "/tmp/syncd-profile-XXXXXX";

static char *file_with(const char *name, const char *text)
{
    char *path = NULL;

    assert_true(asprintf(&path, "%s/%s", directory, name) > 0);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    return path;
}

static void loads_from_given_paths_the_environment_and_home(void **state)
{
    char *given = file_with("given", "[default]\naws_access_key_id = given\n");
    char *variable = file_with("variable", "[default]\naws_access_key_id = variable\n");
    struct profile_files *f = NULL;
    struct err err = {""};

    (void)state;
    setenv("HOME", directory, 1);
    setenv("AWS_CONFIG_FILE", "~/absent", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", variable, 1);
    assert_int_equal(profile_files_load(given, NULL, &f, &err), 0);
    expect(f, "default", "aws_access_key_id", "given");
    assert_string_equal(profile_credentials_path(f), given);
    profile_files_free(f);

    assert_int_equal(profile_files_load("", "", &f, &err), 0);
    expect(f, "default", "aws_access_key_id", "variable");
    profile_files_free(f);

    setenv("AWS_SHARED_CREDENTIALS_FILE", "~/given", 1);
    assert_int_equal(profile_files_load(NULL, NULL, &f, &err), 0);
    expect(f, "default", "aws_access_key_id", "given");
    profile_files_free(f);

    unsetenv("AWS_SHARED_CREDENTIALS_FILE");
    unsetenv("HOME");
    assert_int_equal(profile_files_load(NULL, NULL, &f, &err), 0);
    assert_int_equal(profile_credentials_path(f)[0], '/'); /* from the user database */
    profile_files_free(f);
    unlink(given);
    unlink(variable);
    free(given);
    free(variable);
}

static void files_that_cannot_be_such_files_are_refused(void **state)
{
    struct profile_files *f = NULL;
    struct err err = {""};
    char *big = file_with("big", "#");

    (void)state;
    assert_int_equal(profile_files_load(directory, "/dev/null/absent", &f, &err), -EINVAL);
    assert_non_null(strstr(err.text, directory));
    assert_int_equal(truncate(big, (1 << 20) + 1), 0);
    assert_int_equal(profile_files_load(big, "/dev/null/absent", &f, &err), -EINVAL);
    assert_non_null(strstr(err.text, big));
    assert_null(f);
    unlink(big);
    free(big);
}

static void chooses_the_profile(void **state)
{
    bool named;

    (void)state;
    unsetenv("AWS_PROFILE");
    assert_string_equal(profile_choose(NULL, &named), "default");
    assert_false(named);
    setenv("AWS_PROFILE", "env", 1);
    assert_string_equal(profile_choose("", &named), "env");
    assert_true(named);
    assert_string_equal(profile_choose("mine", &named), "mine");
    assert_true(named);
    unsetenv("AWS_PROFILE");
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_both_files),
        cmocka_unit_test(names_may_be_quoted_and_keys_in_any_case),
        cmocka_unit_test(config_sections_without_the_word_profile_are_no_profiles),
        cmocka_unit_test(profile_default_goes_before_default),
        cmocka_unit_test(sections_met_again_are_merged_and_the_last_value_wins),
        cmocka_unit_test(comments_blank_lines_and_line_ends),
        cmocka_unit_test(an_empty_value_does_not_hide_the_other_file),
        cmocka_unit_test(nested_blocks_stay_nested),
        cmocka_unit_test(a_section_indented_throughout_is_read),
        cmocka_unit_test(errors_name_file_and_line),
        cmocka_unit_test(a_nul_byte_is_an_error),
        cmocka_unit_test(loads_from_given_paths_the_environment_and_home),
        cmocka_unit_test(files_that_cannot_be_such_files_are_refused),
        cmocka_unit_test(chooses_the_profile),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
