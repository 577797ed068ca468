"""What is not sent twice: a file that changed a little, a transfer that was cut."""

import os

from .. import page
from ..bench import MIB, Section, digest, make_file, require_same
from ..process import Failed
from ..relay import Relay


def changed(bench):
    """A large file again, with one MiB of it changed, then with a byte put in front."""
    size = bench.smaller(1024, 64) * MIB
    rows, goals = [], []
    with bench.opened(("sealane", "rsync")) as (where, tools):
        source = make_file(where / "source", size)
        title = f"{size // MIB} MiB again"
        first = bench.compare(f"{title}, first time", tools, lambda tool: tool.put(source, "arrived"),
                              lambda tool, _: tool.remove("arrived"), bench.few(), warm=False)
        for name, tool in tools.items():
            row = [name, seconds(name, first[name])]
            tool.put(source, "arrived")
            for change in (overwrite, insert):
                again, wire = twice(bench, f"{title}, {change.__name__}", tool, source, change)
                row += [seconds(name, again), mib(wire)]
                if name == "sealane":
                    goals += judge(f"{title}, {change.__name__}", first[name], again, wire)
            rows.append(row)
            make_file(source, size)
    head = ["tool", "sending it", "again, one MiB changed", "on the wire", "again, a byte put in front",
            "on the wire"]
    return Section(f"{size // MIB} MiB again after a change", [
        "The changed MiB does not lie on the border of a chunk. Sealane's bytes are all that passed a relay, both "
        "ways, TLS and login included; rsync's are those it says it sent.", "", *page.table(head, rows)], goals)


def twice(bench, title, tool, source, change):
    """`Turns` of uploads after a change each, and the bytes of one more."""
    change(source)
    turns = bench.compare(title, {tool.name: tool}, lambda tool: tool.put(source, "arrived"),
                          lambda *_: change(source), bench.few(), warm=False)[tool.name]
    wire = sent(tool, source)
    require_same(f"{tool.name}: {title}", digest(source), digest(tool.arrived("arrived")))
    return turns, wire


def judge(work, first, again, wire):
    faster = first.median() / again.median()
    return [(work, "≤ 3 MiB on the wire", mib(wire), wire <= 3 * MIB),
            (work, "≥ 4 × faster than sending it", f"{faster:.2f} ×", faster >= 4)]


def seconds(name, turns):
    if not turns.median():
        raise Failed(f"{name}: {turns.ended}")
    return f"{turns.median():.3f} s"


def overwrite(source):
    """Changes one MiB, elsewhere each time, never from the border of a chunk."""
    size = source.stat().st_size
    with open(source, "r+b") as file:
        file.seek(int.from_bytes(os.urandom(4)) % (size - 2 * MIB) | 1)
        file.write(os.urandom(MIB))


def insert(source):
    """Puts a byte in front."""
    longer = source.with_name("longer")
    with open(source, "rb") as old, open(longer, "wb") as new:
        new.write(b"!")
        while block := old.read(MIB):
            new.write(block)
    longer.rename(source)


def sent(tool, source):
    """Bytes on the wire of one upload."""
    if tool.name != "sealane":
        return tool.put_counted(source, "arrived")
    with Relay(tool.port) as relay:
        tool.put(source, "arrived", relay.port)
    return relay.up + relay.down


def mib(count):
    return f"{count / MIB:.2f} MiB"


def resume(bench):
    """An upload that is cut half way and goes on."""
    size = bench.smaller(256, 32) * MIB
    with bench.opened(("sealane",)) as (where, tools):
        if not tools:
            return Section("Resume after a cut", ["Sealane was left out."])
        source, tool = make_file(where / "source", size), tools["sealane"]
        whole = counted(tool, source, None)
        again = []
        for number in range(1, bench.rounds + 1):
            tool.remove("arrived")
            cut = counted(tool, source, size * number // (bench.rounds + 1))
            require_same("resume", digest(source), digest(tool.arrived("arrived")))
            again.append((cut - whole) / MIB)
    worst = max(again)
    text = ", ".join(f"{chunks:.2f}" for chunks in again)
    return Section("Resume after a cut", [
        f"{size // MIB} MiB uploaded through a relay that cuts all connections once, at {len(again)} places: MiB "
        f"sent beyond what an upload without a cut sends, logins included: {text}. A chunk is 1 MiB.", ""],
        goals=[("resume after a cut", "≤ 2 chunks per connection sent again", f"{worst:.2f} chunks",
                worst <= 2.1)])


def counted(tool, source, cut_after):
    """Bytes that the client sends until the file is there, however often it has to be asked."""
    with Relay(tool.port, cut_after) as relay:
        for attempt in range(3):
            try:
                tool.put(source, "arrived", relay.port)
                break
            except Failed:
                if attempt == 2:
                    raise
    if cut_after and relay.cuts != 1:
        raise Failed("resume: the upload was over before it was cut")
    return relay.up
