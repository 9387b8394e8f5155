#pragma once
/*
 * core_area - the area that a place lies in
 *
 * Polygons of one town, prepared, under an STR-tree (GEOS, its reentrant functions). A place on a
 * border is in. Where areas overlap the smallest has it, of equal ones that with the lower number:
 * so a square inside a district can have rules of its own. No I/O.
 */
#include "common/base/base.h"

struct area_index;

enum { AREA_E_BROKEN = 1 };

int area_index_new(struct area_index **ret) _must_check_;
void area_index_free(struct area_index *x);
DEFINE_CLEANUP(struct area_index *, area_index_free)

/*
 * area_index_add() - one polygon or multipolygon as WKB, longitude first, WGS84
 *
 * Return: 0; AREA_E_BROKEN: unreadable, of another kind, empty or without an extent:
 * area_index_reason() says which; -ENOMEM. Rings that cross themselves are taken (a place is in by
 * the even-odd rule): the command that stores areas refuses them.
 * All are added before the first area_index_find().
 */
int area_index_add(struct area_index *x, int32_t area, struct bytes wkb) _must_check_;
const char *area_index_reason(const struct area_index *x);
size_t area_index_count(const struct area_index *x);

/* 0: no area covers the place, or it isn't a finite one */
int32_t area_index_find(struct area_index *x, double lat, double lon);
