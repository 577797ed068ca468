"""One file: large, in memory and on disk, and of every size."""

import os

from .. import page, plot
from ..bench import MIB, Section, digest, make_file, remove, require_same, require_space

ALL = ("sealane", "curl", "curl-ftps", "lftp", "scp", "sftp", "rsync", "rclone")
GOALS = ((1.7, "curl"), (3.5, "scp"))


def large(bench):
    """1 GiB down and up, tmpfs to tmpfs."""
    size = bench.smaller(1024, 64) * MIB
    require_space(bench.memory, (len(bench.tools) + 4) * size)
    with bench.opened(ALL) as (where, tools):
        source = make_file(where / "source", size)
        offer(tools, source)
        times = move(bench, "large", source, tools)
    section = Section(f"{size // MIB} MiB, memory to memory", [])
    for way, turns in times.items():
        section.lines += [f"**{way.capitalize()}**", "", *page.times(turns, size)]
        for wanted, peer in GOALS:
            section.goals += page.ratio_goal(f"{size // MIB} MiB {way}", wanted, turns, peer)
    return section


def disk(bench):
    """The same on a disk, as each tool leaves it and with what arrived synced as part of the time."""
    size = bench.smaller(256, 32) * MIB
    require_space(bench.disk, (len(bench.tools) + 4) * size)
    section = Section(f"{size // MIB} MiB, disk to disk", [
        "Sealane syncs data and directory before it acknowledges and has no switch against that. The others do "
        "not sync. In the second table of each way the time of a peer ends when what it wrote is synced as well, "
        "so that all do the same work; the first one is what their users see.", ""])
    with bench.opened(ALL, base=bench.disk) as (where, tools):
        source = make_file(where / "source", size)
        sync(source)
        offer(tools, source)
        for synced in (False, True):
            times = move(bench, "disk, synced" if synced else "disk", source, tools, bench.few(), synced)
            for way, turns in times.items():
                how = "all durable" if synced else "peers not durable"
                section.lines += [f"**{way.capitalize()}, {how}**", "", *page.times(turns, size)]
    return section


def offer(tools, source):
    for tool in tools.values():
        tool.offer(source)


def move(bench, title, source, tools, rounds=None, synced=False):
    """`Turns` of download and upload, checked by digest in the round that is not counted."""
    wanted, target = digest(source), source.with_name("received")

    def done(path, tool, number):
        if number == 0:
            require_same(f"{tool.name}: {title}", wanted, digest(path))

    def get(tool):
        tool.get(source.name, target)
        if synced and tool.name != "sealane":
            sync(target)

    def got(tool, number):
        done(target, tool, number)
        remove(target)

    def put(tool):
        tool.put(source, "arrived")
        if synced and tool.name != "sealane":
            sync(tool.arrived("arrived"))

    def came(tool, number):
        done(tool.arrived("arrived"), tool, number)
        tool.remove("arrived")

    return {"download": bench.compare(f"{title}, download", tools, get, got, rounds),
            "upload": bench.compare(f"{title}, upload", tools, put, came, rounds)}


def sync(path):
    for name in (path, path.parent):
        file = os.open(name, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def sizes(bench):
    """Throughput of a download by the file's size, set-up and login included."""
    largest = bench.smaller(1024, 16) * MIB
    powers = [size for size in (4096, 65536, MIB, 4 * MIB, 16 * MIB, 64 * MIB, 256 * MIB, 1024 * MIB)
              if size <= largest]
    series = {}
    with bench.opened(("sealane", "curl", "lftp", "scp", "rsync")) as (where, tools):
        for size in powers:
            source, target = make_file(where / f"size{size}", size), where / "received"
            offer(tools, source)
            turns = bench.compare(f"{size} bytes", tools, lambda tool: tool.get(source.name, target),
                                  lambda tool, _: remove(target), bench.few(), warm=False)
            for name, turn in turns.items():
                if turn.median():
                    series.setdefault(name, []).append((size, size / turn.median() / MIB))
                tools[name].remove(source.name)
            source.unlink()
    head = ["size", *series]
    rows = [[human(size), *(f"{values[index][1]:.3g}" for values in series.values())]
            for index, size in enumerate(powers)]
    names = [(size, human(size).replace("iB", "").replace("1024 M", "1 G")) for size in powers]
    drawing = plot.lines("Download by file size, set-up and login included", "file size", "MiB/s", series,
                         log_x=True, log_y=True, x_ticks=names)
    return Section("Throughput by file size", [f"MiB/s, median of {bench.few()}.", "",
                   *page.table(head, rows)], plots={"bench-size.svg": drawing})


def human(size):
    return f"{size // 1024} KiB" if size < MIB else f"{size // MIB} MiB"
