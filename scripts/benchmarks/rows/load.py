"""The server under load: its memory, and many clients at once."""

import statistics
import subprocess
import time

from .. import idle, page, plot
from ..bench import MIB, Section, make_file
from ..process import Failed
from ..sealane import PASSWORD

ARGON2 = 4 * 19456 * 1024  # workers × memory of one check, as `init` sets them


def memory(bench):
    """Peak memory of the server by file size, and what idle sessions hold."""
    sizes = [size for size in (1, 16, 64, 256, 1024) if size <= bench.smaller(1024, 64)]
    points, rows = [], []
    with bench.opened(("sealane",)) as (where, tools):
        if not tools:
            return Section("Memory of the server", ["Sealane was left out."])
        tool = tools["sealane"]
        for size in sizes:
            source, target = make_file(where / f"size{size}", size * MIB), where / "received"
            tool.restart()
            tool.put(source, "arrived")
            tool.get("arrived", target)
            peak = tool.server.memory()
            points.append((size, peak / MIB))
            rows.append([f"{size} MiB", f"{peak / MIB:.1f} MiB"])
            source.unlink()
            target.unlink()
        largest = peak
        count = bench.smaller(1000, 300)
        each = idle_session(bench, tool, count)
    drawing = plot.lines("Peak memory of sealaned by file size, argon2id included", "file size in MiB",
                         "resident MiB", {"sealaned": points}, log_x=True,
                         x_ticks=[(size, str(size)) for size in sizes])
    bound = 64 * MIB + ARGON2 + 8 * MIB
    return Section("Memory of the server", [
        "A fresh `sealaned` receives one file and sends it; peak resident set, argon2id included.", "",
        *page.table(["file", "peak resident set"], rows),
        f"{count} sessions that have logged in and do nothing: {each / 1024:.1f} KiB each.", ""],
        goals=[("memory, largest file", f"≤ {bound // MIB} MiB", f"{largest / MIB:.1f} MiB", largest <= bound),
               ("memory, idle session", "≤ 64 KiB", f"{each / 1024:.1f} KiB", each <= 64 * 1024)],
        plots={"bench-memory.svg": drawing})


def idle_session(bench, tool, count):
    """Bytes that one more idle session adds to the server.

    With cheap passwords: what real ones leave behind in the allocator would hide hundreds of sessions.
    """
    tool.reconfigure(argon2_memory_kib=8, workers=1, connections=4096)
    few = max(1, count // 10)  # what the first ones make is for all
    with idle.sessions(tool.port, "bench", PASSWORD, few):
        before = settled(tool.server)
        with idle.sessions(tool.port, "bench", PASSWORD, count):
            after = settled(tool.server)
    bench.say(f"idle: {few} sessions {before / MIB:.1f} MiB, {few + count} sessions {after / MIB:.1f} MiB")
    return max(0, after - before) / count


def settled(server):
    """Memory now, once it has stopped falling: freed pages go back after a moment."""
    least = server.memory("VmRSS")
    for _ in range(20):
        time.sleep(0.1)
        now = server.memory("VmRSS")
        if now >= least:
            return now
        least = now
    return least


def clients(bench):
    """Total rate and fairness by number of clients."""
    numbers = [1, 2, 4, 8, 16, 32, 100] if not bench.quick else [1, 4]
    series, rows, fair = {}, [], None
    with bench.opened(("sealane", "curl")) as (where, tools):
        for count in numbers:
            size = max(bench.smaller(1024, 32) // count, bench.smaller(64, 8)) * MIB
            source, cells = make_file(where / f"of{count}", size), []
            for name, tool in tools.items():
                tool.offer(source)
                runs = [at_once(bench, tool, source.name, where, count)
                        for _ in range(bench.few() if count <= 4 else 1)]
                seconds = sorted(runs, key=max)[len(runs) // 2]
                rate = count * size / max(seconds) / MIB
                series.setdefault(name, []).append((count, rate))
                share = statistics.median(seconds) / max(seconds)
                cells += [f"{rate:.0f}", f"{share:.2f}"]
                tool.remove(source.name)
                bench.say(f"{count} clients: {name} {rate:.0f} MiB/s, slowest {share:.2f} of the median")
                if name == "sealane":
                    fair = share
            source.unlink()
            rows.append([count, f"{size // MIB} MiB", *cells])
    head = ["clients", "each"]
    head += [cell for name in tools for cell in (f"{name}, MiB/s", "slowest / median")]
    section = Section("Throughput by number of clients", [
        "All start at the same time and download; start, connection and login included. The slowest client's "
        "rate as a part of the median client's shows how evenly they share. Up to four clients: median of "
        f"{bench.few()}.", "", *page.table(head, rows)],
        plots={"bench-clients.svg": plot.lines(
            "Clients at once, total rate", "clients", "MiB/s", series, log_x=True,
            x_ticks=[(count, str(count)) for count in numbers])})
    if "sealane" in tools:
        rates = dict(series["sealane"])
        part = rates[numbers[-1]] / rates[1]
        work = f"{numbers[-1]} clients at once"
        section.goals = [(work, "≥ 80 % of one client's rate", f"{part:.0%}", part >= 0.8),
                         (work, "slowest ≥ half the median", f"{fair:.2f}", fair >= 0.5)]
    return section


def at_once(bench, tool, name, where, count):
    """Seconds that each of `count` clients needed."""
    targets = [where / f"received{number}" for number in range(count)]
    begin, seconds = time.monotonic(), []
    running = {}
    try:
        for target in targets:
            command, environment = tool.get_command(name, target)
            process = subprocess.Popen([str(part) for part in command], env=environment, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            running[process] = target
        while running:
            for process in [process for process in running if process.poll() is not None]:
                seconds.append(time.monotonic() - begin)
                said = process.stderr.read()
                process.stderr.close()
                running.pop(process)
                if process.returncode:
                    raise Failed(f"{tool.name}, {count} clients: exit status {process.returncode}: {said}")
            if bench.left() < 0:
                raise Failed("out of time (see --limit)")
            time.sleep(0.002)
    finally:
        for process in running:
            process.kill()
            process.wait()
        for target in targets:
            target.unlink(missing_ok=True)
    return seconds
