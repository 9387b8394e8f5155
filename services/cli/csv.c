/*
 * One pass to find the row's end (quotes balanced), one to take the fields apart. A bad row is
 * skipped as a whole, so one broken quote costs its row and not the file: a row whose quote never
 * closes ends at CSV_ROW_MAX or the end of the data.
 */
#include "services/cli/csv.h"

void csv_init(struct csv *c)
{
	*c = (struct csv){ 0 };
}

void csv_fini(struct csv *c)
{
	buf_fini(&c->text);
}

const char *csv_field(const struct csv *c, size_t i)
{
	return i < c->n ? c->text.data + c->start[i] : "";
}

/* length of the row without its line end; false: the end is not in sight */
static bool find_end(const char *data, size_t len, bool at_end, size_t *ret_len, size_t *ret_used)
{
	bool quoted = false;

	for (size_t i = 0; i < len; i++) {
		if (data[i] == '"')
			quoted = !quoted;
		if (data[i] == '\n' && !quoted) {
			*ret_used = i + 1;
			*ret_len = i > 0 && data[i - 1] == '\r' ? i - 1 : i;
			return true;
		}
	}
	*ret_len = *ret_used = len;
	return at_end;
}

static const char *begin_field(struct csv *c)
{
	if (c->n == CSV_FIELDS_MAX)
		return "more than 256 fields";
	c->start[c->n++] = c->text.len;
	return NULL;
}

/* a quoted field from behind its first quote; *i ends behind its last */
static const char *quoted_field(struct csv *c, const char *row, size_t len, size_t *i)
{
	for (; *i < len; (*i)++) {
		if (row[*i] != '"') {
			buf_ch(&c->text, row[*i]);
		} else if (*i + 1 < len && row[*i + 1] == '"') {
			buf_ch(&c->text, '"');
			(*i)++;
		} else {
			(*i)++;
			return NULL;
		}
	}
	return "a quote is never closed";
}

static const char *split(struct csv *c, const char *row, size_t len)
{
	size_t i = 0;

	for (;;) {
		const char *bad = begin_field(c);

		if (!bad && i < len && row[i] == '"') {
			i++;
			bad = quoted_field(c, row, len, &i);
			if (!bad && i < len && row[i] != ',')
				bad = "text behind a closing quote";
		} else {
			while (!bad && i < len && row[i] != ',') {
				if (row[i] == '"')
					bad = "a quote inside an unquoted field";
				buf_ch(&c->text, row[i++]);
			}
		}
		if (bad)
			return bad;
		buf_ch(&c->text, '\0');
		if (i == len)
			return NULL;
		i++; /* the comma */
	}
}

static size_t count_lines(const char *data, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += data[i] == '\n';
	return n;
}

enum csv_result csv_next(struct csv *c, const char *data, size_t len, bool at_end, size_t *used,
			 const char **reason)
{
	size_t bom = !c->begun && len >= 3 && !memcmp(data, "\xef\xbb\xbf", 3) ? 3 : 0, row_len;

	if (len == 0)
		return at_end ? CSV_END : CSV_MORE;
	if (!find_end(data, len, at_end, &row_len, used)) {
		if (len < CSV_ROW_MAX)
			return CSV_MORE;
		*used = len;
		*reason = "a row of more than 1 MiB";
		return CSV_BAD;
	}
	c->begun = true;
	c->line = c->lines_seen + 1;
	c->lines_seen += count_lines(data, *used);
	buf_reset(&c->text);
	c->n = 0;
	*reason = split(c, data + bom, row_len - MIN(bom, row_len));
	if (!*reason && buf_err(&c->text))
		*reason = "out of memory";
	return *reason ? CSV_BAD : CSV_ROW;
}
