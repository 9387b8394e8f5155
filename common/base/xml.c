/*
 * xml - libxml2's xmlTextWriter into a buf
 *
 * The writer never sees characters that XML 1.0 can't carry: they are replaced before, because
 * libxml2 would write them and a strict reader would refuse the whole answer.
 */
#include <errno.h>
#include <libxml/xmlwriter.h>
#include "common/base/clock.h"
#include "common/base/real.h"
#include "common/base/utf8.h"
#include "common/base/xml.h"

struct xml {
	xmlTextWriterPtr writer;
	struct buf *out; /* NULL: let go, the writer's rest is dropped */
	struct buf clean; /* text with replacements */
	int err;
};

static int on_write(void *ctx, const char *data, int len)
{
	struct xml *x = ctx;

	if (x->out) /* a failure stays there; told from here, libxml2 would print it */
		buf_add(x->out, data, (size_t)len);
	return len;
}

static void check(struct xml *x, int r)
{
	if (r < 0 && !x->err)
		x->err = x->out && buf_err(x->out) ? buf_err(x->out) : -ENOMEM;
}

int xml_new(struct xml **ret, struct buf *out)
{
	_cleanup_(xml_freep) struct xml *x = calloc(1, sizeof(*x));
	xmlOutputBufferPtr io;

	if (!x)
		return -ENOMEM;
	x->out = out;
	io = xmlOutputBufferCreateIO(on_write, NULL, x, NULL);
	if (!io)
		return -ENOMEM;
	x->writer = xmlNewTextWriter(io);
	if (!x->writer) {
		xmlOutputBufferClose(io);
		return -ENOMEM;
	}
	check(x, xmlTextWriterStartDocument(x->writer, "1.0", "UTF-8", NULL));
	*ret = steal(x);
	return 0;
}

int xml_end(struct xml *x)
{
	check(x, xmlTextWriterEndDocument(x->writer));
	check(x, xmlTextWriterFlush(x->writer));
	if (!x->err)
		x->err = buf_err(&x->clean) ? buf_err(&x->clean) : buf_err(x->out);
	return x->err;
}

void xml_free(struct xml *x)
{
	if (!x)
		return;
	x->out = NULL;
	if (x->writer)
		xmlFreeTextWriter(x->writer);
	buf_fini(&x->clean);
	free(x);
}

static bool carried(uint32_t c)
{
	return c >= 0x20 ? c != 0xfffe && c != 0xffff : c == '\t' || c == '\n' || c == '\r';
}

/* s itself, or its copy with replacements */
static const char *clean(struct xml *x, const char *s)
{
	size_t len = strlen(s), from = 0, n;

	buf_reset(&x->clean);
	for (size_t i = 0; i < len; i += n) {
		uint32_t c = 0xffff;

		n = utf8_next(s + i, len - i, &c);
		if (n && carried(c))
			continue;
		n = n ? n : 1;
		buf_add(&x->clean, s + from, i - from);
		buf_str(&x->clean, "\xef\xbf\xbd");
		from = i + n;
	}
	if (!from)
		return s;
	buf_add(&x->clean, s + from, len - from);
	return buf_err(&x->clean) ? "" : x->clean.data;
}

void xml_open(struct xml *x, const char *name)
{
	check(x, xmlTextWriterStartElement(x->writer, BAD_CAST name));
}

void xml_close(struct xml *x)
{
	check(x, xmlTextWriterEndElement(x->writer));
}

void xml_text(struct xml *x, const char *name, const char *s)
{
	xml_open(x, name);
	if (s && s[0])
		check(x, xmlTextWriterWriteString(x->writer, BAD_CAST clean(x, s)));
	if (!x->err)
		x->err = buf_err(&x->clean);
	xml_close(x);
}

void xml_int(struct xml *x, const char *name, int64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", (long long)v);
	xml_text(x, name, text);
}

void xml_real(struct xml *x, const char *name, double v)
{
	char text[REAL_TEXT_MAX];

	xml_text(x, name, isfinite(v) ? real_format(v, text) : NULL);
}

void xml_time(struct xml *x, const char *name, int64_t at_us)
{
	char text[32];

	if (at_us)
		clock_format_utc(at_us, text);
	xml_text(x, name, at_us ? text : NULL);
}
