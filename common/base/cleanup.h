/* Cleanup attributes: a variable marked with one is released when it leaves scope. take_ptr() hands
 * the value on and disarms the cleanup, which is how ownership leaves a function. */
#ifndef SYNCD_BASE_CLEANUP_H
#define SYNCD_BASE_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_free(void *p)
{
    free(*(void **)p);
}

static inline void cleanup_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

#define _cleanup_(f)    __attribute__((cleanup(f)))
#define _cleanup_free_  _cleanup_(cleanup_free)
#define _cleanup_close_ _cleanup_(cleanup_close)
#define take_ptr(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) taken_ = (p);                                                                \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })

#define DEFINE_CLEANUP(type, func)                                                                 \
    static inline void func##_cleanup(type *p)                                                     \
    {                                                                                              \
        if (*p)                                                                                    \
            func(*p);                                                                              \
    }

#endif
