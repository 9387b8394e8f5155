/* covers services/cli/import_map.c and import_journal.c */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "services/cli/import_journal.h"
#include "services/cli/import_map.h"
#include "tests/lib/test.h"

static const char mapping[] =
	"{\"id\":\"n\",\"service_code\":\"what\",\"lat\":\"lat\",\"long\":\"lon\","
	"\"channel\":{\"column\":\"how\",\"values\":{\"P\":\"phone\"}},"
	"\"department\":{\"column\":\"who\",\"values\":{\"P&R\":\"parks\"}},"
	"\"state\":{\"column\":\"state\",\"values\":{\"C\":\"closed\",\"O\":\"open\"}},"
	"\"outcome\":{\"column\":\"why\",\"starts\":{\"Dup\":\"duplicate\"},\"otherwise\":\"done\"},"
	"\"requested\":{\"columns\":[\"day\",\"hour\"],\"format\":\"%m/%d/%Y %I:%M %p\"},"
	"\"closed\":{\"column\":\"end\",\"format\":\"%m/%d/%Y\",\"time\":\"23:59:59\"}";
static const char header[] = "n,what,lat,lon,how,who,state,why,day,hour,end\n";

struct world {
	struct import_map *map;
	struct zone *zone;
	struct csv csv;
	struct import_row row;
	char why[256];
};

static void world_init(struct world *w, const char *more)
{
	char text[2048], error[256];
	size_t used;
	const char *reason;

	snprintf(text, sizeof(text), "%s%s}", mapping, more);
	ASSERT_OK(import_map_new(&w->map, text, strlen(text), true, error));
	ASSERT_OK(zone_new(&w->zone, "America/Chicago"));
	csv_init(&w->csv);
	ASSERT_EQ(csv_next(&w->csv, header, strlen(header), true, &used, &reason), CSV_ROW);
	ASSERT_TRUE(import_map_bind(w->map, &w->csv, error));
}

static void world_fini(struct world *w)
{
	import_map_free(w->map);
	zone_free(w->zone);
	csv_fini(&w->csv);
}

static const char *read_row(struct world *w, const char *text)
{
	size_t used;
	const char *reason;

	ASSERT_EQ(csv_next(&w->csv, text, strlen(text), true, &used, &reason), CSV_ROW);
	return import_map_row(w->map, &w->csv, w->zone, &w->row, w->why);
}

TEST(a_row_of_history)
{
	struct world w = { 0 };

	world_init(&w, "");
	ASSERT_TRUE(read_row(&w, "7,Pothole,39.1,-94.5,P,P&R,C,Dup of 3,07/04/2012,02:31 PM,07/05/2012") == NULL);
	ASSERT_STR_EQ(w.row.submit.idempotency_key, "import:7");
	ASSERT_STR_EQ(w.row.submit.service_code, "Pothole");
	ASSERT_TRUE(w.row.submit.place != NULL);
	ASSERT_EQ(w.row.submit.channel, CENTRALETA__V1__CHANNEL__CHANNEL_PHONE);
	ASSERT_STR_EQ(w.row.history.department, "parks");
	ASSERT_EQ(w.row.history.outcome, CENTRALETA__V1__OUTCOME__OUTCOME_DUPLICATE);
	ASSERT_EQ(w.row.history.requested_at_us, 1341430260000000); /* 19:31 UTC, summer */
	ASSERT_EQ(w.row.history.closed_at_us, 1341550799000000); /* 04:59:59 UTC the next day */
	world_fini(&w);
}

TEST(refusals_name_the_field)
{
	static const struct {
		const char *row, *why;
	} cases[] = {
		{ ",x,,,P,a,O,,07/04/2012,02:31 PM,", "id: is empty" },
		{ "1,,,,P,a,O,,07/04/2012,02:31 PM,", "service_code: is empty" },
		{ "1,x,abc,1,P,a,O,,07/04/2012,02:31 PM,", "lat: is no number 'abc'" },
		{ "1,x,,,Q,a,O,,07/04/2012,02:31 PM,", "channel: the mapping does not know 'Q'" },
		{ "1,x,,,P,,O,,07/04/2012,02:31 PM,", "department: is empty" },
		{ "1,x,,,P,a,Z,,07/04/2012,02:31 PM,",
		  "state: the mapping makes neither open nor closed of 'Z'" },
		{ "1,x,,,P,a,O,,13/44/2012,02:31 PM,",
		  "requested: is not of the mapping's format '13/44/2012 02:31 PM'" },
		{ "1,x,,,P,a,O,,,,", "requested: is empty" },
		{ "1,x,,,P,a,C,,07/04/2012,02:31 PM,", "closed: is empty though the state is closed" },
		{ "1,x,,,P,a,C,,07/04/2012,02:31 PM,07/03/2012", "closed: is before it was asked" },
	};
	struct world w = { 0 };

	world_init(&w, "");
	FOREACH(c, cases)
		ASSERT_STR_EQ(read_row(&w, c->row), c->why);
	world_fini(&w);
}

TEST(hours_that_daylight_saving_skips_or_doubles)
{
	struct world w = { 0 };

	world_init(&w, "");
	ASSERT_TRUE(read_row(&w, "1,x,,,P,a,O,,03/11/2012,02:30 AM,") == NULL);
	ASSERT_EQ(w.row.skipped, 1);
	ASSERT_EQ(w.row.history.requested_at_us, 1331454600000000); /* 03:30 CDT */
	ASSERT_TRUE(read_row(&w, "1,x,,,P,a,O,,11/04/2012,01:30 AM,") == NULL);
	ASSERT_EQ(w.row.doubled, 1);
	ASSERT_EQ(w.row.history.requested_at_us, 1352010600000000); /* the first, CDT */
	world_fini(&w);
	w = (struct world){ 0 };
	world_init(&w, ",\"skipped_hour\":\"refuse\",\"doubled_hour\":\"second\"");
	ASSERT_STR_EQ(read_row(&w, "1,x,,,P,a,O,,03/11/2012,02:30 AM,"),
		      "requested: daylight saving skips '03/11/2012 02:30 AM'");
	ASSERT_TRUE(read_row(&w, "1,x,,,P,a,O,,11/04/2012,01:30 AM,") == NULL);
	ASSERT_EQ(w.row.history.requested_at_us, 1352014200000000); /* the second, CST */
	world_fini(&w);
}

TEST(mappings_that_are_wrong)
{
	static const struct {
		const char *text, *why;
	} cases[] = {
		{ "[", "line 1: '[' expected near end of file" },
		{ "[]", "line 1: must be an object" },
		{ "{\"id\":\"n\"}", "\"service_code\" is missing" },
		{ "{\"id\":3,\"service_code\":\"s\"}", "\"id\" must be a column's name or an object" },
		{ "{\"idd\":\"n\"}", "\"idd\" is not known in a mapping" },
		{ "{\"id\":\"n\",\"service_code\":\"s\"}",
		  "\"department\" is missing; history needs it (or import with --live)" },
		{ "{\"doubled_hour\":\"third\"}",
		  "\"doubled_hour\" must be \"first\", \"second\" or \"refuse\"" },
	};

	for (size_t i = 1; i < ARRAY_SIZE(cases); i++) {
		struct import_map *map = NULL;
		char why[256];

		ASSERT_EQ(import_map_new(&map, cases[i].text, strlen(cases[i].text), true, why), -EINVAL);
		if (i > 1)
			ASSERT_STR_EQ(why, cases[i].why);
	}
}

TEST(journals_come_back_as_written)
{
	const struct import_counts c = { 10, 7, 1, 2, 3, 4, 555, 666 };
	struct import_counts back;
	char path[64];

	snprintf(path, sizeof(path), "/tmp/centraleta-journal-%d", (int)getpid());
	ASSERT_EQ(import_journal_read(path, &back), -ENOENT);
	ASSERT_OK(import_journal_write(path, &c));
	ASSERT_OK(import_journal_read(path, &back));
	ASSERT_MEM_EQ(&c, &back, sizeof(c));
	unlink(path);
}
