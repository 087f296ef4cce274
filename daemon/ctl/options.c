#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/quantity.h"
#include "ctl/ctl.h"

#define MAX_OPTIONS 32

enum {
    OPT_CONFIG = 1,
    OPT_NAME,
    OPT_SOCKET,
    OPT_JSON,
    OPT_NO_COLOR,
    OPT_DATABASE,
    OPT_REGION,
    OPT_PROFILE,
    OPT_ENDPOINT,
    OPT_VERSION,
};

static const struct option globals[] = {
    {"config", required_argument, NULL, OPT_CONFIG},
    {"name", required_argument, NULL, OPT_NAME},
    {"socket", required_argument, NULL, OPT_SOCKET},
    {"json", no_argument, NULL, OPT_JSON},
    {"no-color", no_argument, NULL, OPT_NO_COLOR},
    {"quiet", no_argument, NULL, 'q'},
    {"verbose", no_argument, NULL, 'v'},
    {"database", required_argument, NULL, OPT_DATABASE},
    {"region", required_argument, NULL, OPT_REGION},
    {"profile", required_argument, NULL, OPT_PROFILE},
    {"endpoint-url", required_argument, NULL, OPT_ENDPOINT},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, 'h'},
};

#define GLOBAL_COUNT (sizeof globals / sizeof globals[0])

int ctl_usage(const struct ctl *ctl, const char *fmt, ...)
{
    va_list args;

    fputs("syncctl: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "; see syncctl %s%s--help\n", ctl->command ? ctl->command->name : "",
            ctl->command ? " " : "");
    return CTL_USAGE;
}

/* One that takes effect at once: true when the program is to stop. */
static bool take_final(struct ctl *ctl, int option, int *exit_code)
{
    *exit_code = CTL_DONE;
    if (option == OPT_VERSION)
        printf("syncctl %s\n", SYNCD_VERSION);
    else if (option == 'h' && ctl->command)
        ctl_command_help(ctl->command);
    else if (option == 'h')
        ctl_program_help();
    else
        return false;
    return true;
}

static bool take_text(struct ctl *ctl, int option)
{
    struct config_request *r = &ctl->request;
    const char **to = option == OPT_CONFIG     ? &r->file
                      : option == OPT_NAME     ? &r->name
                      : option == OPT_SOCKET   ? &r->socket
                      : option == OPT_DATABASE ? &r->database
                      : option == OPT_REGION   ? &r->region
                      : option == OPT_PROFILE  ? &r->profile
                      : option == OPT_ENDPOINT ? &r->endpoint_url
                                               : NULL;

    if (to)
        *to = optarg;
    return to;
}

static bool take_flag(struct ctl *ctl, int option)
{
    bool *to = option == OPT_JSON       ? &ctl->json
               : option == OPT_NO_COLOR ? &ctl->no_color
               : option == 'q'          ? &ctl->quiet
               : option == 'v'          ? &ctl->verbose
                                        : NULL;

    if (to)
        *to = true;
    return to;
}

static int complain(const struct ctl *ctl, int result, char **argv)
{
    const char *text = argv[optind - 1];

    if (result == ':')
        return ctl_usage(ctl, "%s needs a value", text);
    if (optopt && strncmp(text, "--", 2) == 0 && strchr(text, '='))
        return ctl_usage(ctl, "%s: this option takes no value", text);
    if (optopt)
        return ctl_usage(ctl, "there is no option -%c", optopt);
    return ctl_usage(ctl, "there is no option %s", text);
}

int ctl_option(struct ctl *ctl, int argc, char **argv, const struct option *own, int *exit_code)
{
    struct option all[MAX_OPTIONS + 1] = {0};
    size_t n = 0;

    memcpy(all, globals, sizeof globals);
    for (n = GLOBAL_COUNT; own && own->name && n < MAX_OPTIONS; own++)
        all[n++] = *own;
    opterr = 0;
    for (;;) {
        int o = getopt_long(argc, argv, ctl->command ? ":hqv" : "+:hqv", all, NULL);
        if (o == -1 || (o >= CTL_OPTION && o < CTL_STOP))
            return o;
        if (o == '?' || o == ':') {
            *exit_code = complain(ctl, o, argv);
            return CTL_STOP;
        }
        if (take_final(ctl, o, exit_code))
            return CTL_STOP;
        if (!take_text(ctl, o))
            take_flag(ctl, o);
    }
}

bool ctl_no_operands(struct ctl *ctl, int argc, char **argv, int *exit_code)
{
    if (ctl_option(ctl, argc, argv, NULL, exit_code) == CTL_STOP)
        return false;
    if (optind == argc)
        return true;
    *exit_code = ctl_usage(ctl, "%s takes no operand (%s)", ctl->command->name, argv[optind]);
    return false;
}

bool ctl_seconds(const struct ctl *ctl, const char *option, const char *text, int64_t *out)
{
    usec span;

    if (quantity_duration(text, &span) < 0 || span < 0) {
        ctl_usage(ctl, "%s %s is not a duration such as 90s, 10m or 2h", option, text);
        return false;
    }
    *out = span / USEC_PER_SEC + (span % USEC_PER_SEC != 0);
    return true;
}
