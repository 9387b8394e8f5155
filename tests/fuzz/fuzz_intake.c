/*
 * fuzz_intake - everything that intake reads from strangers: the first byte says as what
 *
 * f: a form, m: a frame of intake.submit, q: a query string, c: a code, a: Accept-Language. What passes the checks
 * must become an entry whose event can be read again, and all that is said must be text.
 */
#include <sodium.h>
#include "common/base/text.h"
#include "common/domain/code.h"
#include "common/domain/frame.h"
#include "services/intake/core_entry.h"
#include "services/intake/core_query.h"
#include "services/intake/core_render.h"

#define NOW_US INT64_C(1774747800000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct catalog *make(void)
{
	struct catalog *c;
	int r = catalog_new(&c, 1);

	r |= catalog_add_town(c, &(struct town){ .id = 1, .slug = "t", .jurisdiction_id = "t", .name = "T",
						 .triage_us = 1 }, "Europe/Madrid");
	r |= catalog_add_lane(c, 1, 2);
	r |= catalog_add_department(c, 1, 11, "d", "D");
	r |= catalog_add_offer(c, 1, &(struct offer){ .id = 101, .code = "s", .name = "S" });
	for (int i = 0; i <= DATA_MULTI; i++) {
		char code[2] = { (char)('a' + i), '\0' };

		r |= catalog_add_attribute(c, 101, &(struct attribute){ .code = code, .variable = true,
									 .datatype = (enum datatype)i, .ord = i + 1 });
		r |= catalog_add_value(c, 101, code, "v", "V");
	}
	r |= catalog_add_door(c, 1, 31, 2);
	assert(!r && sodium_init() >= 0);
	return c;
}

static void check_entry(const struct entry *e)
{
	const ProtobufCMessageDescriptor *d = e->kind == ENTRY_HISTORY
						      ? &centraleta__v1__request_imported__descriptor
						      : &centraleta__v1__request_received__descriptor;
	ProtobufCMessage *m = protobuf_c_message_unpack(d, NULL, e->body_len, e->body);

	assert(m);
	protobuf_c_message_free_unpacked(m, NULL);
	for (unsigned f = 0; f < FIELD_N; f++)
		assert(text_valid(e->text[f], strlen(e->text[f])));
	assert(!e->lists || text_valid(e->lists, strlen(e->lists)));
	assert(!e->frees || text_valid(e->frees, strlen(e->frees)));
}

static void take(struct catalog *c, struct submission *s)
{
	static const uint8_t unique[16];
	static const struct trace trace = { { 1 } };
	static struct buf scratch, out;
	const struct offer *o = catalog_offer(c, 101);
	struct field_errors errors = { .n = 0 };
	struct checked k;
	struct entry *e;

	if (!submission_check(s, c, o, catalog_door(c, 31), true, NOW_US, &errors, &k)) {
		assert(errors.n);
		buf_reset(&out);
		render_field_errors(&out, FORMAT_XML, &errors, LANG_CA, "T");
		assert(!buf_err(&out) && text_valid(out.data, out.len));
		return;
	}
	assert(!entry_new(&e, s, &k, c, o, catalog_door(c, 31), unique, &trace, &scratch));
	assert(!entry_finish_history(e, 4202));
	check_entry(e);
	entry_free(e);
}

static void form(struct catalog *c, const char *text, size_t len)
{
	static struct submission s;
	struct http_form f;

	if (http_form_parse(&f, text, len, FORM_PAIRS_MAX))
		return;
	submission_from_form(&s, &f, NULL, NULL);
	take(c, &s);
	http_form_fini(&f);
}

static void message(struct catalog *c, struct bytes raw)
{
	static struct submission s;
	char reason[FRAME_REASON];
	const char *what = NULL;
	Centraleta__V1__SubmitterFrame *m;

	if (!frame_fit(&centraleta__v1__submitter_frame__descriptor, raw, 128, reason)) {
		assert(text_valid(reason, strlen(reason)));
		return;
	}
	m = centraleta__v1__submitter_frame__unpack(NULL, raw.len, raw.data);
	if (!m)
		return;
	if (m->frame_case == CENTRALETA__V1__SUBMITTER_FRAME__FRAME_SUBMIT) {
		if (submission_from_message(&s, m->submit, &what))
			take(c, &s);
		else
			assert(what);
	}
	centraleta__v1__submitter_frame__free_unpacked(m, NULL);
}

static void query(struct catalog *c, const char *text, size_t len)
{
	static struct request_query q;
	static struct buf out;
	struct field_errors errors = { .n = 0 };
	struct http_form f;

	if (http_form_parse(&f, text, len, FORM_PAIRS_MAX))
		return;
	if (query_read(&q, &f, c, catalog_town(c, 1), NOW_US, &errors))
		assert(q.page >= 1 && q.page_size >= 1 && q.page_size <= QUERY_ROWS_MAX);
	else
		assert(errors.n);
	buf_reset(&out);
	query_write_page(&f, 2, &out);
	assert(!buf_err(&out) && !strpbrk(out.data, "<>\"\r\n "));
	http_form_fini(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct catalog *c;
	char code[CODE_LEN + 1];
	unsigned lane;

	if (!c)
		c = make();
	if (!len)
		return 0;
	const char *text = (const char *)data + 1;

	switch (data[0]) {
	case 'f':
		form(c, text, len - 1);
		break;
	case 'm':
		message(c, (struct bytes){ data + 1, len - 1 });
		break;
	case 'q':
		query(c, text, len - 1);
		break;
	case 'c':
		if (code_parse(text, len - 1, code, &lane))
			assert(lane < LANE_MAX && strlen(code) == CODE_LEN);
		break;
	case 'a': {
		char *copy = strndup(text, len - 1);

		assert(copy && lang_accept(copy, LANG_EN) < LANG_N);
		free(copy);
		break;
	}
	}
	return 0;
}
