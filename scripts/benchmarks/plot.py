"""Line plots as small SVG files that can be read on light and on dark pages."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 140, 34, 46
# Told apart in grey and by most who see few colours; the marks differ as well.
COLOURS = ["#0b7a75", "#d1495b", "#8d6a9f", "#e3902f", "#3f7cac", "#7a8b3a", "#9c6b4e", "#708090"]
DASHES = ["", ' stroke-dasharray="7 4"', ' stroke-dasharray="2 4"']
STYLE = """
text { font: 12px sans-serif; fill: #24292f; } .title { font-size: 14px; font-weight: 600; }
.grid { stroke: #d0d7de; stroke-width: 1; } .line { fill: none; stroke-width: 2; }
@media (prefers-color-scheme: dark) { text { fill: #d0d7de; } .grid { stroke: #3d444d; } }
"""


class Axis:
    """Maps values to places on the page, evenly or by powers of ten."""

    def __init__(self, values, start, end, logarithmic):
        self.logarithmic, self.start, self.end = logarithmic, start, end
        if logarithmic:
            self.low, self.high = min(values), max(values)
            self.ticks = [tick for power in range(-3, 14) for tick in (10.0**power, 3 * 10.0**power)
                          if self.low * 0.99 <= tick <= self.high * 1.01]
        else:
            self.low = 0.0
            step = nice(max(values) / 4 or 1)
            self.high = step * math.ceil(max(values) / step or 1)
            self.ticks = [step * number for number in range(round(self.high / step) + 1)]

    def at(self, value):
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(max(value, self.low))
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)


def nice(step):
    """The next of 1, 2, 5, 10, 20 … that is not smaller."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * 0.999)


def short(value):
    """12000 as 12k, 0.5 as 0.5."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def lines(title, x_label, y_label, series, log_x=False, log_y=False, x_ticks=None):
    """`series` is {name: [(x, y), …]}; `x_ticks` is [(x, text), …] where numbers would not do.

    What names have in common before a comma has one colour, what they have in common after it one dash.
    """
    series = {name: points for name, points in series.items() if points}
    points = [point for of_one in series.values() for point in of_one]
    if not points:
        return ""
    across = Axis([x for x, _ in points], LEFT, WIDTH - RIGHT, log_x)
    up = Axis([y for _, y in points], HEIGHT - BOTTOM, TOP, log_y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="{LEFT}" y="18">{escape(title)}</text>',
        *grid(across, up, x_ticks or [(tick, short(tick)) for tick in across.ticks]),
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2:.0f}) rotate(-90)" '
        f'text-anchor="middle">{escape(y_label)}</text>',
    ]
    families, kinds = (list(dict.fromkeys(name.partition(",")[part] for name in series)) for part in (0, 2))
    for number, (name, values) in enumerate(series.items()):
        family, _, kind = name.partition(",")
        look = (COLOURS[families.index(family) % len(COLOURS)], kinds.index(kind) % len(DASHES))
        parts += curve(number, name, look, [(across.at(x), up.at(y)) for x, y in values])
    return "\n".join([*parts, "</svg>", ""])


def grid(across, up, x_ticks):
    for tick in up.ticks:
        y = up.at(tick)
        yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{short(tick)}</text>'
    for tick, text in x_ticks:
        x = across.at(tick)
        yield f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{escape(text)}</text>'


def curve(number, name, look, places):
    colour, kind = look
    dashes = DASHES[kind]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline class="line" stroke="{colour}"{dashes} points="{path}"/>'
    for x, y in places:
        if kind:
            yield f'<rect x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6" fill="{colour}"/>'
        else:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'
    key = TOP + 10 + 18 * number
    x = WIDTH - RIGHT + 12
    yield f'<line class="line" stroke="{colour}"{dashes} x1="{x}" y1="{key}" x2="{x + 24}" y2="{key}"/>'
    yield f'<text x="{x + 30}" y="{key + 4}">{escape(name)}</text>'
