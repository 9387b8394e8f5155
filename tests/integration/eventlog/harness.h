#pragma once
/*
 * harness - event logs of several daemons on one loop, over one private PostgreSQL
 */
#include "common/base/clock.h"
#include "common/eventlog/eventlog.h"
#include "tests/lib/pg.h"

enum { LANES = 8, SEEN_MAX = 8192 };

/*
 * A consumer that answers each event of type `in` with one of type `out`, key_version + 1: the
 * store refuses a second answer, and a count of answers says whether each had one.
 */
struct app {
	const char *name;
	bool log; /* false: a chain; each kick appends one event of type out for key kick_key */
	int16_t in, out; /* out 0: appends nothing */
	int64_t bad_key; /* its group fails with a data error */
	int64_t retry_once_key; /* batch_retry() the first time */
	int64_t fatal_key; /* the process ends */
	int64_t bad_version_key; /* answers with a key_version that is there */
	int64_t kick_key;
	bool hold; /* batch_retry() until the test says so */
	unsigned linger_ms;
	bool listens; /* counts what it hears */
	uint64_t thinks_ms; /* on lanes but 0 each batch is taken back once for so long */
	bool wait_key_row; /* groups wait for a row that a test may hold: behind their step */
	bool slow_load; /* consumer_loaded() is the test's */
	size_t batch_max;
	struct consumer_ops ops;
	struct consumer *consumer;
	struct node *node;
	unsigned held, lost, takes, commits, conflicts_left, heard;
	size_t largest; /* batch */
	bool holds[LANES];
	int64_t thought[LANES]; /* first seq of the batch that was taken back */
	int64_t last[LANES]; /* newest committed seq; asserted to grow */
	int64_t seen[SEEN_MAX]; /* order keys, in order of commit */
	size_t n_seen;
};

struct node {
	struct loop *loop; /* shared */
	struct config *config;
	struct metrics *metrics;
	struct bus *bus;
	struct store_pool *writers;
	struct store *control;
	struct eventlog *log;
	struct app *apps[2];
	int64_t revision;
	/* read by node_open() */
	unsigned group_ms; /* 0: 3,000 */
	const char *kind; /* NULL: "routing" */
};

extern struct pg *pg;
extern struct loop *loop;

void world_open(void); /* the cluster and the loop */
void world_close(void);

/* sets: "section.key=value", NULL-terminated, may be NULL; apps[1] may be NULL */
void node_open(struct node *n, const char *member, const char *const *sets, struct app *a, struct app *b);
void node_start(struct node *n);
void node_close(struct node *n); /* as a process that dies: nothing is released */
void node_drain(struct node *n); /* waits until drained */
long node_metric(struct node *n, const char *line); /* "name{labels}"; 0 if absent */

void turns(uint64_t ms);
#define WAIT(cond, within_ms)                                                      \
	do {                                                                       \
		uint64_t _end = clock_mono_ms() + (within_ms);                     \
		while (!(cond) && clock_mono_ms() < _end)                          \
			ASSERT_OK(loop_once(loop, 10));                            \
		ASSERT_TRUE(cond);                                                 \
	} while (0)

/* events of a type, keys first … first + n - 1, key_version 1, of lane; nobody publishes them */
void add_events(unsigned lane, int type, int64_t first, size_t n);
long answers(int type); /* events of that type in the table */
size_t lanes_held(const struct app *a);
