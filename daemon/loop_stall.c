#include "loop_stall.h"

#include <stdbool.h>
#include <stdlib.h>

struct loop_stall {
    uv_prepare_t turn; /* once a turn, right before the loop waits */
    uint64_t at, idle; /* ns, at the last turn; idle: that the loop has waited so far */
    uint64_t max;
    bool begun; /* the first turn has what came before the loop ran */
};

static void on_turn(uv_prepare_t *h)
{
    struct loop_stall *l = h->data;
    uint64_t now = uv_hrtime(), idle = uv_metrics_idle_time(h->loop);
    uint64_t spent = now - l->at, waited = idle - l->idle;

    if (l->begun && spent > waited && spent - waited > l->max)
        l->max = spent - waited;
    l->begun = true;
    l->at = now;
    l->idle = idle;
}

struct loop_stall *loop_stall_start(uv_loop_t *loop)
{
    struct loop_stall *l = calloc(1, sizeof *l);

    if (!l || uv_loop_configure(loop, UV_METRICS_IDLE_TIME) < 0) {
        free(l);
        return NULL;
    }
    uv_prepare_init(loop, &l->turn);
    l->turn.data = l;
    uv_prepare_start(&l->turn, on_turn);
    return l;
}

usec loop_stall_max(const struct loop_stall *l)
{
    return l ? (usec)(l->max / 1000) : 0;
}

static void on_close(uv_handle_t *h)
{
    free(h->data);
}

void loop_stall_stop(struct loop_stall *l)
{
    if (l)
        uv_close((uv_handle_t *)&l->turn, on_close);
}
