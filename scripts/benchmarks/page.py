"""What was measured, as Markdown: tables, goals, the machine."""

import datetime
import os
import pathlib
import re
import statistics

from .process import ROOT, Failed

DOCS = ROOT / "docs"
PAGE = DOCS / "BENCHMARKS.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def table(head, rows):
    """The first column is text, the others are numbers."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines] + [""]


def times(turns, size=None):
    """A table of `Turns` by tool: medians, extremes, and how many times as fast Sealane is."""
    base = turns["sealane"].median() if "sealane" in turns else None
    rate = ["MiB/s"] if size else []
    rows = []
    for name, turn in turns.items():
        median = turn.median()
        if median is None:
            least = f"{sign(turn)}{(turn.guess or turn.floor) / base:.2f}" if base and turn.floor else ""
            rows.append([name, turn.ended or "failed", "", "", *([""] if rate else []), "", least])
            continue
        seconds = [f"{value:.3f} s" for value in (median, min(turn.seconds), max(turn.seconds))]
        speed = [f"{size / median / 2**20:.3g}"] if size else []
        ratio = f"{median / base:.2f}" if base else ""
        rows.append([name, *seconds, *speed, f"{statistics.median(turn.cpu):.2f} s", ratio])
    head = ["tool", "median", "min", "max", *rate, "CPU, both ends", "Sealane is × as fast"]
    return table(head, rows)


def ratio(turns, peer):
    """How many times as fast as `peer` Sealane is (see `sign`); None if either was not measured."""
    if "sealane" not in turns or peer not in turns:
        return None
    mine, theirs = turns["sealane"].median(), turns[peer].median() or turns[peer].guess or turns[peer].floor
    return theirs / mine if mine and theirs else None


def sign(turn):
    """What stands before a ratio: nothing if it was measured, else whether it is guessed or a bound."""
    return "" if turn.median() else "≈ " if turn.guess else "> "


def ratio_goal(work, wanted, turns, peer):
    """A goal of the form "at least `wanted` × `peer`", or nothing where it cannot be judged."""
    reached = ratio(turns, peer)
    if reached is None:
        return []
    return [(work, f"≥ {wanted} × {peer}", f"{sign(turns[peer])}{reached:.2f} ×", reached >= wanted)]


def machine(congestion, rounds, quick):
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = os.uname()
    today = datetime.datetime.now(datetime.timezone.utc).date()
    how = ", a short run with small files: the goals are meant for large ones" if quick else ""
    return [
        f"{today}, {rounds} round{'s' if rounds > 1 else ''} unless said otherwise{how}",
        f"{cpu.group(1) if cpu else kernel.machine}, {os.cpu_count()} CPUs, {memory:.0f} GiB memory",
        f"{kernel.sysname} {kernel.release}, TCP congestion control {congestion} for all",
        f"load average {os.getloadavg()[0]:.2f} before the run",
    ]


def assemble(facts, tools, skipped, sections):
    """The page between its markers."""
    lines = [f"- {fact}" for fact in facts]
    lines += [f"- {name}: {fact}" for name, fact in tools.items()]
    lines += [f"- {name}: skipped, `apt-get install {' '.join(packages)}`"
              for name, packages in skipped.items()]
    goals = [goal for section in sections for goal in section.goals]
    if goals:
        rows = [[work, wanted, reached, "yes" if met else "**no**"] for work, wanted, reached, met in goals]
        lines += ["", "### Goals", "", *table(["work", "goal", "measured", "met"], rows)]
    for section in sections:
        lines += ["", f"### {section.title}", "", *section.lines]
        for name in section.plots:
            lines += [f"![{section.title}]({name})", ""]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines).strip() + "\n")


def write(text, sections):
    """Replaces what stands between the markers, and the plots beside the page."""
    page = PAGE.read_text()
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise Failed(f"{PAGE} needs {BEGIN} and {END} once")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{text}{END}{after}")
    for section in sections:
        for name, plot in section.plots.items():
            (DOCS / name).write_text(plot)
