/* Writes etc/syncd.conf: `make sample-config`. */
#include "config/config.h"

int main(void)
{
    config_print_sample(stdout);
    return 0;
}
