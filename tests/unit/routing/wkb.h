#pragma once
/*
 * wkb - writes well-known binary for tests: of rectangles, and of GeoJSON's geometries
 */
#include <jansson.h>
#include "common/base/buf.h"

static inline _unused_ void wkb_u32(struct buf *b, uint32_t v)
{
	buf_add(b, &v, sizeof(v)); /* tests run on little-endian machines, as wkb_head() says */
}

static inline _unused_ void wkb_head(struct buf *b, uint32_t type, uint32_t n)
{
	buf_ch(b, 1);
	wkb_u32(b, type);
	wkb_u32(b, n);
}

static inline _unused_ void wkb_point(struct buf *b, double lon, double lat)
{
	buf_add(b, &lon, sizeof(lon));
	buf_add(b, &lat, sizeof(lat));
}

static inline _unused_ void wkb_box(struct buf *b, double west, double south, double east, double north)
{
	buf_reset(b);
	wkb_head(b, 3, 1);
	wkb_u32(b, 5);
	wkb_point(b, west, south);
	wkb_point(b, east, south);
	wkb_point(b, east, north);
	wkb_point(b, west, north);
	wkb_point(b, west, south);
}

/* a MultiPolygon of GeoJSON */
static inline _unused_ void wkb_multipolygon(struct buf *b, const json_t *coordinates)
{
	size_t i, j, k;
	json_t *polygon, *ring, *point;

	buf_reset(b);
	wkb_head(b, 6, json_array_size(coordinates));
	json_array_foreach(coordinates, i, polygon) {
		wkb_head(b, 3, json_array_size(polygon));
		json_array_foreach(polygon, j, ring) {
			wkb_u32(b, json_array_size(ring));
			json_array_foreach(ring, k, point)
				wkb_point(b, json_number_value(json_array_get(point, 0)),
					  json_number_value(json_array_get(point, 1)));
		}
	}
}

static inline _unused_ struct bytes wkb_bytes(const struct buf *b)
{
	return (struct bytes){ (const uint8_t *)b->data, b->len };
}
