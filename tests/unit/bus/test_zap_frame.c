/* covers common/bus/zap_frame.c; no socket */
#include "common/bus/zap_frame.h"
#include "tests/lib/test.h"

static const char key[] = "0123456789abcdef0123456789abcdef";

static struct bytes of(const char *s)
{
	return (struct bytes){ (const uint8_t *)s, strlen(s) };
}

/* what libzmq 4.3.4 asks for a client's key */
static void fill(struct bytes frames[static ZAP_REQUEST_FRAMES])
{
	static const char *const texts[ZAP_REQUEST_FRAMES] = { "1.0", "1", "intake.submit", "127.0.0.1", "",
							       "CURVE", key };

	for (size_t i = 0; i < ZAP_REQUEST_FRAMES; i++)
		frames[i] = of(texts[i]);
}

static bool is(struct bytes b, const char *s)
{
	return b.len == strlen(s) && !memcmp(b.data, s, b.len);
}

TEST(a_request_is_read)
{
	struct bytes frames[ZAP_REQUEST_FRAMES];
	struct zap_request q;

	fill(frames);
	ASSERT_EQ(zap_request_read(frames, ZAP_REQUEST_FRAMES, &q), ZAP_FINE);
	ASSERT_TRUE(is(q.id, "1"));
	ASSERT_TRUE(is(q.domain, "intake.submit"));
	ASSERT_TRUE(is(q.key, key));
}

TEST(each_cause_is_told_apart)
{
	static const struct {
		size_t frame;
		const char *text;
		enum zap_fault want;
	} cases[] = {
		{ 0, "2.0", ZAP_VERSION },     { 0, "", ZAP_VERSION },	   { 0, "1.0.", ZAP_VERSION },
		{ 5, "NULL", ZAP_MECHANISM },  { 5, "PLAIN", ZAP_MECHANISM }, { 5, "CURVEX", ZAP_MECHANISM },
		{ 5, "", ZAP_MECHANISM },      { 6, "", ZAP_MALFORMED },   { 6, "0123456789abcdef0123456789abcde", ZAP_MALFORMED },
		{ 6, "0123456789abcdef0123456789abcdef0", ZAP_MALFORMED },
	};
	struct zap_request q;

	FOREACH(c, cases) {
		struct bytes frames[ZAP_REQUEST_FRAMES];

		fill(frames);
		frames[c->frame] = of(c->text);
		ASSERT_EQ(zap_request_read(frames, ZAP_REQUEST_FRAMES, &q), c->want);
		ASSERT_TRUE(is(q.id, "1")); /* so that it can be answered */
		ASSERT_EQ(q.key.len, 0u);
	}
}

TEST(any_number_of_frames_is_borne)
{
	struct bytes frames[ZAP_REQUEST_FRAMES + 1];
	struct zap_request q;

	fill(frames);
	frames[ZAP_REQUEST_FRAMES] = of("more");
	for (size_t n = 0; n <= ZAP_REQUEST_FRAMES + 1; n++) {
		if (n == ZAP_REQUEST_FRAMES)
			continue;
		ASSERT_EQ(zap_request_read(frames, n, &q), ZAP_MALFORMED);
		ASSERT_EQ(q.id.len, n > 1 ? 1u : 0u);
	}
}

TEST(a_user_is_named_to_those_alone_who_come_in)
{
	static const char *const codes[] = { [ZAP_YES] = "200", [ZAP_LATER] = "300", [ZAP_NO] = "400",
					     [ZAP_ERROR] = "500" };
	struct bytes r[ZAP_REPLY_FRAMES];

	for (unsigned status = ZAP_YES; status <= ZAP_ERROR; status++) {
		zap_reply_make(of("1"), (enum zap_status)status, "key1", r);
		ASSERT_TRUE(is(r[0], "1.0"));
		ASSERT_TRUE(is(r[1], "1"));
		ASSERT_TRUE(is(r[2], codes[status]));
		ASSERT_GT(r[3].len, 0u);
		ASSERT_TRUE(is(r[4], status == ZAP_YES ? "key1" : ""));
		ASSERT_EQ(r[5].len, 0u);
	}
}

TEST(faults_have_names)
{
	for (unsigned f = ZAP_FINE; f <= ZAP_MECHANISM; f++)
		ASSERT_GT(strlen(zap_fault_name((enum zap_fault)f)), 0u);
}
