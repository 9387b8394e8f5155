/* covers services/routing/core_area.c; real neighbourhoods are checked by a ray cast of our own */
#include <math.h>
#include "services/routing/core_area.h"
#include "tests/lib/test.h"
#include "tests/unit/routing/wkb.h"

static void add_box(struct area_index *x, int32_t area, double west, double south, double east,
		    double north)
{
	struct buf b = BUF_INIT;

	wkb_box(&b, west, south, east, north);
	ASSERT_EQ(area_index_add(x, area, wkb_bytes(&b)), 0);
	buf_fini(&b);
}

TEST(no_areas_is_no_area)
{
	struct area_index *x = NULL;

	ASSERT_EQ(area_index_new(&x), 0);
	ASSERT_EQ(area_index_find(x, 1, 1), 0);
	area_index_free(x);
}

TEST(borders_and_corners_are_in)
{
	struct area_index *x = NULL;

	ASSERT_EQ(area_index_new(&x), 0);
	add_box(x, 7, 2, 41, 3, 42);
	ASSERT_EQ(area_index_find(x, 41.5, 2.5), 7);
	ASSERT_EQ(area_index_find(x, 41, 2), 7);
	ASSERT_EQ(area_index_find(x, 42, 3), 7);
	ASSERT_EQ(area_index_find(x, 41.5, 3), 7);
	ASSERT_EQ(area_index_find(x, 41.5, nextafter(3, 4)), 0);
	ASSERT_EQ(area_index_find(x, 2.5, 41.5), 0); /* latitude and longitude changed about */
	ASSERT_EQ(area_index_find(x, NAN, 2.5), 0);
	ASSERT_EQ(area_index_find(x, 41.5, INFINITY), 0);
	area_index_free(x);
}

TEST(the_smallest_of_overlapping_areas_wins_whatever_the_order)
{
	for (int turn = 0; turn < 2; turn++) {
		struct area_index *x = NULL;

		ASSERT_EQ(area_index_new(&x), 0);
		if (turn)
			add_box(x, 1, 0, 0, 10, 10);
		add_box(x, 2, 4, 4, 6, 6);
		if (!turn)
			add_box(x, 1, 0, 0, 10, 10);
		ASSERT_EQ(area_index_find(x, 5, 5), 2);
		ASSERT_EQ(area_index_find(x, 6, 6), 2);
		ASSERT_EQ(area_index_find(x, 7, 7), 1);
		area_index_free(x);
	}
}

TEST(a_common_border_goes_to_the_lower_number_of_equal_areas)
{
	for (int turn = 0; turn < 2; turn++) {
		struct area_index *x = NULL;

		ASSERT_EQ(area_index_new(&x), 0);
		add_box(x, turn ? 8 : 9, 0, 0, 1, 1);
		add_box(x, turn ? 9 : 8, 1, 0, 2, 1);
		ASSERT_EQ(area_index_find(x, 0.5, 1), 8);
		area_index_free(x);
	}
}

TEST(broken_shapes_are_told_apart)
{
	static const uint8_t point[] = { 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f,
					 0, 0, 0, 0, 0, 0, 0xf0, 0x3f };
	static const uint8_t empty[] = { 1, 6, 0, 0, 0, 0, 0, 0, 0 };
	struct area_index *x = NULL;
	struct buf b = BUF_INIT;

	ASSERT_EQ(area_index_new(&x), 0);
	ASSERT_EQ(area_index_add(x, 1, (struct bytes){ NULL, 0 }), AREA_E_BROKEN);
	ASSERT_STR_EQ(area_index_reason(x), "unreadable WKB");
	ASSERT_EQ(area_index_add(x, 1, (struct bytes){ point, sizeof(point) }), AREA_E_BROKEN);
	ASSERT_STR_EQ(area_index_reason(x), "neither a polygon nor a multipolygon");
	ASSERT_EQ(area_index_add(x, 1, (struct bytes){ empty, sizeof(empty) }), AREA_E_BROKEN);
	ASSERT_STR_EQ(area_index_reason(x), "empty");
	wkb_box(&b, 1, 1, 1, 2);
	ASSERT_EQ(area_index_add(x, 1, wkb_bytes(&b)), AREA_E_BROKEN);
	ASSERT_STR_EQ(area_index_reason(x), "without an extent");
	wkb_box(&b, 1, 1, NAN, 2);
	ASSERT_EQ(area_index_add(x, 1, wkb_bytes(&b)), AREA_E_BROKEN);
	wkb_box(&b, 1, 1, 2, 2);
	for (size_t len = 0; len < b.len; len++)
		ASSERT_EQ(area_index_add(x, 1, (struct bytes){ wkb_bytes(&b).data, len }),
			  AREA_E_BROKEN);
	ASSERT_EQ(area_index_count(x), 0u);
	ASSERT_EQ(area_index_add(x, 1, wkb_bytes(&b)), 0);
	ASSERT_EQ(area_index_find(x, 1.5, 1.5), 1);
	buf_fini(&b);
	area_index_free(x);
}

/* ---- the neighbourhoods of two cities ------------------------------------------------------- */

static bool ring_holds(const json_t *ring, double lon, double lat)
{
	size_t n = json_array_size(ring);
	bool in = false;

	for (size_t i = 0, j = n - 1; i < n; j = i++) {
		const json_t *a = json_array_get(ring, i), *b = json_array_get(ring, j);
		double ax = json_number_value(json_array_get(a, 0));
		double ay = json_number_value(json_array_get(a, 1));
		double bx = json_number_value(json_array_get(b, 0));
		double by = json_number_value(json_array_get(b, 1));

		if ((ay > lat) != (by > lat) && lon < (bx - ax) * (lat - ay) / (by - ay) + ax)
			in = !in;
	}
	return in;
}

/* even-odd over all rings: right for shells with holes that don't overlap each other */
static bool shape_holds(const json_t *multipolygon, double lon, double lat)
{
	size_t i, j;
	json_t *polygon, *ring;
	bool in = false;

	json_array_foreach(multipolygon, i, polygon)
		json_array_foreach(polygon, j, ring)
			in ^= ring_holds(ring, lon, lat);
	return in;
}

static double ring_size(const json_t *ring)
{
	size_t n = json_array_size(ring);
	double sum = 0;

	for (size_t i = 0, j = n - 1; i < n; j = i++) {
		const json_t *a = json_array_get(ring, j), *b = json_array_get(ring, i);

		sum += json_number_value(json_array_get(a, 0)) *
		       json_number_value(json_array_get(b, 1));
		sum -= json_number_value(json_array_get(b, 0)) *
		       json_number_value(json_array_get(a, 1));
	}
	return fabs(sum) / 2;
}

static double shape_size(const json_t *multipolygon)
{
	size_t i, j;
	json_t *polygon, *ring;
	double size = 0;

	json_array_foreach(multipolygon, i, polygon)
		json_array_foreach(polygon, j, ring)
			size += j ? -ring_size(ring) : ring_size(ring);
	return size;
}

static const json_t *coordinates_of(const json_t *features, size_t i)
{
	return json_object_get(json_object_get(json_array_get(features, i), "geometry"),
			       "coordinates");
}

/* area numbers are index + 1 */
static int32_t cast_rays(const json_t *features, double lon, double lat)
{
	int32_t best = 0;
	double best_size = INFINITY;

	for (size_t i = 0; i < json_array_size(features); i++) {
		const json_t *shape = coordinates_of(features, i);

		if (!shape_holds(shape, lon, lat) || shape_size(shape) >= best_size)
			continue;
		best = (int32_t)i + 1;
		best_size = shape_size(shape);
	}
	return best;
}

static void compare_city(const char *path, double west, double south, double east, double north)
{
	json_t *city = json_load_file(path, 0, NULL);
	const json_t *features = json_object_get(city, "features");
	struct area_index *x = NULL;
	struct buf b = BUF_INIT;
	int hits = 0, misses = 0;

	ASSERT_NOT_NULL(city);
	ASSERT_EQ(area_index_new(&x), 0);
	for (size_t i = 0; i < json_array_size(features); i++) {
		wkb_multipolygon(&b, coordinates_of(features, i));
		ASSERT_EQ(area_index_add(x, (int32_t)i + 1, wkb_bytes(&b)), 0);
	}
	srand48(311);
	for (int i = 0; i < 400; i++) {
		double lon = west + drand48() * (east - west), lat = south + drand48() * (north - south);
		int32_t want = cast_rays(features, lon, lat);

		ASSERT_EQ(area_index_find(x, lat, lon), want);
		want ? hits++ : misses++;
	}
	ASSERT_TRUE(hits > 40 && misses > 40);
	area_index_free(x);
	buf_fini(&b);
	json_decref(city);
}

TEST(boston_equals_a_ray_cast)
{
	compare_city(test_data("areas/boston-neighborhoods.geojson"), -71.2, 42.22, -70.98, 42.41);
}

TEST(kansas_city_equals_a_ray_cast)
{
	compare_city(test_data("areas/kansas-city-neighborhoods.geojson"), -94.75, 38.8,
		     -94.4, 39.4);
}
