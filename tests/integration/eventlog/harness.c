#include "tests/integration/eventlog/harness.h"
#include <stdio.h>
#include <unistd.h>
#include "common/base/buf.h"

struct pg *pg;
struct loop *loop;

static const struct config_key own_keys[] = {
	{ "service", "member", CONFIG_STR, "", 0, 0, "name" },
	{ "service", "runtime_dir", CONFIG_STR, "/tmp", 0, 0, "folder of sockets" },
	{ "bus", "endpoint", CONFIG_STR, "", 0, 0, "of the PUB socket" },
	{ 0 },
};

static const struct query own_queries[] = {
	{ "test_data_error", "SELECT 1 / ($1::integer)" },
	{ "test_key_row", "SELECT pg_advisory_xact_lock(7001)" },
};

void world_open(void)
{
	pg = pg_start(&(struct pg_options){ .migrate = true });
	ASSERT_OK(loop_new(&loop));
}

void world_close(void)
{
	loop_free(loop);
	pg_free(pg);
}

void turns(uint64_t ms)
{
	uint64_t end = clock_mono_ms() + ms;

	while (clock_mono_ms() < end)
		ASSERT_OK(loop_once(loop, 10));
}

/* ---- the consumer ------------------------------------------------------------------------- */

static void on_held(void *ctx, struct consumer *c, unsigned lane, _unused_ int64_t epoch)
{
	struct app *a = ctx;

	a->held++;
	a->holds[lane] = true;
	a->last[lane] = 0;
	if (!a->slow_load)
		consumer_loaded(c, lane);
}

static void on_lost(void *ctx, _unused_ struct consumer *c, unsigned lane)
{
	struct app *a = ctx;

	a->lost++;
	a->holds[lane] = false;
}

static void answer_one(struct app *a, struct batch *b, const struct event *e)
{
	struct event out = *e;

	if (e->order_key == a->fatal_key)
		_exit(9);
	if (e->order_key == a->bad_key) {
		store_add(batch_group(b), &own_queries[0]);
		store_p_int4(batch_group(b), 0);
	}
	if (!a->out)
		return;
	out.type = a->out;
	out.actor = a->name;
	out.key_version = e->key_version + 1;
	if (e->order_key == a->bad_version_key && a->conflicts_left && a->conflicts_left--)
		out.key_version = 1;
	batch_append(b, &out);
}

static bool wants_retry(struct app *a, struct batch *b)
{
	if (a->hold)
		return true;
	for (size_t i = 0; i < batch_count(b); i++)
		if (batch_event(b, i)->order_key == a->retry_once_key) {
			a->retry_once_key = 0;
			return true;
		}
	return false;
}

static bool thinks(struct app *a, struct batch *b)
{
	unsigned lane = batch_lane(b);

	if (!a->thinks_ms || !lane || !batch_count(b) || a->thought[lane] == batch_event(b, 0)->seq)
		return false;
	a->thought[lane] = batch_event(b, 0)->seq;
	return true;
}

static void on_take(void *ctx, struct batch *b)
{
	struct app *a = ctx;

	a->takes++;
	if (thinks(a, b)) {
		batch_retry(b, (unsigned)a->thinks_ms);
		return;
	}
	a->largest = MAX(a->largest, batch_count(b));
	if (wants_retry(a, b)) {
		batch_retry(b, 20);
		return;
	}
	if (a->wait_key_row)
		store_add(batch_group(b), &own_queries[1]);
	for (size_t i = 0; i < batch_count(b); i++)
		answer_one(a, b, batch_event(b, i));
	if (!a->log && a->kick_key)
		batch_append(b, &(struct event){ .lane = (int16_t)batch_lane(b), .type = a->out,
						 .type_version = 1, .jurisdiction = 1, .actor = a->name,
						 .order_key = a->kick_key++, .key_version = 1 });
	batch_commit(b);
}

static void on_committed(void *ctx, struct batch *b, const struct answer *answer, size_t first)
{
	struct app *a = ctx;
	unsigned lane = batch_lane(b);

	a->commits++;
	ASSERT_EQ(first, 1u);
	ASSERT_GE(answer->n, 1u);
	for (size_t i = 0; i < batch_count(b); i++) {
		const struct event *e = batch_event(b, i);

		if (!batch_alone(b)) {
			ASSERT_GT(e->seq, a->last[lane]);
			a->last[lane] = e->seq;
		}
		if (a->n_seen < SEEN_MAX)
			a->seen[a->n_seen++] = e->order_key;
		if (a->out)
			ASSERT_GT(batch_appended_seq(b, i), 0);
	}
}

static void on_heard(void *ctx, const struct event *e)
{
	struct app *a = ctx;

	ASSERT_EQ(e->type, a->in);
	a->heard++;
}

static void on_config(void *ctx, int64_t revision)
{
	((struct node *)ctx)->revision = revision;
}

static void add_app(struct node *n, struct app *a)
{
	a->node = n;
	a->ops = (struct consumer_ops){
		.name = a->name,
		.log = a->log,
		.types = a->log ? UINT64_C(1) << a->in : 0,
		.batch_max = a->batch_max,
		.linger_ms = a->linger_ms,
		.heard = a->listens ? on_heard : NULL,
		.held = on_held,
		.lost = on_lost,
		.take = on_take,
		.committed = on_committed,
	};
	ASSERT_OK(eventlog_consumer(n->log, &a->ops, a, &a->consumer));
}

/* ---- a daemon ----------------------------------------------------------------------------- */

static void load_config(struct node *n, const char *member, const char *const *sets)
{
	static const struct config_key *tables[] = { own_keys, eventlog_keys, NULL };
	const char *all[16] = { 0 };
	char name[64], folder[300];
	size_t i = 0;

	snprintf(name, sizeof(name), "service.member=%s", member);
	snprintf(folder, sizeof(folder), "service.runtime_dir=%s", test_folder());
	all[i++] = name;
	all[i++] = folder;
	all[i++] = "eventlog.alive_ms=1500";
	all[i++] = "eventlog.renew_ms=300";
	for (; sets && *sets; sets++)
		all[i++] = *sets;
	ASSERT_OK(config_load_file(&n->config, NULL, all, tables));
}

void node_open(struct node *n, const char *member, const char *const *sets, struct app *a, struct app *b)
{
	static struct query_table own = { own_queries, ARRAY_SIZE(own_queries) };
	static struct query_table tables[3];
	unsigned group_ms = n->group_ms;
	const char *kind = n->kind ? n->kind : "routing";
	struct store_options so = { .dsn = pg_dsn(pg), .application_name = member,
				    .role = "centraleta_routing", .tables = tables,
				    .group_ms = group_ms ? group_ms : 3000 };
	struct eventlog_options eo;

	tables[0] = eventlog_queries;
	tables[1] = own;
	*n = (struct node){ .loop = loop, .apps = { a, b }, .group_ms = group_ms };
	load_config(n, member, sets);
	ASSERT_OK(metrics_new(&n->metrics));
	ASSERT_OK(bus_new(&n->bus, loop));
	ASSERT_OK(store_pool_new(&n->writers, loop, &so, 4));
	ASSERT_OK(store_new(&n->control, loop, &so));
	eo = (struct eventlog_options){ .loop = loop, .bus = n->bus, .writers = n->writers,
					.control = n->control, .metrics = n->metrics, .config = n->config,
					.kind = kind, .on_config = on_config, .ctx = n };
	ASSERT_OK(eventlog_new(&n->log, &eo));
	add_app(n, a);
	if (b)
		add_app(n, b);
}

void node_start(struct node *n)
{
	char endpoint[64];

	snprintf(endpoint, sizeof(endpoint), "service-of-%s", config_str(n->config, "service.member"));
	eventlog_set_service_endpoint(n->log, endpoint);
	ASSERT_OK(eventlog_start(n->log));
	WAIT(eventlog_ready(n->log), 10000);
}

void node_close(struct node *n)
{
	eventlog_free(n->log);
	store_free(n->control);
	store_pool_free(n->writers);
	bus_free(n->bus);
	metrics_free(n->metrics);
	config_free(n->config);
	n->log = NULL;
}

void node_drain(struct node *n)
{
	eventlog_drain(n->log);
	WAIT(eventlog_drained(n->log), 10000);
}

long node_metric(struct node *n, const char *line)
{
	struct buf out = BUF_INIT;
	char want[256];
	const char *at;
	long v = 0;

	metrics_write(n->metrics, &out);
	snprintf(want, sizeof(want), "\ncentraleta_%s ", line);
	at = out.data ? strstr(out.data, want) : NULL;
	if (at)
		v = strtol(at + strlen(want), NULL, 10);
	buf_fini(&out);
	return v;
}

/* ---- the log ------------------------------------------------------------------------------ */

void add_events(unsigned lane, int type, int64_t first, size_t n)
{
	char sql[1024];

	snprintf(sql, sizeof(sql),
		 "SELECT * FROM event_append(array_fill(%u::smallint, ARRAY[%zu]), array_fill(1, ARRAY[%zu]),"
		 " ARRAY(SELECT k FROM generate_series(%lld::bigint, %lld) k), array_fill(1, ARRAY[%zu]),"
		 " array_fill(%d::smallint, ARRAY[%zu]), array_fill(1::smallint, ARRAY[%zu]),"
		 " array_fill('test'::text, ARRAY[%zu]),"
		 " array_fill('\\x00112233445566778899aabbccddeeff'::bytea, ARRAY[%zu]),"
		 " array_fill('\\x0801'::bytea, ARRAY[%zu]))",
		 lane, n, n, (long long)first, (long long)(first + (int64_t)n - 1), n, type, n, n, n, n, n);
	pg_sql(pg, sql);
}

long answers(int type)
{
	char sql[128];

	snprintf(sql, sizeof(sql), "SELECT count(*) FROM event WHERE type = %d", type);
	return pg_number(pg, sql);
}

size_t lanes_held(const struct app *a)
{
	size_t n = 0;

	for (unsigned i = 0; i < LANES; i++)
		n += consumer_holds(a->consumer, i);
	return n;
}
