#pragma once
/*
 * core_text - what citizens and integrators read, in Catalan, Spanish and English
 *
 * The texts are in catalogue/<language>.json, compiled in. {0} and {1} are filled.
 */
#include "common/base/buf.h"
#include "services/intake/texts.h"

#define LANG_NAME_LEN 2

/* "ca", "es", "en" and their regional forms ("es-MX"); false: another language */
bool lang_parse(const char *s, size_t len, enum lang *ret);
const char *lang_name(enum lang l);
/* best of an Accept-Language field; fallback where none is ours or s is NULL */
enum lang lang_accept(const char *s, enum lang fallback);

const char *text_get(enum lang l, enum text_id id);
/* fills {0} and {1}; NULL stands for "" */
void text_fill(struct buf *out, enum lang l, enum text_id id, const char *a0, const char *a1);
/* the same for a page: what is filled in is escaped */
void text_fill_html(struct buf *out, enum lang l, enum text_id id, const char *a0, const char *a1);
/* & < > " ' and controls */
void html_escape(struct buf *out, const char *s, size_t len);
