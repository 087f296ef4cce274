/* The credentials chain: what is taken from where, what is an error, and that errors tell enough
 * without telling a secret. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "aws/credentials_provider.h"

#define CANARY "CANARYsecretCANARY"

static char directory[] = "/tmp/syncd-credentials-XXXXXX";
static char credentials_path[64], config_path[64];

struct answer {
    int calls;
    struct credentials c;
    struct err err;
    struct credentials_provider *free_inside;
};

static void answered(void *arg, const struct credentials *c, const struct err *err)
{
    struct answer *a = arg;

    a->calls++;
    if (c)
        assert_int_equal(credentials_copy(&a->c, c), 0);
    else
        a->err = *err;
    credentials_provider_free(a->free_inside);
}

/* The chain on a loop, until it has answered and is gone. */
static struct answer fetch(const char *profile, const char *credentials_file)
{
    uv_loop_t loop;
    const struct credentials_request req = {.loop = &loop,
                                            .region = "eu-test-1",
                                            .profile = profile,
                                            .credentials_file = credentials_file};
    struct credentials_provider *p = NULL;
    struct answer a = {0};

    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(credentials_chain_new(&req, &p, &a.err), 0);
    credentials_fetch(p, answered, &a);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(a.calls, 1);
    credentials_provider_free(p);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return a;
}

static void expect_keys(struct answer a, const char *id, const char *secret, const char *token)
{
    if (!a.c.access_key_id)
        fail_msg("%s", a.err.text);
    assert_string_equal(a.c.access_key_id, id);
    assert_string_equal(a.c.secret_access_key, secret);
    if (token)
        assert_string_equal(a.c.session_token ? a.c.session_token : "(none)", token);
    else
        assert_null(a.c.session_token);
    credentials_clear(&a.c);
}

static void expect_error(struct answer a, const char *part)
{
    assert_null(a.c.access_key_id);
    if (!strstr(a.err.text, part))
        fail_msg("\"%s\" does not hold \"%s\"", a.err.text, part);
    assert_null(strstr(a.err.text, CANARY));
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void write_credentials(const char *text)
{
    write_file(credentials_path, text);
}

static int clean_slate(void **state)
{
    static const char *const names[] = {"AWS_ACCESS_KEY_ID",    "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN",    "AWS_SECURITY_TOKEN",
                                        "AWS_PROFILE",          "AWS_CREDENTIAL_EXPIRATION",
                                        "CREDENTIALS_DIRECTORY"};

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    setenv("AWS_SHARED_CREDENTIALS_FILE", credentials_path, 1);
    setenv("AWS_CONFIG_FILE", config_path, 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    unlink(credentials_path);
    unlink(config_path);
    return 0;
}

static void environment_comes_first(void **state)
{
    (void)state;
    write_credentials("[default]\naws_access_key_id = FILE\naws_secret_access_key = f\n");
    setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "e", 1);
    struct answer a = fetch(NULL, NULL);
    assert_string_equal(a.c.provider, "environment");
    assert_true(a.c.expires == 0);
    expect_keys(a, "ENV", "e", NULL);
    setenv("AWS_SECURITY_TOKEN", "old", 1);
    expect_keys(fetch(NULL, NULL), "ENV", "e", "old");
    setenv("AWS_SESSION_TOKEN", "tok", 1);
    expect_keys(fetch("", ""), "ENV", "e", "tok");
}

static void a_configured_profile_goes_before_the_environment(void **state)
{
    (void)state;
    write_credentials("[mine]\naws_access_key_id = MINE\naws_secret_access_key = m\n");
    setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "e", 1);
    expect_keys(fetch("mine", NULL), "MINE", "m", NULL);
    setenv("AWS_PROFILE", "mine", 1);
    expect_keys(fetch(NULL, NULL), "ENV", "e", NULL);
}

static void environment_expiry_is_read(void **state)
{
    (void)state;
    setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "e", 1);
    setenv("AWS_CREDENTIAL_EXPIRATION", "2026-01-01T00:00:00Z", 1);
    struct answer a = fetch(NULL, NULL);
    assert_true(a.c.expires == 1767225600);
    expect_keys(a, "ENV", "e", NULL);
    setenv("AWS_CREDENTIAL_EXPIRATION", "2026-01-01T00:00:01.5+00:00", 1);
    a = fetch(NULL, NULL);
    assert_true(a.c.expires == 1767225601);
    expect_keys(a, "ENV", "e", NULL);
    setenv("AWS_CREDENTIAL_EXPIRATION", "tomorrow", 1);
    expect_error(fetch(NULL, NULL), "AWS_CREDENTIAL_EXPIRATION is \"tomorrow\"");
}

static void half_a_pair_is_an_error_and_not_a_fall_through(void **state)
{
    (void)state;
    write_credentials("[default]\naws_access_key_id = FILE\naws_secret_access_key = f\n"
                      "[half]\naws_secret_access_key = " CANARY "\n");
    setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
    expect_error(fetch(NULL, NULL), "AWS_ACCESS_KEY_ID is set in the environment but "
                                    "AWS_SECRET_ACCESS_KEY is not");
    unsetenv("AWS_ACCESS_KEY_ID");
    setenv("AWS_SECRET_ACCESS_KEY", CANARY, 1);
    expect_error(fetch(NULL, NULL), "AWS_SECRET_ACCESS_KEY is set in the environment but");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    struct answer a = fetch("half", NULL);
    expect_error(a, "profile half has aws_secret_access_key");
    expect_error(a, "but not aws_access_key_id");
}

static void profiles_give_static_keys(void **state)
{
    char where[128];

    (void)state;
    write_credentials("[default]\naws_access_key_id = D\naws_secret_access_key = d\n"
                      "[dev]\naws_access_key_id = V\naws_secret_access_key = v\n"
                      "aws_session_token = t\n");
    write_file(config_path, "[profile cfg]\naws_access_key_id = C\naws_secret_access_key = c\n"
                            "[default]\naws_session_token = stale\n");
    struct answer a = fetch("dev", NULL);
    snprintf(where, sizeof where, "profile dev (%s)", credentials_path);
    assert_string_equal(a.c.provider, where);
    expect_keys(a, "V", "v", "t");
    expect_keys(fetch("cfg", NULL), "C", "c", NULL);
    expect_keys(fetch(NULL, NULL), "D", "d", NULL); /* the token beside it belongs to no key */
    setenv("AWS_PROFILE", "dev", 1);
    expect_keys(fetch(NULL, NULL), "V", "v", "t");
}

static void rotated_keys_are_seen(void **state)
{
    uv_loop_t loop;
    const struct credentials_request req = {.loop = &loop, .profile = "dev"};
    struct credentials_provider *p = NULL;
    struct answer a = {0}, b = {0};

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    write_credentials("[dev]\naws_access_key_id = OLD\naws_secret_access_key = o\n");
    assert_int_equal(credentials_chain_new(&req, &p, &a.err), 0);
    credentials_fetch(p, answered, &a);
    write_credentials("[dev]\naws_access_key_id = NEW\naws_secret_access_key = n\n");
    credentials_fetch(p, answered, &b);
    credentials_provider_free(p);
    assert_int_equal(uv_loop_close(&loop), 0);
    expect_keys(a, "OLD", "o", NULL);
    expect_keys(b, "NEW", "n", NULL);
}

static void a_configured_file_goes_before_the_environments(void **state)
{
    char other[64];

    (void)state;
    snprintf(other, sizeof other, "%s/other", directory);
    write_file(other, "[default]\naws_access_key_id = O\naws_secret_access_key = o\n");
    write_credentials("[default]\naws_access_key_id = D\naws_secret_access_key = d\n");
    expect_keys(fetch(NULL, other), "O", "o", NULL);
    unlink(other);
}

static void a_missing_profile_is_an_error(void **state)
{
    (void)state;
    write_credentials("[default]\naws_access_key_id = D\naws_secret_access_key = d\n");
    setenv("AWS_PROFILE", "typo", 1);
    struct answer a = fetch(NULL, NULL);
    expect_error(a, "profile typo is neither in");
    expect_error(a, credentials_path);
    expect_error(a, config_path);
}

static void what_needs_a_person_is_refused_by_name(void **state)
{
    static const char *const sso[] = {"sso_session", "sso_start_url", "sso_account_id",
                                      "sso_role_name"};
    char text[256], want[160];

    (void)state;
    for (size_t i = 0; i < sizeof sso / sizeof *sso; i++) {
        snprintf(text, sizeof text, "[profile other]\n%s = something\n", sso[i]);
        write_file(config_path, text);
        snprintf(want, sizeof want, "profile other signs in by SSO (%s in %s)", sso[i],
                 config_path);
        expect_error(fetch("other", NULL), want);
    }
    write_file(config_path, "[profile other]\nlogin_session = arn\n");
    expect_error(fetch("other", NULL), "profile other signs in by a console login");
    write_file(config_path, "[profile other]\nrole_arn = r\nmfa_serial = m\n"
                            "source_profile = keys\n");
    expect_error(fetch("other", NULL), "profile other asks for a one-time code (mfa_serial in ");
    /* A process is what keys go before. */
    write_credentials("[other]\naws_access_key_id = K\naws_secret_access_key = k\n");
    write_file(config_path, "[profile other]\ncredential_process = p\n");
    expect_keys(fetch("other", NULL), "K", "k", NULL);
}

static void systemds_credential_is_the_shared_file(void **state)
{
    char loaded[96];

    (void)state;
    snprintf(loaded, sizeof loaded, "%s/aws-credentials", directory);
    setenv("CREDENTIALS_DIRECTORY", directory, 1);
    write_credentials("[default]\naws_access_key_id = D\naws_secret_access_key = d\n");
    expect_keys(fetch(NULL, NULL), "D", "d", NULL); /* the unit loads another one */
    write_file(loaded, "[default]\naws_access_key_id = L\naws_secret_access_key = l\n");
    struct answer a = fetch(NULL, NULL);
    assert_non_null(strstr(a.c.provider, loaded));
    expect_keys(a, "L", "l", NULL);
    expect_keys(fetch(NULL, credentials_path), "D", "d", NULL);
    unlink(loaded);
}

static void roles_name_what_is_wrong_with_them(void **state)
{
    static const struct {
        const char *config, *sentence;
    } cases[] = {
        {"role_arn = r\n", "profile p has role_arn ("},
        {"role_arn = r\n", "neither source_profile nor credential_source; write one"},
        {"role_arn = r\nsource_profile = q\ncredential_source = Environment\n",
         "both source_profile and credential_source; write one"},
        {"role_arn = r\ncredential_source = Elsewhere\n",
         "is \"Elsewhere\"; write Environment, Ec2InstanceMetadata or EcsContainer"},
        {"role_arn = r\nsource_profile = nobody\n", "source_profile of profile p names nobody"},
        {"role_arn = r\nsource_profile = p\n", "leads back to profile p"},
        {"role_arn = r\nsource_profile = q\n[profile q]\nrole_arn = s\nsource_profile = p\n",
         "source_profile of profile q ("},
        {"role_arn = r\nsource_profile = q\n[profile q]\nregion = x\n",
         "profile q, the source_profile of p, has neither keys nor"},
        {"role_arn = r\nsource_profile = q\n[profile q]\nsso_session = x\n",
         "profile q signs in by SSO"},
        {"role_arn = r\nsource_profile = q\n[profile q]\naws_access_key_id = x\n",
         "profile q has aws_access_key_id"},
        {"role_arn = r\nsource_profile = q\nduration_seconds = 899\n",
         "is \"899\"; write 900 to 43200"},
        {"web_identity_token_file = /f\n", "profile p has web_identity_token_file ("},
        {"role_arn = r\ncredential_source = EcsContainer\n",
         "profile p takes its credentials from its credential_source, and there are none"},
        {"credential_process = \"unended\n", "is no command line"},
        {"credential_process = /nowhere/to/be/found\n", "cannot be run: /nowhere/to/be/found: no"},
    };
    char text[512];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "[profile p]\n%s", cases[i].config);
        write_file(config_path, text);
        expect_error(fetch("p", NULL), cases[i].sentence);
    }
}

static void process_answered(void *arg, enum provider_result result, const struct credentials *c,
                             const struct err *err)
{
    struct answer *a = arg;

    (void)c;
    a->calls++;
    assert_int_equal(result, PROVIDER_FAILED);
    a->err = *err;
}

/* The child, too, which has taken hold of the pipe. */
static void a_process_that_hangs_is_killed(void **state)
{
    uv_loop_t loop;
    const struct credentials_request req = {.loop = &loop};
    struct answer a = {0};

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    for (int limited = 0; limited < 2; limited++) {
        struct credentials_context *ctx = credentials_context_new(&req);
        assert_non_null(ctx);
        if (limited)
            ctx->process_limit = 50 * USEC_PER_MSEC;
        struct credentials_provider *p = process_provider_new(
            ctx, "slow", "/bin/sh -c 'echo " CANARY "; echo waiting >&2; sleep 600 | sleep 600'");
        assert_non_null(p);
        p->ops->fetch(p, process_answered, &a);
        if (limited)
            while (!a.calls)
                uv_run(&loop, UV_RUN_ONCE);
        credentials_provider_free(p); /* or cancelled */
        credentials_context_free(ctx);
        uv_run(&loop, UV_RUN_DEFAULT);
    }
    assert_int_equal(a.calls, 1);
    expect_error(a, "credential_process of profile slow did not end within 0 s and was killed");
    assert_int_equal(uv_loop_close(&loop), 0);
}

static void a_chain_of_roles_is_bounded(void **state)
{
    FILE *f = fopen(config_path, "w");

    (void)state;
    assert_non_null(f);
    for (int i = 0; i < 12; i++)
        fprintf(f, "[profile p%d]\nrole_arn = r%d\nsource_profile = p%d\n", i, i, i + 1);
    fprintf(f, "[profile p12]\naws_access_key_id = k\naws_secret_access_key = s\n");
    assert_int_equal(fclose(f), 0);
    expect_error(fetch("p0", NULL), "profile p0 goes through more than 8 roles");
}

static void nothing_found_names_everything_tried(void **state)
{
    (void)state;
    struct answer a = fetch(NULL, NULL);
    expect_error(a, "no AWS credentials found");
    expect_error(a, "the environment (AWS_ACCESS_KEY_ID is not set)");
    expect_error(a, "profile default (no such section in ");
    expect_error(a, credentials_path);
    expect_error(a, "web identity (AWS_WEB_IDENTITY_TOKEN_FILE is not set)");
    expect_error(a, "the container (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set)");
    expect_error(a, "the instance's role (AWS_EC2_METADATA_DISABLED is true)");
    expect_error(a, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
    write_credentials("[empty]\nregion = r\n");
    expect_error(fetch("empty", NULL), "profile empty (no keys in ");
}

static void malformed_files_stop_the_chain(void **state)
{
    char want[96];

    (void)state;
    write_credentials("[default]\naws_secret_access_key " CANARY "\n");
    snprintf(want, sizeof want, "%s:2: expected", credentials_path);
    expect_error(fetch(NULL, NULL), want);
}

static void keys_that_would_break_a_header_are_refused(void **state)
{
    (void)state;
    setenv("AWS_ACCESS_KEY_ID", "AK\r\nEvil:1", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "e", 1);
    expect_error(fetch(NULL, NULL), "aws_access_key_id of environment");
    setenv("AWS_ACCESS_KEY_ID", "AK/ID", 1);
    expect_error(fetch(NULL, NULL), "aws_access_key_id of environment");
    setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
    setenv("AWS_SECRET_ACCESS_KEY", CANARY "\n", 1);
    expect_error(fetch(NULL, NULL), "aws_secret_access_key of environment");
    setenv("AWS_SECRET_ACCESS_KEY", "e", 1);
    setenv("AWS_SESSION_TOKEN", CANARY " \n", 1);
    expect_error(fetch(NULL, NULL), "aws_session_token of environment");
}

static void the_chain_may_be_freed_in_its_answer(void **state)
{
    uv_loop_t loop;
    const struct credentials_request req = {.loop = &loop};
    struct answer a = {0};

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(credentials_chain_new(&req, &a.free_inside, &a.err), 0);
    credentials_fetch(a.free_inside, answered, &a);
    assert_int_equal(a.calls, 1);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    expect_error(a, "no AWS credentials found");
}

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(credentials_path, sizeof credentials_path, "%s/credentials", directory);
    snprintf(config_path, sizeof config_path, "%s/config", directory);
    return 0;
}

static int remove_directory(void **state)
{
    clean_slate(state);
    return rmdir(directory);
}

#define fresh(test) cmocka_unit_test_setup(test, clean_slate)

int main(void)
{
    const struct CMUnitTest tests[] = {
        fresh(environment_comes_first),
        fresh(a_configured_profile_goes_before_the_environment),
        fresh(environment_expiry_is_read),
        fresh(half_a_pair_is_an_error_and_not_a_fall_through),
        fresh(profiles_give_static_keys),
        fresh(rotated_keys_are_seen),
        fresh(a_configured_file_goes_before_the_environments),
        fresh(a_missing_profile_is_an_error),
        fresh(what_needs_a_person_is_refused_by_name),
        fresh(systemds_credential_is_the_shared_file),
        fresh(roles_name_what_is_wrong_with_them),
        fresh(a_process_that_hangs_is_killed),
        fresh(a_chain_of_roles_is_bounded),
        fresh(nothing_found_names_everything_tried),
        fresh(malformed_files_stop_the_chain),
        fresh(keys_that_would_break_a_header_are_refused),
        fresh(the_chain_may_be_freed_in_its_answer),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
