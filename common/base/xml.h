#pragma once
/*
 * xml - a thin face over libxml2's xmlTextWriter into a buf
 *
 * Characters that XML 1.0 can't carry (controls but TAB, LF, CR; U+FFFE, U+FFFF) are written as
 * U+FFFD. Text must be valid UTF-8.
 */
#include "common/base/buf.h"

struct xml;

int xml_new(struct xml **ret, struct buf *out) _must_check_; /* writes the declaration */
/* ends the document; returns the first failure of all */
int xml_end(struct xml *x) _must_check_;
void xml_free(struct xml *x);
DEFINE_CLEANUP(struct xml *, xml_free)

void xml_open(struct xml *x, const char *name);
void xml_close(struct xml *x);
void xml_text(struct xml *x, const char *name, const char *s); /* <name>s</name>; NULL: empty */
void xml_int(struct xml *x, const char *name, int64_t v);
void xml_real(struct xml *x, const char *name, double v);
void xml_time(struct xml *x, const char *name, int64_t at_us); /* 0: empty */
