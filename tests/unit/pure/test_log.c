/* Log lines as a reader of stderr or the journal gets them. The clock is this file's own: the
 * program's clock_gettime() stands in for the C library's. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

static usec now = 1000 * USEC_PER_SEC;

int clock_gettime(clockid_t id, struct timespec *ts)
{
    usec wall = 1767225600 * USEC_PER_SEC; /* 2026-01-01T00:00:00Z */
    usec t = id == CLOCK_REALTIME ? wall + now : now;

    ts->tv_sec = (time_t)(t / USEC_PER_SEC);
    ts->tv_nsec = (long)(t % USEC_PER_SEC) * 1000;
    return 0;
}

/* --- stderr, captured ------------------------------------------------------------------------- */

static int pipe_read = -1, real_stderr = -1;

static int capture(void **state)
{
    int ends[2];

    (void)state;
    now += 3600 * USEC_PER_SEC; /* what earlier tests repeated is long over */
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -1;
    pipe_read = ends[0];
    real_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    log_set_journal(NULL);
    log_setup(LOG_EV_INFO, LOG_TEXT);
    log_event(LOG_EV_ERROR, "flush", "what is left of the last test", NULL);
    char drop[4096];
    while (read(pipe_read, drop, sizeof drop) > 0)
        continue;
    return 0;
}

static int release(void **state)
{
    (void)state;
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    close(pipe_read);
    return 0;
}

/* Everything written since the last call. */
static const char *written(void)
{
    static char text[65536];
    size_t n = 0;
    ssize_t got;

    while ((got = read(pipe_read, text + n, sizeof text - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    return text;
}

static unsigned lines(const char *text)
{
    unsigned n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static const char *member(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s ? s : "(none)";
}

/* --- formats ---------------------------------------------------------------------------------- */

static void test_text_lines_carry_time_level_message_and_fields(void **state)
{
    (void)state;
    now = 7200 * USEC_PER_SEC + 5 * USEC_PER_MSEC;
    log_event(LOG_EV_WARNING, "table_parked", "table t is gone", "table", "t", "skipped", NULL,
              "code", "X", NULL);
    assert_string_equal(written(),
                        "2026-01-01T02:00:00.005Z warning table t is gone [table=t code=X]\n");
    log_event(LOG_EV_ERROR, "e", "plain", NULL);
    assert_string_equal(written(), "2026-01-01T02:00:00.005Z error   plain\n");
}

static void test_a_newline_cannot_break_a_text_line(void **state)
{
    (void)state;
    log_event(LOG_EV_ERROR, "e", "a\nb\r\033[31mc\t", "field", "x\ny", NULL);
    const char *text = written();
    assert_int_equal(lines(text), 1);
    assert_non_null(strstr(text, "a b  [31mc  [field=x y]\n"));
}

static void test_json_lines_parse_whatever_is_in_them(void **state)
{
    static const char *const messages[] = {"plain", "a\nb\"c\\d\x01", "bad \xff\xc3 bytes",
                                           "\xc3\xa9\xf0\x9f\x98\x80", ""};

    (void)state;
    log_setup(LOG_EV_INFO, LOG_JSON);
    now = 60 * USEC_PER_SEC;
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        log_event(LOG_EV_INFO, "some_event", messages[i], "table", messages[i], "none", NULL, NULL);
        const char *text = written();
        assert_int_equal(lines(text), 1);
        json_t *o = json_loads(text, 0, NULL);
        assert_non_null(o);
        assert_string_equal(member(o, "ts"), "2026-01-01T00:01:00.000Z");
        assert_string_equal(member(o, "level"), "info");
        assert_string_equal(member(o, "event"), "some_event");
        assert_string_equal(member(o, "table"), member(o, "msg"));
        assert_int_equal(json_object_size(o), 5);
        if (i != 2)
            assert_string_equal(member(o, "msg"), messages[i]);
        json_decref(o);
    }
}

static void test_more_fields_than_fit_are_left_out(void **state)
{
    (void)state;
    log_setup(LOG_EV_INFO, LOG_JSON);
    log_event(LOG_EV_INFO, "many", "m", "a", "1", "b", "2", "c", "3", "d", "4", "e", "5", "f", "6",
              "g", "7", "h", "8", "i", "9", "j", "10", "k", "11", "l", "12", "m", "13", "n", "14",
              NULL);
    json_t *o = json_loads(written(), 0, NULL);
    assert_string_equal(member(o, "l"), "12");
    assert_string_equal(member(o, "m"), "(none)");
    json_decref(o);
}

static void test_journal_without_a_sink_is_text_with_levels(void **state)
{
    (void)state;
    log_setup(LOG_EV_DEBUG, LOG_JOURNAL);
    log_event(LOG_EV_ERROR, "a", "one\ntwo", NULL);
    log_event(LOG_EV_WARNING, "b", "w", NULL);
    log_event(LOG_EV_INFO, "c", "i", NULL);
    log_event(LOG_EV_DEBUG, "d", "d", "k", "v", NULL);
    assert_string_equal(written(), "<3>one two\n<4>w\n<6>i\n<7>d [k=v]\n");
}

static struct buf journal;

static bool journal_full;

static bool sink(const char *const *fields, int n)
{
    for (int i = 0; i < n && !journal_full; i++)
        buf_printf(&journal, "%s|", fields[i]);
    return !journal_full;
}

static void test_journal_fields_and_message_ids(void **state)
{
    (void)state;
    log_setup(LOG_EV_INFO, LOG_JOURNAL);
    log_set_journal(sink);
    log_event(LOG_EV_WARNING, "dead_letter", "a\nb", "table", "t", "request_id", "R", NULL);
    assert_string_equal(journal.data, "MESSAGE=a\nb|PRIORITY=4|SYNCD_EVENT=dead_letter|"
                                      "MESSAGE_ID=6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d04|SYNCD_TABLE=t|"
                                      "SYNCD_REQUEST_ID=R|");
    buf_clear(&journal);
    log_event(LOG_EV_INFO, "ordinary", "m", NULL);
    assert_string_equal(journal.data, "MESSAGE=m|PRIORITY=6|SYNCD_EVENT=ordinary|");
    buf_free(&journal);
    log_set_journal(NULL);
    assert_string_equal(written(), "");
}

static void test_auto_is_text_where_stderr_is_not_the_journal(void **state)
{
    (void)state;
    setenv("JOURNAL_STREAM", "1:1", 1);
    log_setup(LOG_EV_INFO, LOG_AUTO);
    log_event(LOG_EV_INFO, "auto", "not the journal", NULL);
    assert_non_null(strstr(written(), "Z info    not the journal\n"));
    unsetenv("JOURNAL_STREAM");
}

static void test_levels_above_the_threshold_are_silent(void **state)
{
    (void)state;
    log_set_level(LOG_EV_WARNING);
    assert_true(log_wants(LOG_EV_WARNING));
    assert_false(log_wants(LOG_EV_INFO));
    log_event(LOG_EV_INFO, "e", "no", NULL);
    assert_string_equal(written(), "");
    log_event(LOG_EV_WARNING, "e", "yes", NULL);
    assert_int_equal(lines(written()), 1);
}

static void test_formatted_messages(void **state)
{
    (void)state;
    log_event(LOG_EV_ERROR, "e", log_msg("%s is %d", "x", 5), NULL);
    assert_non_null(strstr(written(), " x is 5\n"));
}

/* --- repeats ---------------------------------------------------------------------------------- */

static void test_a_storm_is_one_line_and_a_count(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        log_event(LOG_EV_WARNING, "retry", "the endpoint does not answer", "n", "x", NULL);
    assert_int_equal(lines(written()), 1);
    now += 11 * USEC_PER_SEC;
    log_event(LOG_EV_INFO, "other", "something else", NULL);
    const char *text = written();
    assert_int_equal(lines(text), 2);
    assert_non_null(
        strstr(text, "warning the endpoint does not answer (99 more times) [repeated=99]\n"));
    log_event(LOG_EV_WARNING, "retry", "the endpoint does not answer", NULL);
    assert_int_equal(lines(written()), 1); /* the window is over: it is news again */
}

static void test_a_storm_that_goes_on_is_summed_up_every_ten_seconds(void **state)
{
    unsigned told = 0;

    (void)state;
    for (int i = 0; i < 600; i++, now += 100 * USEC_PER_MSEC)
        log_event(LOG_EV_WARNING, "long_storm", "again and again", NULL);
    told = lines(written());
    assert_in_range(told, 6, 13); /* a line and a count for each ten seconds of sixty */
}

static void test_only_the_same_sentence_is_a_repeat(void **state)
{
    char one[400], two[400];

    (void)state;
    memset(one, 'x', sizeof one - 1);
    one[sizeof one - 1] = '\0';
    memcpy(two, one, sizeof one);
    two[sizeof two - 2] = 'y'; /* long, and different at its very end */
    log_event(LOG_EV_WARNING, "long", one, NULL);
    log_event(LOG_EV_WARNING, "long", two, NULL);
    assert_int_equal(lines(written()), 2);
    log_event(LOG_EV_WARNING, "long", two, NULL);
    assert_int_equal(lines(written()), 0);
    log_event(LOG_EV_WARNING, "a", "same text", NULL);
    log_event(LOG_EV_WARNING, "b", "same text", NULL);
    assert_int_equal(lines(written()), 2);
}

static void test_debug_is_never_held_back(void **state)
{
    (void)state;
    log_set_level(LOG_EV_DEBUG);
    for (int i = 0; i < 5; i++)
        log_event(LOG_EV_DEBUG, "d", "tick", NULL);
    assert_int_equal(lines(written()), 5);
}

/* More different sentences than are remembered: a count is told before it is forgotten. */
static void test_counts_survive_a_flood_of_other_events(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++)
        log_event(LOG_EV_WARNING, "first", "the first", NULL);
    now += USEC_PER_SEC;
    for (int i = 0; i < 40; i++)
        log_event(LOG_EV_WARNING, "flood", log_msg("event %d", i), NULL);
    const char *text = written();
    assert_int_equal(lines(text), 1 + 40 + 1);
    assert_non_null(strstr(text, "the first (7 more times) [repeated=7]\n"));
}

/* --- floods, and readers that do not read ----------------------------------------------------- */

static void test_a_flood_of_one_event_is_cut_and_counted(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++)
        log_event(LOG_EV_WARNING, "dead_letter", log_msg("row %d", i), NULL);
    log_event(LOG_EV_WARNING, "other", "is not held back", NULL);
    const char *text = written();
    assert_int_equal(lines(text), 50 + 1);
    assert_non_null(strstr(text, "is not held back"));
    log_tick();
    assert_string_equal(written(), ""); /* the window is not over */
    now += 11 * USEC_PER_SEC;
    log_tick();
    assert_non_null(strstr(written(), " warning 950 more of dead_letter within ten seconds were "
                                      "left out [left_out=950]\n"));
    log_event(LOG_EV_WARNING, "dead_letter", "row 1000", NULL);
    assert_int_equal(lines(written()), 1);
}

static void test_nothing_counted_is_lost_at_the_end(void **state)
{
    (void)state;
    for (int i = 0; i < 9; i++)
        log_event(LOG_EV_WARNING, "retry", "again", NULL);
    for (int i = 0; i < 60; i++)
        log_event(LOG_EV_WARNING, "flood", log_msg("event %d", i), NULL);
    assert_int_equal(lines(written()), 1 + 50);
    log_flush();
    const char *text = written();
    assert_non_null(strstr(text, "[repeated=8]\n"));
    assert_non_null(strstr(text, "[left_out=10]\n"));
    log_flush();
    assert_string_equal(written(), "");
}

/* The pipe blocks: a write that waits for its reader would end this test by its time limit. */
static void test_a_reader_that_does_not_read_stops_nobody(void **state)
{
    const char *const text = "a sentence of some length, so that a pipe is soon full of them";

    (void)state;
    assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, 0), 0);
    log_set_level(LOG_EV_DEBUG);
    alarm(20);
    for (int i = 0; i < 3000; i++)
        log_event(LOG_EV_DEBUG, "d", text, NULL);
    alarm(0);
    unsigned taken = lines(written());
    assert_in_range(taken, 1, 2999);
    log_event(LOG_EV_INFO, "e", "there is room again", NULL);
    const char *after = written();
    assert_int_equal(lines(after), 2);
    assert_non_null(strstr(after, log_msg("warning %u lines of this log could not be written "
                                          "[lost=%u]\n",
                                          3000 - taken, 3000 - taken)));
}

static void test_a_line_too_long_to_be_written_at_once_is_shortened(void **state)
{
    static char longest[9000];

    (void)state;
    memset(longest, 'x', sizeof longest - 1);
    log_setup(LOG_EV_INFO, LOG_JSON);
    log_event(LOG_EV_INFO, "long", "m", "field", longest, NULL);
    json_t *o = json_loads(written(), 0, NULL);
    assert_string_equal(member(o, "msg"), "m");
    assert_string_equal(member(o, "field"), "(none)");
    json_decref(o);
}

static void test_json_carries_the_ids_of_events(void **state)
{
    (void)state;
    log_setup(LOG_EV_INFO, LOG_JSON);
    log_event(LOG_EV_WARNING, "dead_letter", "m", NULL);
    json_t *o = json_loads(written(), 0, NULL);
    assert_string_equal(member(o, "message_id"), "6c1f2a4e5b0d4a0c9c3f8f0a8f6e1d04");
    json_decref(o);
}

static void test_entries_that_the_journal_does_not_take_are_counted(void **state)
{
    (void)state;
    log_setup(LOG_EV_INFO, LOG_JOURNAL);
    log_set_journal(sink);
    journal_full = true;
    for (int i = 0; i < 7; i++)
        log_event(LOG_EV_INFO, "e", log_msg("event %d", i), NULL);
    assert_null(journal.data);
    journal_full = false;
    log_event(LOG_EV_INFO, "e", "m", NULL);
    assert_string_equal(journal.data,
                        "MESSAGE=7 lines of this log could not be written|PRIORITY=4|"
                        "SYNCD_EVENT=log_lost|SYNCD_LOST=7|MESSAGE=m|PRIORITY=6|SYNCD_EVENT=e|");
    buf_free(&journal);
}

static void test_raw_lines_are_written_as_they_are(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++)
        log_raw("emf", "{\"a\":1}");
    assert_int_equal(lines(written()), 100);
    log_raw("emf", "{\"a\":1}");
    assert_string_equal(written(), "{\"a\":1}\n");
    log_setup(LOG_EV_INFO, LOG_JOURNAL);
    log_set_journal(sink);
    log_raw("emf", "{}");
    assert_string_equal(journal.data, "MESSAGE={}|PRIORITY=6|SYNCD_EVENT=emf|");
    buf_free(&journal);
}

#define captured(f) cmocka_unit_test_setup_teardown(f, capture, release)

int main(void)
{
    const struct CMUnitTest tests[] = {
        captured(test_text_lines_carry_time_level_message_and_fields),
        captured(test_a_newline_cannot_break_a_text_line),
        captured(test_json_lines_parse_whatever_is_in_them),
        captured(test_more_fields_than_fit_are_left_out),
        captured(test_journal_without_a_sink_is_text_with_levels),
        captured(test_journal_fields_and_message_ids),
        captured(test_auto_is_text_where_stderr_is_not_the_journal),
        captured(test_levels_above_the_threshold_are_silent),
        captured(test_formatted_messages),
        captured(test_a_storm_is_one_line_and_a_count),
        captured(test_a_storm_that_goes_on_is_summed_up_every_ten_seconds),
        captured(test_only_the_same_sentence_is_a_repeat),
        captured(test_debug_is_never_held_back),
        captured(test_counts_survive_a_flood_of_other_events),
        captured(test_a_flood_of_one_event_is_cut_and_counted),
        captured(test_nothing_counted_is_lost_at_the_end),
        captured(test_a_reader_that_does_not_read_stops_nobody),
        captured(test_a_line_too_long_to_be_written_at_once_is_shortened),
        captured(test_json_carries_the_ids_of_events),
        captured(test_entries_that_the_journal_does_not_take_are_counted),
        captured(test_raw_lines_are_written_as_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
