/* covers services/dispatch/core_flow.c; no clock */
#include "services/dispatch/core_flow.h"
#include "tests/lib/test.h"

struct fixture {
	struct flow flow;
	struct ack_set acked;
};

static void begin(struct fixture *x, size_t limit)
{
	*x = (struct fixture){ 0 };
	ASSERT_OK(flow_init(&x->flow, limit));
	flow_restart(&x->flow, &x->acked);
}

static void end(struct fixture *x)
{
	flow_fini(&x->flow);
	ack_set_fini(&x->acked);
}

/* offers first … last; returns how many were sent */
static unsigned offer(struct fixture *x, int64_t first, int64_t last, uint64_t due_ms)
{
	unsigned sent = 0;

	for (int64_t d = first; d <= last; d++) {
		enum flow_step step = flow_next(&x->flow, &x->acked, d);

		if (step == FLOW_STOP)
			break;
		if (step == FLOW_SKIP) {
			flow_skipped(&x->flow, d);
			continue;
		}
		(void)flow_sent(&x->flow, &x->acked, d, due_ms);
		sent++;
	}
	return sent;
}

static void ack(struct fixture *x, int64_t first, int64_t last)
{
	ASSERT_OK(ack_set_add(&x->acked, first, last));
	flow_settle(&x->flow, &x->acked);
}

TEST(credit_is_what_may_be_sent)
{
	struct fixture x;

	begin(&x, 10);
	ASSERT_EQ(offer(&x, 1, 5, 0), 0u);
	flow_credit(&x.flow, 3);
	ASSERT_EQ(offer(&x, 1, 5, 0), 3u);
	flow_credit(&x.flow, 1);
	ASSERT_EQ(offer(&x, 1, 5, 0), 1u);
	ASSERT_EQ(x.flow.cursor, 4);
	end(&x);
}

TEST(no_more_are_out_than_the_limit)
{
	struct fixture x;

	begin(&x, 4);
	flow_credit(&x.flow, 1000);
	ASSERT_EQ(offer(&x, 1, 100, 0), 4u);
	flow_credit(&x.flow, 1000);
	ASSERT_EQ(offer(&x, 5, 100, 0), 0u);
	ack(&x, 2, 3);
	ASSERT_EQ(offer(&x, 5, 100, 0), 2u);
	end(&x);
}

TEST(a_new_connection_gets_what_is_not_acknowledged)
{
	struct fixture x;

	begin(&x, 10);
	flow_credit(&x.flow, 10);
	ASSERT_EQ(offer(&x, 1, 5, 0), 5u);
	ack(&x, 1, 1);
	ack(&x, 3, 4);
	flow_restart(&x.flow, &x.acked);
	ASSERT_EQ(x.flow.cursor, 1);
	flow_credit(&x.flow, 10);
	ASSERT_EQ((int)flow_next(&x.flow, &x.acked, 2), (int)FLOW_SEND);
	ASSERT_TRUE(flow_sent(&x.flow, &x.acked, 2, 0)); /* not for the first time */
	ASSERT_EQ((int)flow_next(&x.flow, &x.acked, 3), (int)FLOW_SKIP);
	ASSERT_EQ(offer(&x, 3, 6, 0), 2u); /* 5 again, 6 */
	end(&x);
}

TEST(what_is_not_acknowledged_in_time_is_overdue)
{
	struct fixture x;
	int64_t due[10];

	begin(&x, 10);
	flow_credit(&x.flow, 10);
	ASSERT_EQ(offer(&x, 1, 3, 1000), 3u);
	ASSERT_EQ(offer(&x, 4, 5, 2000), 2u);
	ack(&x, 2, 2);
	ASSERT_EQ(flow_overdue(&x.flow, 999, due, 10), 0u);
	ASSERT_EQ(flow_overdue(&x.flow, 1000, due, 10), 2u);
	ASSERT_EQ(due[0], 1);
	ASSERT_EQ(due[1], 3);
	ASSERT_TRUE(flow_sent(&x.flow, &x.acked, 1, 3000));
	ASSERT_EQ(flow_overdue(&x.flow, 2000, due, 10), 3u); /* 3, 4, 5 */
	ASSERT_FALSE(flow_is_overdue(&x.flow, 1, 2000));
	ASSERT_TRUE(flow_is_overdue(&x.flow, 5, 2000));
	ASSERT_FALSE(flow_is_overdue(&x.flow, 2, 2000)); /* acknowledged */
	ASSERT_EQ(x.flow.credit, 5); /* sending again took none */
	end(&x);
}

TEST(a_replay_sends_acknowledged_ones_once_more)
{
	struct fixture x;

	begin(&x, 10);
	flow_credit(&x.flow, 10);
	ASSERT_EQ(offer(&x, 1, 6, 0), 6u);
	ack(&x, 1, 6);
	flow_replay(&x.flow, 3);
	flow_credit(&x.flow, 10);
	ASSERT_EQ(offer(&x, 1, 7, 0), 5u); /* 3 … 6 again, 7 */
	ASSERT_EQ(x.flow.n, 1u); /* only 7 waits for an acknowledgement */
	ASSERT_EQ(offer(&x, 1, 7, 0), 0u);
	end(&x);
}
