/*
 * covers services/notification/smtp.c with core_verdict(): a mail server that breaks off, refuses
 * or takes, at each stage
 *
 * The peer is a thread that follows a script: what it answers to each command, and where it dies.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "services/notification/smtp.h"
#include "tests/lib/test.h"

enum peer_step { P_GREETING, P_EHLO, P_MAIL, P_RCPT, P_DATA, P_BODY_FIRST, P_BODY, P_STEPS };

struct script {
	const char *say[P_STEPS]; /* instead of the usual; "": dies without a word */
	unsigned connections; /* served before it ends; each by the script */
};

struct peer {
	struct script script;
	int fd;
	char url[64];
	pthread_t thread;
	char body[65536];
	size_t body_len;
	unsigned mails, connections;
	char commands[2048];
};

#define HANGS "hangs" /* says nothing until the other side goes */

static const char *const usual[P_STEPS] = {
	"220 peer.test ESMTP\r\n", "250-peer.test\r\n250 SIZE 1000000\r\n", "250 2.1.0 Ok\r\n",
	"250 2.1.5 Ok\r\n", "354 go on\r\n", "", "250 2.0.0 queued\r\n",
};

/* false: it dies here */
static bool answer(const struct peer *p, FILE *f, enum peer_step step)
{
	const char *s = p->script.say[step] ? p->script.say[step] : usual[step];
	char line[2048];

	if (!strcmp(s, HANGS)) {
		while (fgets(line, sizeof(line), f))
			continue;
		return false;
	}
	fputs(s, f);
	fflush(f);
	return *s;
}

static bool read_body(struct peer *p, FILE *f)
{
	char line[2048];
	bool first = true;

	while (fgets(line, sizeof(line), f)) {
		size_t len = strlen(line);

		if (first && p->script.say[P_BODY_FIRST])
			return answer(p, f, P_BODY_FIRST);
		first = false;
		if (!strcmp(line, ".\r\n")) {
			p->mails += !p->script.say[P_BODY] || p->script.say[P_BODY][0] == '2';
			return answer(p, f, P_BODY);
		}
		memcpy(p->body + p->body_len, line, len);
		p->body_len += len;
	}
	return false;
}

static bool obey(struct peer *p, FILE *f, const char *line)
{
	if (!strncmp(line, "EHLO", 4) || !strncmp(line, "HELO", 4))
		return answer(p, f, P_EHLO);
	if (!strncmp(line, "MAIL", 4))
		return answer(p, f, P_MAIL);
	if (!strncmp(line, "RCPT", 4))
		return answer(p, f, P_RCPT);
	if (!strncmp(line, "DATA", 4))
		return answer(p, f, P_DATA) && (p->script.say[P_DATA] || read_body(p, f));
	fputs("221 bye\r\n", f);
	return false;
}

static void *serve(void *ctx)
{
	struct peer *p = ctx;
	char line[2048];

	for (; p->connections < p->script.connections; p->connections++) {
		FILE *f = fdopen(accept(p->fd, NULL, NULL), "r+");
		bool alive = answer(p, f, P_GREETING);

		while (alive && fgets(line, sizeof(line), f)) {
			if (strlen(p->commands) + strlen(line) < sizeof(p->commands))
				strcat(p->commands, line);
			alive = obey(p, f, line);
		}
		fclose(f);
	}
	return NULL;
}

static void peer_start(struct peer *p)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ASSERT_OK(bind(p->fd, (struct sockaddr *)&a, len));
	ASSERT_OK(listen(p->fd, 8));
	ASSERT_OK(getsockname(p->fd, (struct sockaddr *)&a, &len));
	snprintf(p->url, sizeof(p->url), "smtp://127.0.0.1:%u", ntohs(a.sin_port));
	ASSERT_OK(pthread_create(&p->thread, NULL, serve, p));
}

static void peer_end(struct peer *p)
{
	pthread_join(p->thread, NULL);
	close(p->fd);
}

/* ---- one mail -------------------------------------------------------------------------------------- */

struct waiter {
	struct loop *loop;
	bool allow;
	unsigned asked, ended;
	struct smtp_end end;
	char detail[64];
};

static bool may_begin(void *ctx)
{
	struct waiter *w = ctx;

	w->asked++;
	return w->allow;
}

static void ended(void *ctx, const struct smtp_end *end, const char *detail, double seconds)
{
	struct waiter *w = ctx;

	w->ended++;
	w->end = *end;
	snprintf(w->detail, sizeof(w->detail), "%s", detail);
	ASSERT_TRUE(seconds >= 0 && seconds < 20);
	loop_stop(w->loop);
}

static const struct smtp_ops ops = { .may_begin = may_begin, .ended = ended };

static void send_one(struct smtp *s, struct waiter *w, const char *text)
{
	struct smtp_transfer *t;
	struct buf mail = BUF_INIT;
	unsigned before = w->ended;

	buf_str(&mail, text);
	ASSERT_OK(smtp_send(s, "town@town.test", "citizen@citizen.test", &mail, &ops, w, &t));
	ASSERT_EQ(mail.len, 0);
	ASSERT_OK(loop_run(w->loop));
	ASSERT_EQ(w->ended, before + 1);
}

static void with_peer(const struct script *script, struct waiter *w, struct peer *p, unsigned mails)
{
	struct smtp *s;

	p->script = *script;
	peer_start(p);
	ASSERT_OK(loop_new(&w->loop));
	const struct smtp_options o = { .url = p->url, .connect_ms = 5000,
					.transfer_ms = 10000, .idle_ms = 1000 };

	ASSERT_OK(smtp_new(&s, w->loop, &o));
	while (mails--)
		send_one(s, w, "Subject: x\r\n\r\n.dot\r\nsecond\r\n");
	smtp_free(s);
	loop_free(w->loop);
	peer_end(p);
}

#define SENT CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_SENT
#define FAILED CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_FAILED
#define UNCERTAIN CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_UNCERTAIN
#define UNDELIVERABLE CENTRALETA__V1__ATTEMPT_STATE__ATTEMPT_STATE_UNDELIVERABLE

TEST(what_the_server_did_is_what_is_noted)
{
	static const struct {
		enum peer_step at;
		const char *say;
		Centraleta__V1__AttemptState state;
		const char *detail; /* its beginning */
	} cases[] = {
		{ P_GREETING, "", FAILED, "connect: " },
		{ P_GREETING, "421 4.3.2 full\r\n", FAILED, "connect 421 4.3.2" },
		{ P_GREETING, "554 5.7.1 go away\r\n", FAILED, "connect 554 5.7.1" },
		{ P_EHLO, "", FAILED, "hello: " },
		{ P_EHLO, "550 no\r\n", FAILED, "hello 550" },
		{ P_MAIL, "", FAILED, "mail: " },
		{ P_MAIL, "452 4.3.1 disk\r\n", FAILED, "mail 452 4.3.1" },
		{ P_MAIL, "553 5.1.8 no\r\n", FAILED, "mail 553 5.1.8" },
		{ P_RCPT, "", FAILED, "rcpt: " },
		{ P_RCPT, "450 4.2.0 later\r\n", FAILED, "rcpt 450 4.2.0" },
		{ P_RCPT, "550-5.1.1 no\r\n550 5.1.1 such box\r\n", UNDELIVERABLE, "rcpt 550 5.1.1" },
		{ P_DATA, "", FAILED, "data: " },
		{ P_DATA, "451 4.3.0 later\r\n", FAILED, "data 451 4.3.0" },
		{ P_DATA, "554 5.5.1 no\r\n", UNDELIVERABLE, "data 554 5.5.1" },
		{ P_BODY_FIRST, "", UNCERTAIN, "body: " },
		{ P_BODY, "", UNCERTAIN, "body: " },
		{ P_BODY, "451 4.3.0 later\r\n", FAILED, "body 451 4.3.0" },
		{ P_BODY, "554 5.7.1 spam\r\n", UNDELIVERABLE, "body 554 5.7.1" },
		{ P_BODY, "250 2.0.0 queued\r\n", SENT, "body 250 2.0.0" },
	};

	FOREACH(c, cases) {
		struct script script = { .connections = 1 };
		struct waiter w = { .allow = true };
		static struct peer p;

		memset(&p, 0, sizeof(p));
		script.say[c->at] = c->say;
		with_peer(&script, &w, &p, 1);
		test_note("%s: %s", c->say, w.detail);
		ASSERT_EQ(core_verdict(&w.end, 1, 9).state, c->state);
		ASSERT_EQ(strncmp(w.detail, c->detail, strlen(c->detail)), 0);
		ASSERT_NULL(strchr(w.detail, '@'));
		ASSERT_EQ(p.mails, c->state == SENT);
	}
}

TEST(a_mail_arrives_as_it_was_written)
{
	const struct script script = { .connections = 1 };
	struct waiter w = { .allow = true };
	static struct peer p;

	with_peer(&script, &w, &p, 1);
	ASSERT_STR_EQ(p.body, "Subject: x\r\n\r\n..dot\r\nsecond\r\n"); /* as it travels */
	ASSERT_HAS(p.commands, "MAIL FROM:<town@town.test>");
	ASSERT_HAS(p.commands, "RCPT TO:<citizen@citizen.test>\r\n");
	ASSERT_FALSE(w.end.reused);
}

TEST(a_connection_carries_several_mails)
{
	const struct script script = { .connections = 1 };
	struct waiter w = { .allow = true };
	static struct peer p;

	with_peer(&script, &w, &p, 3);
	ASSERT_EQ(p.mails, 3);
	ASSERT_EQ(p.connections, 1);
	ASSERT_EQ(w.asked, 3);
	ASSERT_TRUE(w.end.reused);
	ASSERT_TRUE(w.end.complete);
}

TEST(withheld_at_the_last_moment)
{
	const struct script script = { .connections = 1 };
	struct waiter w = { .allow = false };
	static struct peer p;
	struct verdict v;

	with_peer(&script, &w, &p, 1);
	v = core_verdict(&w.end, 1, 9);
	ASSERT_EQ(w.asked, 1);
	ASSERT_EQ(v.state, FAILED);
	ASSERT_TRUE(v.at_once);
	ASSERT_STR_EQ(w.detail, "withheld");
	ASSERT_EQ(p.mails, 0);
	ASSERT_EQ(p.body_len, 0);
}

static void on_tick(void *ctx)
{
	++*(unsigned *)ctx;
}

/* a server that says nothing costs its own transfer alone: the loop goes on, time ends it */
TEST(silence_blocks_nobody)
{
	static const enum peer_step steps[] = { P_GREETING, P_EHLO, P_MAIL, P_RCPT, P_DATA, P_BODY };

	FOREACH(step, steps) {
		static struct peer p;
		struct waiter w = { .allow = true };
		struct loop_timer *timer;
		unsigned ticks = 0;
		struct smtp *s;

		memset(&p, 0, sizeof(p));
		p.script = (struct script){ .connections = 1 };
		p.script.say[*step] = HANGS;
		peer_start(&p);
		ASSERT_OK(loop_new(&w.loop));
		const struct smtp_options o = { .url = p.url, .connect_ms = 400, .transfer_ms = 400,
						.idle_ms = 1000 };

		ASSERT_OK(smtp_new(&s, w.loop, &o));
		ASSERT_OK(loop_timer_new(&timer, w.loop, on_tick, &ticks));
		loop_timer_set(timer, 200);
		send_one(s, &w, "Subject: x\r\n\r\nx\r\n");
		test_note("%s", w.detail);
		ASSERT_EQ(ticks, 1);
		ASSERT_EQ(core_verdict(&w.end, 1, 9).state, *step == P_BODY ? UNCERTAIN : FAILED);
		ASSERT_EQ(smtp_connections(s), 0);
		loop_timer_free(timer);
		smtp_free(s);
		loop_free(w.loop);
		peer_end(&p);
	}
}

TEST(an_idle_connection_is_given_up)
{
	static struct peer p;
	struct waiter w = { .allow = true };
	struct smtp *s;

	memset(&p, 0, sizeof(p));
	p.script = (struct script){ .connections = 2 };
	peer_start(&p);
	ASSERT_OK(loop_new(&w.loop));
	const struct smtp_options o = { .url = p.url, .connect_ms = 2000, .transfer_ms = 4000, .idle_ms = 50 };

	ASSERT_OK(smtp_new(&s, w.loop, &o));
	send_one(s, &w, "Subject: x\r\n\r\nx\r\n");
	ASSERT_EQ(smtp_connections(s), 1);
	while (smtp_connections(s))
		ASSERT_OK(loop_once(w.loop, 100));
	send_one(s, &w, "Subject: x\r\n\r\nx\r\n");
	ASSERT_FALSE(w.end.reused);
	ASSERT_EQ(p.mails, 2);
	smtp_free(s);
	loop_free(w.loop);
	peer_end(&p);
	ASSERT_HAS(p.commands, "QUIT\r\n");
}

TEST(nobody_listens)
{
	struct waiter w = { .allow = true };
	const struct smtp_options o = { .url = "smtp://127.0.0.1:1", .connect_ms = 2000,
					.transfer_ms = 4000, .idle_ms = 1000 };
	struct verdict v;
	struct smtp *s;

	ASSERT_OK(loop_new(&w.loop));
	ASSERT_OK(smtp_new(&s, w.loop, &o));
	send_one(s, &w, "x\r\n");
	v = core_verdict(&w.end, 1, 9);
	ASSERT_EQ(v.state, FAILED);
	ASSERT_TRUE(v.blame_relay);
	ASSERT_EQ(w.asked, 0);
	smtp_free(s);
	loop_free(w.loop);
}

TEST(cancelled_or_left_behind_tells_nobody)
{
	struct waiter w = { .allow = true };
	const struct smtp_options o = { .url = "smtp://127.0.0.1:1", .connect_ms = 2000,
					.transfer_ms = 4000, .idle_ms = 1000 };
	struct smtp_transfer *first, *second;
	struct buf a = BUF_INIT, b = BUF_INIT;
	struct smtp *s;

	buf_str(&a, "a\r\n");
	buf_str(&b, "b\r\n");
	ASSERT_OK(loop_new(&w.loop));
	ASSERT_OK(smtp_new(&s, w.loop, &o));
	ASSERT_OK(smtp_send(s, "a@b.test", "c@d.test", &a, &ops, &w, &first));
	ASSERT_OK(smtp_send(s, "a@b.test", "c@d.test", &b, &ops, &w, &second));
	ASSERT_FALSE(smtp_begun(first));
	smtp_cancel(first);
	smtp_free(s);
	ASSERT_EQ(w.ended, 0);
	loop_free(w.loop);
}
