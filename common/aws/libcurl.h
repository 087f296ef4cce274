/* libcurl, loaded when something first needs it: with what it depends on it takes 2 MB, and only
 * proxies, URLs of an unusual form and `http_client = libcurl` do (http.h).
 *
 * Its functions have libcurl's names but for the `curl_`: libcurl.easy_init() and so on. To be used
 * after libcurl_load() returned 0, on the loop's thread; never unloaded. */
#ifndef SYNCD_AWS_LIBCURL_H
#define SYNCD_AWS_LIBCURL_H

#include <curl/curl.h>

#include "base/err.h"

/* clang-format off */
#define LIBCURL_FUNCTIONS(each)                                                                    \
    each(global_init) each(free) each(slist_append) each(slist_free_all)                           \
    each(easy_init) each(easy_cleanup) each(easy_setopt) each(easy_getinfo) each(easy_strerror)    \
    each(multi_init) each(multi_cleanup) each(multi_setopt) each(multi_strerror)                   \
    each(multi_add_handle) each(multi_remove_handle) each(multi_info_read)                         \
    each(multi_socket_action) each(url) each(url_cleanup) each(url_set) each(url_get)
/* clang-format on */

struct libcurl {
#define LIBCURL_MEMBER(name) __typeof__(curl_##name) *name;
    LIBCURL_FUNCTIONS(LIBCURL_MEMBER)
#undef LIBCURL_MEMBER
};

extern struct libcurl libcurl;

/* 0; -ENOENT when it cannot be loaded, -ENOMEM. */
int libcurl_load(struct err *err);

#endif
