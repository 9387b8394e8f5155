/* covers common/store/hosts.c, resolve.c: several hosts of a conninfo; no server */
#include <unistd.h>
#include "common/store/internal.h"
#include "tests/lib/test.h"

static void parse(struct hosts *h, const char *dsn)
{
	char error[256];

	ASSERT_OK(hosts_parse(h, dsn, error, sizeof(error)));
}

TEST(hosts_are_taken_apart)
{
	struct hosts h;

	parse(&h, "host=db1,db2,/run/pg port=5432,5433,5434 dbname=c user=x");
	ASSERT_EQ(h.n, 3);
	ASSERT_STR_EQ(h.list[1].host, "db2");
	ASSERT_STR_EQ(h.list[1].port, "5433");
	ASSERT_STR_EQ(hosts_name(&h, 1), "db2");
	ASSERT_NULL(hosts_name(&h, 2));
	hosts_fini(&h);
	parse(&h, "postgresql://10.0.0.1,[::1]:99/c");
	ASSERT_EQ(h.n, 2);
	ASSERT_NULL(hosts_name(&h, 0));
	ASSERT_NULL(hosts_name(&h, 1));
	ASSERT_STR_EQ(h.list[1].host, "::1");
	ASSERT_STR_EQ(h.list[1].port, "99");
	ASSERT_NULL(h.list[0].port);
	hosts_fini(&h);
	parse(&h, "host=a,b hostaddr=10.0.0.1,10.0.0.2 port=7000");
	ASSERT_STR_EQ(h.list[1].hostaddr, "10.0.0.2");
	ASSERT_STR_EQ(h.list[1].port, "7000");
	ASSERT_NULL(hosts_name(&h, 0));
	hosts_fini(&h);
	parse(&h, "dbname=c");
	ASSERT_EQ(h.n, 1);
	ASSERT_NULL(h.list[0].host);
	hosts_fini(&h);
}

TEST(a_wrong_conninfo_is_refused_with_a_reason)
{
	static const char *const cases[] = {
		"host=a,b port=1,2,3", "host=a hostaddr=1.1.1.1,2.2.2.2", "hots=a",
		"host=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
	};
	struct hosts h;

	FOREACH(c, cases) {
		char error[256] = "";

		ASSERT_NE(hosts_parse(&h, *c, error, sizeof(error)), 0);
		ASSERT_NE(strlen(error), 0);
	}
}

static const char *conninfo(PQconninfoOption *all, const char *keyword)
{
	while (strcmp(all->keyword, keyword))
		all++;
	return all->val ? all->val : "";
}

TEST(one_host_is_connected_to_with_our_bounds)
{
	struct hosts h;
	struct session session = { .role = (char *)(uintptr_t)"me" };
	PQconninfoOption *all;
	PGconn *c;

	parse(&h, "host=/nowhere1,/nowhere2 port=1,2 user=dsn tcp_user_timeout=7");
	c = hosts_connect(&h, 1, NULL, &session);
	all = PQconninfo(c);
	ASSERT_STR_EQ(conninfo(all, "host"), "/nowhere2");
	ASSERT_STR_EQ(conninfo(all, "port"), "2");
	ASSERT_STR_EQ(conninfo(all, "user"), "me");
	ASSERT_STR_EQ(conninfo(all, "tcp_user_timeout"), "7");
	ASSERT_STR_EQ(conninfo(all, "target_session_attrs"), "read-write");
	PQconninfoFree(all);
	PQfinish(c);
	session.read_only = true;
	c = hosts_connect(&h, 0, NULL, &session);
	all = PQconninfo(c);
	ASSERT_STR_EQ(conninfo(all, "target_session_attrs"), "any");
	PQconninfoFree(all);
	PQfinish(c);
	hosts_fini(&h);
}

static int resolve(const char *name, struct addresses *ret)
{
	struct resolve *look_up;
	int r;

	ASSERT_OK(resolve_start(&look_up, name));
	for (int i = 0; (r = resolve_poll(look_up, ret)) == RESOLVE_E_BUSY && i < 500; i++)
		usleep(10000);
	resolve_free(look_up);
	return r;
}

TEST(names_are_looked_up_on_the_side)
{
	struct addresses a;

	ASSERT_OK(resolve("localhost", &a));
	ASSERT_GE(a.n, 1);
	ASSERT_TRUE(!strcmp(a.text[0], "127.0.0.1") || !strcmp(a.text[0], "::1"));
}
