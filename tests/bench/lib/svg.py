"""Two kinds of plots as SVG text: ranges of figures, and lines."""
import html
import math
import statistics

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444")
HEAD = ('<svg xmlns="http://www.w3.org/2000/svg" width="{w}" height="{h}" viewBox="0 0 {w} {h}"'
	' font-family="sans-serif" font-size="12"><rect width="{w}" height="{h}" fill="white"/>\n')


def _text(x, y, s, anchor="start", size=12, color="#222"):
	return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{color}">{html.escape(str(s))}</text>\n'


def _line(x1, y1, x2, y2, color="#bbb", width=1):
	return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" stroke-width="{width}"/>\n'


def _steps(top, n=5):
	"""Round marks from 0 to at least top."""
	step = 10 ** math.floor(math.log10(top / n)) if top > 0 else 1
	for factor in (1, 2, 5, 10):
		if step * factor * n >= top:
			step *= factor
			break
	return [step * i for i in range(n + 1)]


def ranges(title, unit, rows):
	"""rows: (label, samples, wishes: [(name, value)]). A dot is a repetition, the bar ends at the median."""
	width, left, line, top = 980, 440, 26, 54
	height = top + line * len(rows) + 16
	marks = _steps(max([v for _, s, w in rows for v in [*s, *(x for _, x in w)]] or [1]))
	def at(v):
		return left + (width - left - 30) * v / marks[-1]
	out = [HEAD.format(w=width, h=height), _text(12, 22, f"{title} ({unit})", size=15)]
	for m in marks:
		out += [_line(at(m), top - 8, at(m), height - 12, "#e4e4e4"), _text(at(m), top - 12, f"{m:g}", "middle", 10, "#777")]
	for i, (label, samples, wishes) in enumerate(rows):
		y = top + line * i + 12
		color = COLORS[i % len(COLORS)]
		out += [_text(left - 8, y + 4, label, "end"),
			f'<rect x="{left}" y="{y - 7}" width="{at(statistics.median(samples)) - left:.1f}" height="14" fill="{color}" opacity="0.35"/>\n']
		out += [f'<circle cx="{at(v):.1f}" cy="{y}" r="3" fill="{color}"/>\n' for v in samples]
		for name, value in wishes:
			out += [_line(at(value), y - 11, at(value), y + 11, "#c00" if name == "must" else "#080", 2)]
	return "".join(out) + "</svg>\n"


def lines(title, x_label, y_label, series):
	"""series: {label: [(x, y), …]}, both axes from 0."""
	width, height, left, right, top, bottom = 900, 380, 70, 200, 40, 46
	xs = _steps(max((x for s in series.values() for x, _ in s), default=1))
	ys = _steps(max((y for s in series.values() for _, y in s), default=1))
	def at(x, y):
		return left + (width - left - right) * x / xs[-1], height - bottom - (height - top - bottom) * y / ys[-1]
	out = [HEAD.format(w=width, h=height), _text(12, 22, title, size=15),
		_text((left + width - right) / 2, height - 8, x_label, "middle"), _text(8, top - 6, y_label, size=11)]
	for m in ys:
		out += [_line(*at(0, m), *at(xs[-1], m), "#e4e4e4"), _text(left - 6, at(0, m)[1] + 4, f"{m:g}", "end", 10, "#777")]
	for m in xs:
		out += [_line(*at(m, 0), *at(m, ys[-1]), "#e4e4e4"), _text(at(m, 0)[0], height - bottom + 16, f"{m:g}", "middle", 10, "#777")]
	for i, (label, points) in enumerate(series.items()):
		color = COLORS[i % len(COLORS)]
		path = " ".join(f"{px:.1f},{py:.1f}" for px, py in (at(x, y) for x, y in points))
		out += [f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>\n',
			_line(width - right + 12, top + 18 * i, width - right + 34, top + 18 * i, color, 3),
			_text(width - right + 40, top + 4 + 18 * i, label)]
	return "".join(out) + "</svg>\n"
