#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"
#include "jobs/doctor.h"
#include "jobs/owner.h"

#define DAEMON_TIMEOUT (10 * USEC_PER_SEC)

static const char *const words[] = {"ok", "warning", "failed"};
static const enum tone tones[] = {TONE_GOOD, TONE_MILD, TONE_BAD};

enum { CHECK_COLUMNS = 15 };

/* --- the daemon ------------------------------------------------------------------------------- */

static void take_status(struct doctor *d, const json_t *status)
{
    const json_t *target = json_object_get(status, "target");
    const char *health = field_text(status, "health");
    const json_t *first = json_array_get(json_object_get(status, "reasons"), 0);

    d->daemon_runs = true;
    snprintf(d->daemon_credentials, sizeof d->daemon_credentials, "%s",
             field_text(json_object_get(target, "credentials"), "provider"));
    if (strcmp(health, "ok") == 0)
        doctor_add(d, "daemon", DOCTOR_OK, "running, health ok%s",
                   field_true(status, "converged") ? ", converged" : "");
    else
        doctor_add(d, "daemon", strcmp(health, "warning") == 0 ? DOCTOR_WARNING : DOCTOR_FAILED,
                   "running, health %s: %s", health, field_text(first, "message"));
}

static void look_at_daemon(struct ctl *ctl, struct doctor *d)
{
    struct err err = {0};
    int r;
    json_auto_t *root = ctl_ask_json(ctl, "GET", "/v1/status", DAEMON_TIMEOUT, &r, &err);

    if (root)
        take_status(d, root);
    else if (r == -ECONNREFUSED && !d->unit_active)
        doctor_add(d, "daemon", DOCTOR_WARNING, "not running");
    else
        doctor_add(d, "daemon", r == -EACCES ? DOCTOR_WARNING : DOCTOR_FAILED, "%s", err.text);
}

/* --- output ----------------------------------------------------------------------------------- */

static int print_json(const struct doctor *d)
{
    json_auto_t *root = json_object();
    json_t *list = json_array();

    for (size_t i = 0; i < d->count; i++) {
        const struct doctor_line *l = &d->lines[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "check", l->check, "result",
                                              words[l->result], "text", l->text.text));
    }
    json_object_set_new(root, "result", json_string(words[doctor_worst(d)]));
    json_object_set_new(root, "checks", list);
    char *text = json_dumps(root, JSON_INDENT(2));
    if (!text)
        return CTL_UNREACHABLE;
    puts(text);
    free(text);
    return CTL_DONE;
}

static void pad(struct buf *out, const char *text, size_t width)
{
    for (size_t n = strlen(text); n < width; n++)
        buf_putc(out, ' ');
}

static int print_lines(const struct ctl *ctl, const struct doctor *d)
{
    _cleanup_page_ struct page page = ctl_page(ctl);

    for (size_t i = 0; i < d->count; i++) {
        const struct doctor_line *l = &d->lines[i];
        if (ctl->quiet && l->result == DOCTOR_OK)
            continue;
        page_put(&page, tones[l->result], words[l->result]);
        pad(&page.out, words[l->result], sizeof "warning");
        buf_puts(&page.out, l->check);
        pad(&page.out, l->check, CHECK_COLUMNS);
        page_put_safe(&page, TONE_PLAIN, l->text.text);
        buf_putc(&page.out, '\n');
    }
    return ctl_print(&page.out);
}

/* --- the command ------------------------------------------------------------------------------ */

static void examine(struct ctl *ctl, struct doctor *d)
{
    struct err err;

    if (ctl_config(ctl, &d->config, &err) < 0) {
        doctor_add(d, "configuration", DOCTOR_FAILED, "%s", err.text);
        return;
    }
    doctor_add(d, "configuration", DOCTOR_OK, "%s",
               *d->config->file ? d->config->file : "from the command line");
    doctor_files(d);
    doctor_unit(d);
    look_at_daemon(ctl, d);
    if (owner_become(d->config->database, &err) < 0) {
        doctor_add(d, "user", DOCTOR_FAILED, "%s", err.text);
        return;
    }
    doctor_database(d);
    doctor_dynamodb(d);
}

int cmd_doctor(struct ctl *ctl, int argc, char **argv)
{
    struct doctor d = {0};
    int exit_code;

    if (!ctl_no_operands(ctl, argc, argv, &exit_code))
        return exit_code;
    examine(ctl, &d);
    exit_code = ctl->json ? print_json(&d) : print_lines(ctl, &d);
    if (exit_code == CTL_DONE && doctor_worst(&d) == DOCTOR_FAILED)
        exit_code = CTL_FAILURES;
    doctor_free(&d);
    return exit_code;
}
