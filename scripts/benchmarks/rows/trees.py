"""Many small files."""

from .. import page, plot
from ..bench import Section, make_tree, remove, require_same, tree_digest

TREES = ("sealane", "rsync", "scp", "sftp", "lftp", "rclone")
PATIENCE = 60.0  # after which a tool is out


def tree(bench):
    """5,000 files of 4 KiB up and down."""
    count = bench.smaller(5000, 300)
    with bench.opened(TREES, patience=PATIENCE) as (where, tools):
        times = move(bench, make_tree(where / "tree", count), tools, bench.few())
    section = Section(f"{count} files of 4 KiB, memory to memory", [
        "By `put -r` and `get -r`, `rsync -a`, `scp -r`, `sftp` with `put -R` and `get -R`, `lftp` with "
        "`mirror -P 4`, `rclone copy`; curl moves no trees.", ""])
    for way, turns in times.items():
        section.lines += [f"**{way.capitalize()}**", "", *page.times(turns)]
        section.goals += page.ratio_goal(f"{count} × 4 KiB {way}", 2, turns, "rsync")
    return section


def move(bench, source, tools, rounds):
    wanted, target = tree_digest(source), source.with_name("received")
    for tool in tools.values():
        tool.offer(source)

    def got(tool, number):
        if number == 0:
            require_same(f"{tool.name}: tree down", wanted, tree_digest(target))
        remove(target)

    def came(tool, number):
        if number == 0:
            require_same(f"{tool.name}: tree up", wanted, tree_digest(tool.arrived("arrived")))
        tool.remove("arrived")

    title = f"tree of {len(wanted)}"
    return {
        "upload": bench.compare(f"{title}, upload", tools, lambda tool: tool.put_tree(source, "arrived"),
                                came, rounds, once=10.0),
        "download": bench.compare(f"{title}, download", tools, lambda tool: tool.get_tree(source.name, target),
                                  got, rounds, once=10.0),
    }


def counts(bench):
    """Files a second by their number, uploaded."""
    numbers = [1, 10, 100, 1000, *([] if bench.quick else [10000])]
    series = {}
    with bench.opened(("sealane", "rsync", "scp"), patience=PATIENCE) as (where, tools):
        for count in numbers:
            source = make_tree(where / f"tree{count}", count)
            turns = bench.compare(f"{count} files", tools, lambda tool: tool.put_tree(source, "arrived"),
                                  lambda tool, _: tool.remove("arrived"), bench.few(), warm=False)
            for name, turn in turns.items():
                if turn.median():
                    series.setdefault(name, []).append((count, count / turn.median()))
            remove(source)
    rows = [[count, *(f"{values[index][1]:.0f}" for values in series.values() if index < len(values))]
            for index, count in enumerate(numbers)]
    drawing = plot.lines("Upload of files of 4 KiB by their number", "files", "files a second", series,
                         log_x=True, log_y=True)
    return Section("Throughput by number of files", [f"Files a second, median of {bench.few()}.", "",
                   *page.table(["files", *series], rows)], plots={"bench-files.svg": drawing})
