"""The long link: scripts/wanlink between two network namespaces. Root only."""

import contextlib
import os
import pathlib
import subprocess

from .. import page, plot
from ..bench import MIB, Section, make_file, make_tree, remove
from ..process import ROOT, Failed
from .delta import insert, overwrite

NEAR, FAR = "10.77.0.1", "10.77.0.2"
RATE = 100  # Mbit/s
SLOW = 45.0  # seconds after which a tool is ended here
ALL = ("sealane", "curl", "curl-ftps", "lftp", "scp", "sftp", "rsync", "rclone")


def available():
    return os.geteuid() == 0 and os.path.exists("/dev/net/tun")


def congestion():
    return pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()


@contextlib.contextmanager
def link(rtt, loss=0.0, algorithm=None):
    """Keyword arguments for `Bench.opened`: the server is at the far end, the client at the near one."""
    name = f"bench{os.getpid() % 1000000}"
    process = subprocess.Popen(
        [ROOT / "scripts" / "wanlink", "--name", name, "--rtt", str(rtt), "--loss", str(loss), "--mbit",
         str(RATE), "--cc", algorithm or congestion(), "--", "sh", "-c", "echo ready; exec sleep 86400"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    try:
        if process.stdout.readline() != "ready\n":
            raise Failed("scripts/wanlink did not start")
        enter = ("ip", "netns", "exec")
        yield {"address": FAR, "server": (*enter, f"{name}-b"), "client": (*enter, f"{name}-a"),
               "patience": SLOW}
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def long_link(bench):
    """64 MiB at 80 ms, 0.5 % loss, 100 Mbit/s, set-up included."""
    size = bench.smaller(64, 4) * MIB
    ideal = size * 8 / RATE / 1e6
    section = Section(f"{size // MIB} MiB at 80 ms, 0.5 % loss, {RATE} Mbit/s", [
        f"Upload, set-up and login included. The link itself needs {ideal:.2f} s. What took longer than "
        f"{SLOW:.0f} s was ended. Sealane asks for BBR by itself, so the second table is what an ordinary "
        "system with cubic sees.", ""])
    for algorithm in dict.fromkeys((congestion(), "cubic")):
        names = ALL if algorithm == congestion() else ("sealane", "curl", "scp")
        with link(80, 0.5, algorithm) as place, bench.opened(names, **place) as (where, tools):
            source = make_file(where / "source", size)
            turns = patiently(bench, f"long link, {algorithm}", tools, source)
        section.lines += [f"**{algorithm} by default**", "", *page.times(turns, size)]
        work = f"{size // MIB} MiB, long link, {algorithm}"
        if turns.get("sealane") and turns["sealane"].median():
            share = ideal / turns["sealane"].median()
            section.goals.append((work, "≥ 80 % of the link", f"{share:.0%}", share >= 0.8))
        section.goals += page.ratio_goal(work, 20, turns, "scp")
    return section


def patiently(bench, title, tools, source):
    """`Turns` of uploads; of a tool that was ended, how long it would have taken."""
    there = {}

    def after(tool, number):
        file = tool.arrived("arrived")
        if number is None and file.exists():
            there[tool.name] = file.stat().st_size
        remove(file)

    turns = bench.compare(title, tools, lambda tool: tool.put(source, "arrived"), after, bench.few(),
                          warm=False, once=7.0)
    for name, arrived in there.items():
        turn, size = turns[name], source.stat().st_size
        if turn.floor and 0 < arrived < size:
            turn.guess = turn.floor * size / arrived
            turn.ended += f" ({arrived / MIB:.0f} MiB there by then)"
    return turns


def small_files(bench):
    """100 small files at 80 ms, and one byte."""
    names = ("sealane", "rsync", "scp", "sftp", "lftp", "rclone")
    with link(80) as place, bench.opened(names, **place) as (where, tools):
        source = make_tree(where / "tree", 100)
        turns = bench.compare("100 files at 80 ms", tools, lambda tool: tool.put_tree(source, "arrived"),
                              lambda tool, _: remove(tool.arrived("arrived")),
                              bench.few(), warm=False, once=5.0)
    work = "100 files at 80 ms"
    section = Section("100 files of 4 KiB at 80 ms", page.times(turns))
    mine = turns["sealane"].median() if "sealane" in turns else None
    if mine:
        section.goals = [(work, "≤ 0.9 s", f"{mine:.2f} s", mine <= 0.9)]
    section.goals += page.ratio_goal(work, 2, turns, "rsync")
    turns = one_byte(bench, "a byte at 80 ms", 80)
    here = one_byte(bench, "a byte at 1 ms", 1)
    section.lines += ["**Download of one byte at 80 ms, everything included**", "", *page.times(turns)]
    if mine and turns["sealane"].median() and here["sealane"].median():
        # What both take, argon2id above all, is not the link's.
        trips = (turns["sealane"].median() - here["sealane"].median()) / (0.080 - 0.001)
        section.goals.append(("connection to first byte", "≤ 4 round trips", f"{trips:.1f}", trips <= 4.2))
    return section


def one_byte(bench, title, rtt):
    """`Turns` of the smallest download there is."""
    with link(rtt) as place, bench.opened(("sealane", "curl", "scp", "lftp"), **place) as (where, tools):
        byte, target = where / "byte", where / "received"
        byte.write_text("x")
        for tool in tools.values():
            tool.offer(byte)
        return bench.compare(title, tools, lambda tool: tool.get("byte", target),
                             lambda tool, _: remove(target), bench.few(), warm=False)


def changed(bench):
    """A file again over the link after a change: there the bytes that are not sent are time."""
    size = bench.smaller(64, 4) * MIB
    work = f"{size // MIB} MiB again at 80 ms"
    section = Section(f"{work}, {RATE} Mbit/s, after a change", [])
    with link(80) as place, bench.opened(("sealane", "rsync"), **place) as (where, tools):
        source = make_file(where / "source", size)
        put = lambda tool: tool.put(source, "arrived")
        first = bench.compare("far, first time", tools, put, lambda tool, _: remove(tool.arrived("arrived")),
                              rounds=1, warm=False)
        for tool in tools.values():
            put(tool)
        for change in (overwrite, insert):
            change(source)
            again = bench.compare(f"far, {change.__name__}", tools, put, rounds=1, warm=False)
            section.lines += [f"**{change.__doc__.split(',')[0].rstrip('.')}**", "", *page.times(again)]
            mine, whole = ("sealane" in turns and turns["sealane"].median() for turns in (again, first))
            if mine and whole:
                section.goals.append((f"{work}, {change.__name__}", "≥ 4 × faster than sending it",
                                      f"{whole / mine:.2f} ×", whole >= 4 * mine))
    section.lines = ["**The first time**", "", *page.times(first), *section.lines]
    return section


def rtt_and_loss(bench):
    """Throughput by round trip and loss."""
    size = bench.smaller(16, 2) * MIB
    trips, losses = ([1, 20, 80, 160], [0, 0.5, 2]) if not bench.quick else ([1, 80], [0, 0.5])
    series = {}
    for loss in losses:
        for trip in trips:
            with link(trip, loss) as place, bench.opened(("sealane", "curl", "scp"), **place) as (where, tools):
                source = make_file(where / "source", size)
                turns = bench.compare(f"{trip} ms, {loss} %", tools, lambda tool: tool.put(source, "arrived"),
                                      rounds=1, warm=False)
            for name, turn in turns.items():
                rate = size * 8 / 1e6 / turn.median() if turn.median() else 0.0
                series.setdefault(f"{name}, {loss} %", []).append((trip, rate))
    series = {name: series[name] for name in sorted(series, key=lambda name: name.split(",")[0] != "sealane")}
    rows = [[name, *(f"{rate:.1f}" for _, rate in points)] for name, points in series.items()]
    drawing = plot.lines(f"Upload of {size // MIB} MiB over {RATE} Mbit/s", "round trip in ms", "Mbit/s", series)
    return Section("Throughput by round trip and loss", [
        f"Mbit/s of {size // MIB} MiB uploaded once, set-up included, {congestion()} for all.", "",
        *page.table(["tool, loss", *(f"{trip} ms" for trip in trips)], rows)], plots={"bench-link.svg": drawing})
