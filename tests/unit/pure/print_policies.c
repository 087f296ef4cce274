/* Writes the policies of etc/iam into the directory that is named: `make sample-policies`. */
#include <stdio.h>

#include "pure/policy_samples.h"

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < POLICY_SAMPLES; i++) {
        _cleanup_buf_ struct buf text = {0};
        char path[512];
        policy_print(&policy_samples[i].request, &text);
        snprintf(path, sizeof path, "%s/%s", argv[1], policy_samples[i].file);
        FILE *f = buf_ok(&text) ? fopen(path, "w") : NULL;
        if (!f || fwrite(text.data, 1, text.len, f) != text.len || fclose(f) != 0)
            return 1;
    }
    return argc == 2 ? 0 : 2;
}
