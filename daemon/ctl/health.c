#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ctl/ctl.h"

#define HEALTH_TIMEOUT (10 * USEC_PER_SEC) /* monitors do not wait longer */

struct grade {
    const char *health, *word;
    enum tone tone;
};

/* The exit code is the place in the table. */
static const struct grade grades[] = {{"ok", "OK", TONE_GOOD},
                                      {"warning", "WARNING", TONE_MILD},
                                      {"critical", "CRITICAL", TONE_BAD},
                                      {"", "UNKNOWN", TONE_BAD}};

enum { UNKNOWN = 3 };

static int find_grade(const char *health)
{
    int i = 0;

    while (i < UNKNOWN && strcmp(grades[i].health, health) != 0)
        i++;
    return i;
}

/* Monitoring takes one line, and what follows a '|' for numbers. */
static void one_line(char *text)
{
    for (; *text; text++)
        if (*text == '|')
            *text = '/';
        else if (*text == '\n')
            *text = ' ';
}

static int print_line(const struct ctl *ctl, int grade, const char *text)
{
    _cleanup_page_ struct page page = ctl_page(ctl);
    _cleanup_free_ char *line = strdup(text);

    if (!line)
        return UNKNOWN;
    one_line(line);
    page_put(&page, grades[grade].tone, grades[grade].word);
    buf_lit(&page.out, " - ");
    page_put_safe(&page, TONE_PLAIN, line);
    buf_putc(&page.out, '\n');
    return ctl_print(&page.out) == CTL_DONE ? grade : UNKNOWN;
}

static int print_health(const struct ctl *ctl, int grade, const json_t *reasons)
{
    _cleanup_buf_ struct buf text = {0};
    size_t i;
    json_t *reason;

    json_array_foreach(reasons, i, reason)
        buf_printf(&text, "%s%s", i ? "; " : "", field_text(reason, "message"));
    if (!text.len)
        buf_puts(&text, grade ? "no reason is given" : "nothing to report");
    return buf_ok(&text) ? print_line(ctl, grade, text.data) : UNKNOWN;
}

int cmd_health(struct ctl *ctl, int argc, char **argv)
{
    _cleanup_buf_ struct buf body = {0};
    struct err err;
    int status, r;

    if (!ctl_no_operands(ctl, argc, argv, &r))
        return r == CTL_DONE ? CTL_DONE : UNKNOWN;
    r = ctl_ask(ctl, "GET", "/v1/health", HEALTH_TIMEOUT, &status, &body, &err);
    if (r < 0)
        return print_line(ctl, UNKNOWN, err.text);
    json_auto_t *root = ctl_parse(&body, &err);
    if (!root)
        return print_line(ctl, UNKNOWN, err.text);
    int grade = find_grade(field_text(root, "health"));
    if (grade == UNKNOWN && ctl_check_status(status, &body, &err) == 0)
        err_set(&err, 0, "the daemon's answer names no health: is it syncd?");
    if (grade == UNKNOWN)
        return print_line(ctl, UNKNOWN, err.text);
    if (ctl->json)
        return ctl_print_json(&body) == CTL_DONE ? grade : UNKNOWN;
    return print_health(ctl, grade, json_object_get(root, "reasons"));
}
