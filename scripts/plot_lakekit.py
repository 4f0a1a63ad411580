"""Plot the results of testing/performance/bench_lakekit.py as an SVG picture for the
README.

    python testing/performance/bench_lakekit.py --source DATA --spark \\
        --json testing/performance/lakekit.json
    python scripts/plot_lakekit.py testing/performance/lakekit.json \\
        .github/pictures/lakekit.svg
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

NAMES = {
    "by hand": "DuckDB by hand, plain Parquet",
    "lakekit": "lakekit run",
    "spark": "lakekit run --engine spark",
    "one day": "one new day",
    "unchanged": "nothing new",
}
WIDTH, LABEL, BAR, GAP, TITLE, RIGHT = 760, 220, 18, 8, 34, 150
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; }
.value { font-variant-numeric: tabular-nums; }
.bar { fill: #57606a; }
.ours { fill: #0969da; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .bar { fill: #8b949e; }
  .ours { fill: #2f81f7; }
}
"""


def plot(results: list[dict[str, Any]]) -> str:
    """Return the SVG. Each number of rows has a group of bars; the longest bar in a
    group has the full width.
    """
    parts, top = [], 0
    for result in results:
        rows = [(name, result[name]) for name in NAMES if name in result]
        longest = max(found["seconds"] for _, found in rows)
        title = f"{result['rows']:,} flights, files to gold: seconds (peak memory)"
        parts.append(f'<text class="title" x="0" y="{top + 20}">{escape(title)}</text>')
        top += TITLE
        for name, found in rows:
            width = max(2, round((WIDTH - LABEL - RIGHT) * found["seconds"] / longest))
            kind = "bar" if name == "by hand" else "ours"
            value = f"{found['seconds']:.2f} s ({found['peak_mb']:,.0f} MB)"
            parts += [
                (
                    f'<text x="{LABEL - 8}" y="{top + 14}"'
                    f' text-anchor="end">{escape(NAMES[name])}</text>'
                ),
                (
                    f'<rect class="{kind}" x="{LABEL}" y="{top}" width="{width}"'
                    f' height="{BAR}" rx="2"/>'
                ),
                (
                    f'<text class="value" x="{LABEL + width + 6}"'
                    f' y="{top + 14}">{value}</text>'
                ),
            ]
            top += BAR + GAP
        top += GAP
    return (
        f'<svg viewBox="0 0 {WIDTH} {top}" xmlns="http://www.w3.org/2000/svg"'
        ' role="img">\n<title>Seconds of lakekit at each'
        f" size</title>\n<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</svg>\n"
    )


def main() -> None:
    """Read the measurements and write the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("figures", type=Path, help="what bench_lakekit.py --json wrote")
    parser.add_argument("picture", type=Path, help="the SVG file to write")
    options = parser.parse_args()
    results = json.loads(options.figures.read_text(encoding="utf-8"))
    whole = options.picture.with_suffix(".tmp")
    whole.write_text(plot(results), encoding="utf-8")
    whole.replace(options.picture)


if __name__ == "__main__":
    main()
