/*
 * loop - see loop.h
 *
 * libevent does the waiting. What it leaves to its user is settled here once: clocks are precise
 * and not cached (a timer never fires early after a long callback), "on the next turn" goes
 * through the time queue, so that whatever wakes itself again and again can't starve the
 * descriptors, and freeing is deferred to the end of the turn's callbacks.
 */
#include "common/loop/loop.h"
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <signal.h>
#include <sys/random.h>
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/log.h"

enum { GRID_US = 1000000 };

struct deferred {
	struct deferred *next;
	void (*fn)(void *p);
	void *p;
};

struct loop_signal {
	struct loop_signal *next;
	struct event ev;
	int signo;
	loop_signal_fn fn;
	void *ctx;
};

struct loop {
	struct event_base *base;
	struct event deferred_ev;
	struct deferred *deferred; /* first in, first out */
	struct deferred **deferred_tail;
	struct deferred *spare; /* used nodes, kept: what was enough once never fails again */
	struct event once_ev; /* bounds loop_once() */
	struct loop_signal *signals; /* owned */
	uint64_t random;
	uint64_t phase_us; /* of the second, at which timers that need not be exact fire */
	bool stopped;
	bool events_set; /* deferred_ev and once_ev are assigned */
};

struct loop_io {
	struct loop *loop;
	struct event ev; /* assigned while want != 0 */
	struct event kick; /* loop_io_active() */
	int fd; /* borrowed */
	unsigned want;
	unsigned kicked; /* what kick will tell */
	loop_io_fn fn;
	void *ctx;
};

struct loop_timer {
	struct event ev;
	loop_timer_fn fn;
	void *ctx;
};

/* ---- loop ------------------------------------------------------------------------------------ */

/* libevent would write to stderr in a form of its own, and without a limit */
static void on_libevent_log(int severity, const char *msg)
{
	if (severity >= EVENT_LOG_WARN)
		log_debug("loop.libevent", "msg=\"%s\"", msg);
}

static void run_deferred(struct loop *l)
{
	while (l->deferred) {
		struct deferred *d = l->deferred;

		l->deferred = d->next;
		if (!l->deferred)
			l->deferred_tail = &l->deferred;
		d->next = l->spare;
		l->spare = d;
		d->fn(d->p);
	}
}

static void on_deferred(_unused_ evutil_socket_t fd, _unused_ short what, void *ctx)
{
	run_deferred(ctx);
}

static void on_once(_unused_ evutil_socket_t fd, _unused_ short what, _unused_ void *ctx)
{
}

static int new_base(struct event_base **ret)
{
	struct event_config *config = event_config_new();

	if (!config)
		return err_here(-ENOMEM);
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER | EVENT_BASE_FLAG_NO_CACHE_TIME |
					      EVENT_BASE_FLAG_NOLOCK);
	*ret = event_base_new_with_config(config);
	event_config_free(config);
	return *ret ? 0 : err_here(-ENOMEM);
}

int loop_new(struct loop **ret)
{
	_cleanup_(loop_freep) struct loop *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return err_here(-ENOMEM);
	l->deferred_tail = &l->deferred;
	event_set_log_callback(on_libevent_log);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return err_here(-errno);
	if (getrandom(&l->random, sizeof(l->random), 0) != (ssize_t)sizeof(l->random))
		return err_here(-errno);
	l->random |= 1; /* the generator's one forbidden state is 0 */
	l->phase_us = loop_random(l, GRID_US); /* processes started together don't wake together */
	r = new_base(&l->base);
	if (r)
		return r;
	event_assign(&l->deferred_ev, l->base, -1, 0, on_deferred, l);
	evtimer_assign(&l->once_ev, l->base, on_once, l);
	l->events_set = true;
	*ret = steal(l);
	return 0;
}

static void free_signals(struct loop *l)
{
	while (l->signals) {
		struct loop_signal *s = l->signals;

		l->signals = s->next;
		event_del(&s->ev);
		free(s);
	}
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	run_deferred(l);
	free_signals(l);
	if (l->events_set) {
		event_del(&l->deferred_ev);
		event_del(&l->once_ev);
	}
	if (l->base)
		event_base_free(steal(l->base)); /* runs the finalizers of freed bufferevents */
	run_deferred(l); /* what those deferred */
	while (l->spare) {
		struct deferred *d = l->spare;

		l->spare = d->next;
		free(d);
	}
	free(l);
}

int loop_run(struct loop *l)
{
	int r = 0;

	/* the flag also keeps a stop from before the run */
	while (!l->stopped && r >= 0)
		r = event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY);
	l->stopped = false;
	return r < 0 ? err_here(-EIO) : 0;
}

int loop_once(struct loop *l, int timeout_ms)
{
	const struct timeval tv = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };
	int flags = EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY;
	int r;

	if (timeout_ms == 0)
		flags |= EVLOOP_NONBLOCK;
	else if (timeout_ms > 0 && event_add(&l->once_ev, &tv))
		return err_here(-ENOMEM);
	r = event_base_loop(l->base, flags);
	event_del(&l->once_ev);
	return r < 0 ? err_here(-EIO) : 0;
}

void loop_stop(struct loop *l)
{
	l->stopped = true;
	event_base_loopbreak(l->base);
}

struct event_base *loop_base(struct loop *l)
{
	return l->base;
}

void loop_defer_free(struct loop *l, void (*fn)(void *p), void *p)
{
	struct deferred *d = l->spare;

	if (d)
		l->spare = d->next;
	else
		d = malloc(sizeof(*d));
	if (!d) /* p leaks: the one thing that's safe while its callback runs */
		return;
	*d = (struct deferred){ .fn = fn, .p = p };
	*l->deferred_tail = d;
	l->deferred_tail = &d->next;
	if (l->base)
		event_active(&l->deferred_ev, EV_TIMEOUT, 0);
}

/* xorshift64*, and Lemire's way into the range */
uint32_t loop_random(struct loop *l, uint32_t below)
{
	uint64_t product;

	if (below < 2)
		return 0;
	do {
		l->random ^= l->random >> 12;
		l->random ^= l->random << 25;
		l->random ^= l->random >> 27;
		product = (l->random * 2685821657736338717u >> 32) * below;
	} while ((uint32_t)product < -below % below);
	return (uint32_t)(product >> 32);
}

/* A timer that isn't armed hangs whatever waits for it: rather be started anew. */
static void arm(struct event *ev, const struct timeval *tv)
{
	if (event_add(ev, tv)) {
		log_error("loop.no_memory", "what=timer");
		abort();
	}
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static void on_io(_unused_ evutil_socket_t fd, short what, void *ctx)
{
	struct loop_io *io = ctx;

	/* fn may free io: nothing behind it touches io */
	io->fn(io->ctx, (what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0));
}

static void on_kick(_unused_ evutil_socket_t fd, _unused_ short what, void *ctx)
{
	struct loop_io *io = ctx;
	unsigned ready = io->kicked;

	io->kicked = 0;
	io->fn(io->ctx, ready);
}

int loop_io_new(struct loop_io **ret, struct loop *l, int fd, loop_io_fn fn, void *ctx)
{
	struct loop_io *io;

	assert(fd >= 0);
	io = calloc(1, sizeof(*io));
	if (!io)
		return err_here(-ENOMEM);
	*io = (struct loop_io){ .loop = l, .fd = fd, .fn = fn, .ctx = ctx };
	evtimer_assign(&io->kick, l->base, on_kick, io);
	*ret = io;
	return 0;
}

int loop_io_want(struct loop_io *io, unsigned want)
{
	short what = EV_PERSIST;

	if (want == io->want)
		return 0;
	if (io->want)
		event_del(&io->ev);
	io->want = 0;
	if (!want)
		return 0;
	if (want & LOOP_READ)
		what |= EV_READ;
	if (want & LOOP_WRITE)
		what |= EV_WRITE;
	event_assign(&io->ev, io->loop->base, io->fd, what, on_io, io);
	errno = 0;
	if (event_add(&io->ev, NULL))
		return err_here(errno ? -errno : -ENOMEM);
	io->want = want;
	return 0;
}

void loop_io_active(struct loop_io *io, unsigned ready)
{
	static const struct timeval now = { 0, 0 };

	if (!io->kicked && ready)
		arm(&io->kick, &now);
	io->kicked |= ready;
}

void loop_io_free(struct loop_io *io)
{
	if (!io)
		return;
	if (io->want)
		event_del(&io->ev);
	event_del(&io->kick);
	free(io);
}

/* ---- timers ---------------------------------------------------------------------------------- */

static void on_timer(_unused_ evutil_socket_t fd, _unused_ short what, void *ctx)
{
	struct loop_timer *t = ctx;

	t->fn(t->ctx); /* may set, stop or free t */
}

int loop_timer_new(struct loop_timer **ret, struct loop *l, loop_timer_fn fn, void *ctx)
{
	struct loop_timer *t = calloc(1, sizeof(*t));

	if (!t)
		return err_here(-ENOMEM);
	t->fn = fn;
	t->ctx = ctx;
	evtimer_assign(&t->ev, l->base, on_timer, t);
	*ret = t;
	return 0;
}

void loop_timer_set_us(struct loop_timer *t, uint64_t after_us)
{
	static const uint64_t longest_s = 86400 * 366; /* libevent refuses what overflows */
	const struct timeval tv = { (time_t)MIN(after_us / 1000000, longest_s), after_us % 1000000 };

	arm(&t->ev, &tv); /* also takes it out of the queue of those due in this turn */
}

void loop_timer_set(struct loop_timer *t, uint64_t after_ms)
{
	loop_timer_set_us(t, after_ms < UINT64_MAX / 1000 ? after_ms * 1000 : UINT64_MAX);
}

uint64_t loop_about_us(const struct loop *l, uint64_t after_ms)
{
	uint64_t now = clock_mono_us(), after = after_ms * 1000, due;

	if (after_ms < GRID_US / 1000 || after_ms > UINT32_MAX)
		return after_ms > UINT32_MAX ? UINT64_MAX : after;
	due = (now + after - l->phase_us) / GRID_US * GRID_US + l->phase_us;
	if (due < now + after / 4)
		due += GRID_US;
	return due - now;
}

void loop_timer_stop(struct loop_timer *t)
{
	event_del(&t->ev);
}

bool loop_timer_armed(const struct loop_timer *t)
{
	return event_pending(&t->ev, EV_TIMEOUT, NULL);
}

void loop_timer_free(struct loop_timer *t)
{
	if (!t)
		return;
	event_del(&t->ev);
	free(t);
}

/* ---- signals --------------------------------------------------------------------------------- */

static void on_signal(_unused_ evutil_socket_t fd, _unused_ short what, void *ctx)
{
	struct loop_signal *s = ctx;

	s->fn(s->ctx, s->signo);
}

int loop_signal(struct loop *l, int signo, loop_signal_fn fn, void *ctx)
{
	_cleanup_(freep) struct loop_signal *s = NULL;

	for (struct loop_signal *have = l->signals; have; have = have->next)
		if (have->signo == signo) { /* one function a signal: the last one */
			have->fn = fn;
			have->ctx = ctx;
			return 0;
		}
	s = calloc(1, sizeof(*s));
	if (!s)
		return err_here(-ENOMEM);
	s->signo = signo;
	s->fn = fn;
	s->ctx = ctx;
	evsignal_assign(&s->ev, l->base, signo, on_signal, s);
	errno = 0;
	if (event_add(&s->ev, NULL))
		return err_here(errno ? -errno : -EINVAL);
	s->next = l->signals;
	l->signals = steal(s);
	return 0;
}
