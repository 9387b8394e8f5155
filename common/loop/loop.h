#pragma once
/*
 * loop - one libevent loop a process: descriptors, timers, signals, deferred free
 *
 * Everything in a daemon runs on the loop's thread; nothing blocks in a callback. Nobody is freed
 * inside its own callback: loop_defer_free(). A process has one loop; SIGPIPE is ignored from
 * loop_new() on.
 */
#include "common/base/base.h"

struct loop;
struct event_base;

int loop_new(struct loop **ret) _must_check_;
void loop_free(struct loop *l); /* runs what was deferred */
DEFINE_CLEANUP(struct loop *, loop_free)

int loop_run(struct loop *l) _must_check_; /* until loop_stop() */
int loop_once(struct loop *l, int timeout_ms) _must_check_; /* for tests */
void loop_stop(struct loop *l);
struct event_base *loop_base(struct loop *l); /* borrowed, for bufferevents */

/* Runs fn(p) after the callbacks that are under way. Can't fail: without memory p leaks. */
void loop_defer_free(struct loop *l, void (*fn)(void *p), void *p);

enum { LOOP_READ = 1, LOOP_WRITE = 2 };
struct loop_io;
typedef void (*loop_io_fn)(void *ctx, unsigned ready); /* LOOP_READ | LOOP_WRITE */
int loop_io_new(struct loop_io **ret, struct loop *l, int fd, loop_io_fn fn, void *ctx) _must_check_;
/* 0: nothing; level-triggered. Free io (or want 0) before the descriptor is closed. */
int loop_io_want(struct loop_io *io, unsigned want) _must_check_;
void loop_io_active(struct loop_io *io, unsigned ready); /* calls fn on the next turn */
void loop_io_free(struct loop_io *io); /* not the descriptor; allowed inside its callback */
DEFINE_CLEANUP(struct loop_io *, loop_io_free)

struct loop_timer;
typedef void (*loop_timer_fn)(void *ctx);
int loop_timer_new(struct loop_timer **ret, struct loop *l, loop_timer_fn fn, void *ctx) _must_check_;
/* once, monotonic, never early; set again moves it; 0 = on the next turn */
void loop_timer_set(struct loop_timer *t, uint64_t after_ms);
void loop_timer_set_us(struct loop_timer *t, uint64_t after_us);
/*
 * For what need not be exact: microseconds until a moment near after_ms from now that all such
 * timers of this process share, so that an idle process wakes once a second for all of them.
 * Between a quarter of after_ms and after_ms + 250; less than a second is exact.
 */
uint64_t loop_about_us(const struct loop *l, uint64_t after_ms);
void loop_timer_stop(struct loop_timer *t);
bool loop_timer_armed(const struct loop_timer *t);
void loop_timer_free(struct loop_timer *t); /* allowed inside its callback */
DEFINE_CLEANUP(struct loop_timer *, loop_timer_free)

typedef void (*loop_signal_fn)(void *ctx, int signo);
/* kept by l; a second one for the same signal takes its place */
int loop_signal(struct loop *l, int signo, loop_signal_fn fn, void *ctx) _must_check_;

/* uniform in [0, below), for jitter; not for secrets */
uint32_t loop_random(struct loop *l, uint32_t below);
