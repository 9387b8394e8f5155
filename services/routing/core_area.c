/*
 * core_area - point in polygon by GEOS
 *
 * The tree gives the areas whose box holds the point; the few that remain are asked by their
 * prepared form, which builds its own index at its first question. So loading stays cheap, and
 * an area that nobody asks about costs nothing.
 */
#include <errno.h>
#include <geos_c.h>
#include <math.h>
#include <stdio.h>
#include "common/base/err.h"
#include "services/routing/core_area.h"

struct shape {
	int32_t area;
	double size; /* in square degrees: only compared within a town */
	GEOSGeometry *geometry;
	const GEOSPreparedGeometry *prepared; /* borrows geometry */
	struct shape *next;
};

struct area_index {
	GEOSContextHandle_t geos;
	GEOSWKBReader *reader;
	GEOSSTRtree *tree; /* its items are shapes */
	struct shape *shapes; /* owned */
	size_t n;
	char reason[200];
};

static void geos_said(const char *message, void *ctx)
{
	struct area_index *x = ctx;

	snprintf(x->reason, sizeof(x->reason), "%s", message);
}

int area_index_new(struct area_index **ret)
{
	_cleanup_(area_index_freep) struct area_index *x = calloc(1, sizeof(*x));

	if (!x)
		return err_here(-ENOMEM);
	x->geos = GEOS_init_r();
	if (!x->geos)
		return err_here(-ENOMEM);
	(void)GEOSContext_setErrorMessageHandler_r(x->geos, geos_said, x); /* gives the old one */
	x->reader = GEOSWKBReader_create_r(x->geos);
	x->tree = GEOSSTRtree_create_r(x->geos, 10);
	if (!x->reader || !x->tree)
		return err_here(-ENOMEM);
	*ret = steal(x);
	return 0;
}

static void shape_free(struct area_index *x, struct shape *s)
{
	if (s->prepared)
		GEOSPreparedGeom_destroy_r(x->geos, s->prepared);
	if (s->geometry)
		GEOSGeom_destroy_r(x->geos, s->geometry);
	free(s);
}

void area_index_free(struct area_index *x)
{
	if (!x)
		return;
	if (x->tree)
		GEOSSTRtree_destroy_r(x->geos, x->tree);
	if (x->reader)
		GEOSWKBReader_destroy_r(x->geos, x->reader);
	while (x->shapes) {
		struct shape *s = x->shapes;

		x->shapes = s->next;
		shape_free(x, s);
	}
	if (x->geos)
		GEOS_finish_r(x->geos);
	free(x);
}

static int broken(struct area_index *x, const char *reason)
{
	if (reason)
		snprintf(x->reason, sizeof(x->reason), "%s", reason);
	return AREA_E_BROKEN;
}

/* reads and checks; what it makes is in s, also after a failure */
static int shape_read(struct area_index *x, struct shape *s, struct bytes wkb)
{
	int type;

	snprintf(x->reason, sizeof(x->reason), "unreadable WKB");
	s->geometry = wkb.len ? GEOSWKBReader_read_r(x->geos, x->reader, wkb.data, wkb.len) : NULL;
	if (!s->geometry)
		return broken(x, NULL); /* geos_said() has the reason */
	type = GEOSGeomTypeId_r(x->geos, s->geometry);
	if (type != GEOS_POLYGON && type != GEOS_MULTIPOLYGON)
		return broken(x, "neither a polygon nor a multipolygon");
	if (GEOSisEmpty_r(x->geos, s->geometry))
		return broken(x, "empty");
	if (!GEOSArea_r(x->geos, s->geometry, &s->size) || !isfinite(s->size))
		return broken(x, "a coordinate that is no number");
	if (s->size <= 0)
		return broken(x, "without an extent");
	s->prepared = GEOSPrepare_r(x->geos, s->geometry);
	return s->prepared ? 0 : broken(x, NULL);
}

int area_index_add(struct area_index *x, int32_t area, struct bytes wkb)
{
	struct shape *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_here(-ENOMEM);
	r = shape_read(x, s, wkb);
	if (r) {
		shape_free(x, s);
		return r;
	}
	s->area = area;
	GEOSSTRtree_insert_r(x->geos, x->tree, s->geometry, s);
	s->next = x->shapes;
	x->shapes = s;
	x->n++;
	return 0;
}

const char *area_index_reason(const struct area_index *x)
{
	return x->reason;
}

size_t area_index_count(const struct area_index *x)
{
	return x->n;
}

struct question {
	struct area_index *index;
	const GEOSGeometry *point;
	const struct shape *best; /* NULL: none so far */
};

static bool comes_first(const struct shape *a, const struct shape *b)
{
	return a->size < b->size || (a->size == b->size && a->area < b->area);
}

static void ask_shape(void *item, void *ctx)
{
	const struct shape *s = item;
	struct question *q = ctx;

	if (q->best && !comes_first(s, q->best))
		return;
	/* for a point and a polygon `intersects` is `covers`, and has the faster way */
	if (GEOSPreparedIntersects_r(q->index->geos, s->prepared, q->point) == 1)
		q->best = s;
}

int32_t area_index_find(struct area_index *x, double lat, double lon)
{
	struct question q = { .index = x };
	GEOSGeometry *point;

	if (!x->n || !isfinite(lat) || !isfinite(lon))
		return 0;
	point = GEOSGeom_createPointFromXY_r(x->geos, lon, lat);
	if (!point)
		return 0;
	q.point = point;
	GEOSSTRtree_query_r(x->geos, x->tree, point, ask_shape, &q);
	GEOSGeom_destroy_r(x->geos, point);
	return q.best ? q.best->area : 0;
}
