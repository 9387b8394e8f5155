#pragma once
/*
 * harness - a store on its own loop, driven by hand
 */
#include "common/loop/loop.h"
#include "common/store/store.h"
#include "tests/lib/pg.h"

#define WAIT_MS 20000 /* for what must come; far above what it takes */

/* what the callback of one group saw */
struct seen {
	bool done;
	unsigned order; /* 1: the first answer of the harness */
	enum store_verdict verdict;
	char sqlstate[6], constraint[64];
	size_t n; /* results */
	int64_t value; /* the first result's first value, where it is an integer */
	unsigned *counter;
};

struct harness {
	struct loop *loop;
	struct store *store;
	unsigned answers, ready_changes;
};

/* o's dsn, loop and tables may be left out; ends when ready, unless the dsn was given */
void harness_open(struct harness *h, struct pg *p, struct store_options *o);
void harness_close(struct harness *h);
void harness_turn(struct harness *h); /* one turn of the loop, at most 20 ms */
void harness_until_ready(struct harness *h, bool ready);
/* a group with its first statement begun; parameters follow */
struct store_group *harness_group(struct harness *h, const struct query *q);
void harness_submit(struct harness *h, struct store_group *g, struct seen *s);
void harness_wait(struct harness *h, const struct seen *s);
/* submits and waits */
struct seen harness_run(struct harness *h, struct store_group *g);
void assert_verdict(const char *file, int line, const struct seen *s, enum store_verdict want);
#define ASSERT_VERDICT(seen, want) assert_verdict(__FILE__, __LINE__, (seen), (want))

/* statements of the tests, on table t(id int primary key, body text) and what a test makes */
extern const struct query_table harness_tables[];
extern const struct query q_value, /* int8: itself */ q_bytea, /* bytea: itself */
	q_insert, /* int4, text */ q_divide, /* int4: 1 / it */ q_sleep, /* float8 seconds */
	q_lock, /* int4: id, FOR UPDATE */ q_set, /* text, text: a setting of the session */
	q_begin, q_child; /* int4: a row of a table whose foreign key is deferred */
void harness_schema(struct pg *p);
