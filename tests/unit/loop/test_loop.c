/* covers common/loop/loop.c: real descriptors and the real clock, a few milliseconds a case */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <unistd.h>
#include "common/base/clock.h"
#include "common/loop/loop.h"
#include "tests/lib/test.h"

struct fixture {
	struct loop *loop;
	struct loop_timer *t, *other;
	struct loop_io *io;
	unsigned fired, freed, ready;
	int fd;
};

static void count(void *ctx)
{
	((struct fixture *)ctx)->fired++;
}

static void count_free(void *ctx)
{
	((struct fixture *)ctx)->freed++;
}

/* turns until the counter is reached or a second is over */
static void turn_until(struct fixture *f, const unsigned *counter, unsigned want)
{
	uint64_t end = clock_mono_ms() + 1000;

	while (*counter < want && clock_mono_ms() < end)
		ASSERT_OK(loop_once(f->loop, 20));
	ASSERT_EQ(*counter, want);
}

TEST(a_timer_fires_once_and_not_early)
{
	struct fixture f = { 0 };
	uint64_t began;

	ASSERT_OK(loop_new(&f.loop));
	ASSERT_OK(loop_timer_new(&f.t, f.loop, count, &f));
	ASSERT_FALSE(loop_timer_armed(f.t));
	began = clock_mono_us();
	loop_timer_set_us(f.t, 3500);
	ASSERT_TRUE(loop_timer_armed(f.t));
	turn_until(&f, &f.fired, 1);
	ASSERT_GE(clock_mono_us() - began, 3500);
	ASSERT_FALSE(loop_timer_armed(f.t));
	ASSERT_OK(loop_once(f.loop, 10));
	ASSERT_EQ(f.fired, 1);
	loop_timer_free(f.t);
	loop_free(f.loop);
}

TEST(a_timer_set_again_moves)
{
	struct fixture f = { 0 };

	ASSERT_OK(loop_new(&f.loop));
	ASSERT_OK(loop_timer_new(&f.t, f.loop, count, &f));
	loop_timer_set(f.t, 1);
	loop_timer_set(f.t, UINT64_MAX); /* for ever is allowed */
	ASSERT_OK(loop_once(f.loop, 10));
	ASSERT_EQ(f.fired, 0);
	loop_timer_set(f.t, 0);
	turn_until(&f, &f.fired, 1);
	loop_timer_free(f.t);
	loop_free(f.loop);
}

static void move_other(void *ctx)
{
	struct fixture *f = ctx;

	f->ready++;
	loop_timer_set(f->other, 60000);
}

static void stop_other(void *ctx)
{
	struct fixture *f = ctx;

	f->ready++;
	loop_timer_stop(f->other);
}

/* both are due in the same turn; the first one's callback takes the second away */
static void race(loop_timer_fn first)
{
	struct fixture f = { 0 };

	ASSERT_OK(loop_new(&f.loop));
	ASSERT_OK(loop_timer_new(&f.t, f.loop, first, &f));
	ASSERT_OK(loop_timer_new(&f.other, f.loop, count, &f));
	loop_timer_set_us(f.t, 1000);
	loop_timer_set_us(f.other, 1001);
	usleep(5000);
	turn_until(&f, &f.ready, 1);
	ASSERT_OK(loop_once(f.loop, 0));
	ASSERT_EQ(f.fired, 0);
	loop_timer_free(f.t);
	loop_timer_free(f.other);
	loop_free(f.loop);
}

TEST(a_timer_moved_while_due_does_not_fire)
{
	race(move_other);
}

TEST(a_timer_stopped_while_due_does_not_fire)
{
	race(stop_other);
}

static void rearm(void *ctx)
{
	struct fixture *f = ctx;

	f->fired++;
	loop_timer_set(f->t, 0);
}

static void on_ready(void *ctx, unsigned ready)
{
	struct fixture *f = ctx;

	f->ready |= ready;
}

TEST(a_timer_that_sets_itself_does_not_starve_descriptors)
{
	struct fixture f = { 0 };
	int p[2];

	ASSERT_EQ(pipe(p), 0);
	ASSERT_OK(loop_new(&f.loop));
	ASSERT_OK(loop_timer_new(&f.t, f.loop, rearm, &f));
	ASSERT_OK(loop_io_new(&f.io, f.loop, p[0], on_ready, &f));
	ASSERT_OK(loop_io_want(f.io, LOOP_READ));
	loop_timer_set(f.t, 0);
	ASSERT_EQ(write(p[1], "x", 1), 1);
	for (int i = 0; i < 4; i++)
		ASSERT_OK(loop_once(f.loop, 100));
	ASSERT_EQ(f.ready, LOOP_READ);
	ASSERT_GT(f.fired, 1);
	loop_timer_free(f.t);
	loop_io_free(f.io);
	loop_free(f.loop);
	close(p[0]);
	close(p[1]);
}

static void free_itself(void *ctx)
{
	struct fixture *f = ctx;

	f->fired++;
	loop_timer_free(steal(f->t));
}

TEST(a_timer_may_free_itself)
{
	struct fixture f = { 0 };

	ASSERT_OK(loop_new(&f.loop));
	ASSERT_OK(loop_timer_new(&f.t, f.loop, free_itself, &f));
	loop_timer_set(f.t, 0);
	turn_until(&f, &f.fired, 1);
	loop_free(f.loop);
}

static void read_and_free(void *ctx, unsigned ready)
{
	struct fixture *f = ctx;

	f->ready |= ready;
	f->fired++;
	loop_io_free(steal(f->io));
}

TEST(an_io_may_free_itself_while_also_woken)
{
	struct fixture f = { 0 };
	int p[2];

	ASSERT_EQ(pipe(p), 0);
	ASSERT_OK(loop_new(&f.loop));
	ASSERT_OK(loop_io_new(&f.io, f.loop, p[0], read_and_free, &f));
	ASSERT_OK(loop_io_want(f.io, LOOP_READ));
	ASSERT_EQ(write(p[1], "x", 1), 1);
	loop_io_active(f.io, LOOP_READ);
	turn_until(&f, &f.fired, 1);
	ASSERT_OK(loop_once(f.loop, 5));
	ASSERT_EQ(f.fired, 1);
	loop_free(f.loop);
	close(p[0]);
	close(p[1]);
}

TEST(an_io_is_level_triggered_and_can_be_turned_off)
{
	struct fixture f = { 0 };
	int p[2];

	ASSERT_EQ(pipe(p), 0);
	ASSERT_OK(loop_new(&f.loop));
	ASSERT_OK(loop_io_new(&f.io, f.loop, p[0], on_ready, &f));
	ASSERT_EQ(write(p[1], "x", 1), 1);
	ASSERT_OK(loop_once(f.loop, 5));
	ASSERT_EQ(f.ready, 0);
	for (int i = 0; i < 3; i++) {
		ASSERT_OK(loop_io_want(f.io, LOOP_READ));
		f.ready = 0;
		ASSERT_OK(loop_once(f.loop, 100));
		ASSERT_EQ(f.ready, LOOP_READ);
	}
	ASSERT_OK(loop_io_want(f.io, 0));
	f.ready = 0;
	ASSERT_OK(loop_once(f.loop, 5));
	ASSERT_EQ(f.ready, 0);
	loop_io_free(f.io);
	loop_free(f.loop);
	close(p[0]);
	close(p[1]);
}

static void wake_again(void *ctx, unsigned ready)
{
	struct fixture *f = ctx;

	f->ready |= ready;
	if (++f->fired < 3)
		loop_io_active(f->io, LOOP_WRITE);
}

TEST(waking_tells_what_was_asked_once_a_turn)
{
	struct fixture f = { 0 };
	int p[2];

	ASSERT_EQ(pipe(p), 0);
	ASSERT_OK(loop_new(&f.loop));
	ASSERT_OK(loop_io_new(&f.io, f.loop, p[0], wake_again, &f));
	loop_io_active(f.io, LOOP_READ);
	loop_io_active(f.io, LOOP_READ);
	ASSERT_EQ(f.fired, 0); /* never from inside the call */
	ASSERT_OK(loop_once(f.loop, 100));
	ASSERT_EQ(f.fired, 1);
	ASSERT_EQ(f.ready, LOOP_READ);
	turn_until(&f, &f.fired, 3);
	ASSERT_EQ(f.ready, LOOP_READ | LOOP_WRITE);
	loop_io_free(f.io);
	loop_free(f.loop);
	close(p[0]);
	close(p[1]);
}

static void defer(void *ctx)
{
	struct fixture *f = ctx;

	f->fired++;
	loop_defer_free(f->loop, count_free, f);
	loop_defer_free(f->loop, count_free, f);
	f->ready = f->freed; /* not yet */
}

TEST(what_is_deferred_is_freed_after_the_callback_in_the_same_turn)
{
	struct fixture f = { 0 };

	ASSERT_OK(loop_new(&f.loop));
	ASSERT_OK(loop_timer_new(&f.t, f.loop, defer, &f));
	loop_timer_set(f.t, 0);
	turn_until(&f, &f.fired, 1);
	ASSERT_EQ(f.ready, 0);
	ASSERT_EQ(f.freed, 2);
	loop_timer_free(f.t);
	loop_free(f.loop);
}

static void defer_again(void *ctx)
{
	struct fixture *f = ctx;

	f->freed++;
	if (f->freed < 3)
		loop_defer_free(f->loop, defer_again, f);
}

TEST(loop_free_runs_what_was_deferred_and_what_that_defers)
{
	struct fixture f = { 0 };

	ASSERT_OK(loop_new(&f.loop));
	loop_defer_free(f.loop, defer_again, &f);
	loop_free(f.loop);
	ASSERT_EQ(f.freed, 3);
}

static void stop(void *ctx)
{
	struct fixture *f = ctx;

	f->fired++;
	loop_stop(f->loop);
}

TEST(run_ends_at_stop_also_at_one_before_it)
{
	struct fixture f = { 0 };

	ASSERT_OK(loop_new(&f.loop));
	ASSERT_OK(loop_timer_new(&f.t, f.loop, stop, &f));
	loop_timer_set(f.t, 1);
	ASSERT_OK(loop_run(f.loop));
	ASSERT_EQ(f.fired, 1);
	loop_stop(f.loop);
	ASSERT_OK(loop_run(f.loop));
	loop_timer_free(f.t);
	loop_free(f.loop);
}

TEST(once_waits_no_longer_than_told)
{
	struct fixture f = { 0 };
	uint64_t began;

	ASSERT_OK(loop_new(&f.loop));
	began = clock_mono_ms();
	ASSERT_OK(loop_once(f.loop, 15));
	ASSERT_GE(clock_mono_ms() - began, 15);
	ASSERT_LT(clock_mono_ms() - began, 500);
	began = clock_mono_ms();
	ASSERT_OK(loop_once(f.loop, 0));
	ASSERT_LT(clock_mono_ms() - began, 500);
	loop_free(f.loop);
}

static void on_signal(void *ctx, int signo)
{
	struct fixture *f = ctx;

	f->fired += signo == SIGUSR1;
}

static void on_signal_wrong(void *ctx, _unused_ int signo)
{
	((struct fixture *)ctx)->fired += 100;
}

TEST(a_signal_arrives_on_the_loop_at_the_last_function)
{
	struct fixture f = { 0 };

	ASSERT_OK(loop_new(&f.loop));
	ASSERT_OK(loop_signal(f.loop, SIGUSR1, on_signal_wrong, &f));
	ASSERT_OK(loop_signal(f.loop, SIGUSR1, on_signal, &f));
	ASSERT_EQ(raise(SIGUSR1), 0);
	ASSERT_EQ(f.fired, 0);
	turn_until(&f, &f.fired, 1);
	loop_free(f.loop);
}

TEST(a_write_to_a_closed_pipe_is_an_error_not_a_death)
{
	struct fixture f = { 0 };
	int p[2];

	ASSERT_OK(loop_new(&f.loop));
	ASSERT_EQ(pipe(p), 0);
	close(p[0]);
	ASSERT_EQ(write(p[1], "x", 1), -1);
	ASSERT_EQ(errno, EPIPE);
	close(p[1]);
	loop_free(f.loop);
}

TEST(timers_that_need_not_be_exact_share_a_moment)
{
	uint64_t now, a, b;
	struct loop *l;

	ASSERT_OK(loop_new(&l));
	ASSERT_EQ(loop_about_us(l, 0), 0);
	ASSERT_EQ(loop_about_us(l, 999), 999000);
	for (uint64_t ms = 1000; ms < 20000; ms += 777) {
		now = clock_mono_us();
		a = loop_about_us(l, ms);
		b = loop_about_us(l, 1000);
		ASSERT_GE(a, ms * 250);
		ASSERT_LE(a, ms * 1000 + 250000);
		/* apart by whole seconds, but for the time between the two calls */
		ASSERT_LE((a + 1000000000 - b + 20000) % 1000000, 20000 + clock_mono_us() - now);
	}
	loop_free(l);
}

TEST(random_is_in_range_and_spread)
{
	unsigned seen[10] = { 0 };
	struct loop *l;

	ASSERT_OK(loop_new(&l));
	ASSERT_EQ(loop_random(l, 0), 0);
	ASSERT_EQ(loop_random(l, 1), 0);
	for (int i = 0; i < 10000; i++) {
		uint32_t v = loop_random(l, 10);

		ASSERT_LT(v, 10);
		seen[v]++;
	}
	FOREACH(n, seen) {
		ASSERT_GT(*n, 700);
		ASSERT_LT(*n, 1300);
	}
	loop_free(l);
}
