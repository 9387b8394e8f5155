#!/usr/bin/python3
"""Makes deploy/towns from the cities' open data; run once, its output is in the repository.

usage: make_towns.py DATA_DIR

Departments and services are those that occur; a service's rule names the department that had most
of its requests, and its target is the median that the city itself set (Boston) or took (Kansas
City). Where one neighbourhood's requests of a service went mostly elsewhere, a rule for that area
comes first. requests.csv is every k-th request that has a place in the town, with the columns that
are needed.
"""
import collections
import csv
import datetime
import gzip
import json
import re
import statistics
import sys
import unicodedata
from pathlib import Path

HERE = Path(__file__).resolve().parent
SAMPLE = 5000


def slug(text):
	text = unicodedata.normalize('NFKD', text).encode('ascii', 'ignore').decode().lower()
	return re.sub(r'[^a-z0-9]+', '-', text).strip('-')[:63].strip('-') or 'x'


class Boston:
	name = 'boston'
	source = 'boston/boston-311-2011h2.csv.gz'
	areas = 'areas/boston-neighborhoods.geojson'
	keep = ['case_enquiry_id', 'open_dt', 'target_dt', 'closed_dt', 'ontime', 'case_status', 'case_title',
			'subject', 'reason', 'type', 'department', 'location', 'neighborhood', 'latitude', 'longitude',
			'source']
	aliases = {}

	@staticmethod
	def row(r):
		opened = datetime.datetime.fromisoformat(r['open_dt'])
		target = datetime.datetime.fromisoformat(r['target_dt']) if r['target_dt'] else None
		return dict(service=r['type'].strip(), group=r['reason'].strip(), department=r['department'].strip(),
					department_name=r['subject'].strip(), area=r['neighborhood'].strip(), lat=r['latitude'],
					long=r['longitude'], minutes=(target - opened).total_seconds() / 60 if target else None)


class KansasCity:
	name = 'kansas-city'
	source = 'kansas-city/kansas-city-311.csv.gz'
	areas = 'areas/kansas-city-neighborhoods.geojson'
	keep = ['CASE ID', 'SOURCE', 'DEPARTMENT', 'WORK GROUP', 'REQUEST TYPE', 'CATEGORY', 'TYPE', 'DETAIL',
			'CREATION DATE', 'CREATION TIME', 'STATUS', 'EXCEEDED EST TIMEFRAME', 'CLOSED DATE',
			'DAYS TO CLOSE', 'STREET ADDRESS', 'NEIGHBORHOOD', 'LATITUDE', 'LONGITUDE', 'nbh_name']
	aliases = {'Parks & Rec': 'Parks and Rec', 'Parks & Recreation': 'Parks and Rec'}

	@staticmethod
	def row(r):
		days = r['DAYS TO CLOSE']
		return dict(service=r['REQUEST TYPE'].strip(), group=r['CATEGORY'].strip(),
					department=r['DEPARTMENT'].strip(), department_name=r['DEPARTMENT'].strip(),
					area=r['nbh_name'].strip(), lat=r['LATITUDE'], long=r['LONGITUDE'],
					minutes=float(days) * 1440 if days else None)


def write(path, header, rows):
	with open(path, 'w', newline='', encoding='utf-8') as f:
		out = csv.writer(f, lineterminator='\n')
		out.writerow(header)
		out.writerows(rows)


def departments(city, rows):
	names = collections.defaultdict(collections.Counter)
	for r in rows:
		if r['department']:
			names[city.aliases.get(r['department'], r['department'])][r['department_name']] += 1
	return {name: (slug(name), c.most_common(1)[0][0]) for name, c in names.items()}


def services(rows):
	seen = collections.defaultdict(collections.Counter)
	for r in rows:
		if r['service']:
			seen[r['service']][r['group']] += 1
	used, out = set(), {}
	for code in sorted(seen):
		base = s = slug(code)
		n = 2
		while s in used:
			s = f'{base[:60]}-{n}'
			n += 1
		used.add(s)
		out[code] = (s, seen[code].most_common(1)[0][0])
	return out


def target_minutes(values):
	values = [v for v in values if v is not None and v > 0]
	return max(240, round(statistics.median(values) / 60) * 60) if values else 7 * 1440


def rules(city, rows, departments_, area_names):
	by_service = collections.defaultdict(list)
	for r in rows:
		if r['service'] and r['department']:
			by_service[r['service']].append(r)
	for code in sorted(by_service):
		of = by_service[code]
		whose = lambda rs: collections.Counter(
			city.aliases.get(r['department'], r['department']) for r in rs).most_common(1)[0][0]
		usual = whose(of)
		minutes = target_minutes([r['minutes'] for r in of])
		areas = collections.defaultdict(list)
		for r in of:
			if r['area'] in area_names:
				areas[r['area']].append(r)
		for area, rs in sorted(areas.items()):
			if len(rs) >= 20 and whose(rs) != usual:
				yield [code, slug(area), '', '', '', departments_[whose(rs)][0], 3, 'calendar', minutes]
		yield [code, '', '', '', '', departments_[usual][0], 2 if minutes <= 2 * 1440 else 3, 'calendar', minutes]


def box(geojson):
	def points(c):
		if isinstance(c[0], (int, float)):
			yield c
		else:
			for x in c:
				yield from points(x)
	ps = [p for f in geojson['features'] for p in points(f['geometry']['coordinates'])]
	return [min(p[1] for p in ps), min(p[0] for p in ps), max(p[1] for p in ps), max(p[0] for p in ps)]


def inside(r, b):
	try:
		return b[0] <= float(r['lat']) <= b[2] and b[1] <= float(r['long']) <= b[3]
	except ValueError:
		return False


def make(city, data):
	out = HERE / city.name
	out.mkdir(parents=True, exist_ok=True)
	geojson = json.load(open(data / city.areas, encoding='utf-8'))
	for f in geojson['features']:
		f['properties'] = {'name': f['properties']['name']}
		f['geometry']['coordinates'] = json.loads(json.dumps(f['geometry']['coordinates']),
												  parse_float=lambda s: round(float(s), 5))
	json.dump(geojson, open(out / 'areas.geojson', 'w', encoding='utf-8'), separators=(',', ':'))
	raw = list(csv.DictReader(gzip.open(data / city.source, 'rt', encoding='utf-8', errors='replace', newline='')))
	rows = [city.row(r) for r in raw]
	d, s = departments(city, rows), services(rows)
	write(out / 'departments.csv', ['slug', 'name'], sorted(d.values()))
	write(out / 'services.csv', ['service_code', 'name', 'slug', 'group'],
		  [[code, code, *s[code]] for code in sorted(s)])
	area_names = {f['properties']['name'] for f in geojson['features']}
	write(out / 'rules.csv',
		  ['service', 'area', 'channel', 'attribute', 'value', 'department', 'priority', 'target', 'minutes'],
		  rules(city, rows, d, area_names))
	b = box(geojson)
	good = [i for i, r in enumerate(rows) if r['service'] and r['department'] and inside(r, b)]
	picked = [good[i * len(good) // SAMPLE] for i in range(SAMPLE)]
	write(out / 'requests.csv', city.keep, [[raw[i][k] for k in city.keep] for i in picked])
	print(city.name, len(d), 'departments', len(s), 'services', 'box', ','.join(f'{x:.4f}' for x in b))


if __name__ == '__main__':
	if len(sys.argv) != 2:
		sys.exit(__doc__)
	for c in (Boston, KansasCity):
		make(c, Path(sys.argv[1]))
