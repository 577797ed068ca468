"""One run: which tools there are, how they take turns, and what a turn costs.

Rows (see `rows`) ask for tools at a place and for times; nothing here knows what is measured.
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import resource
import shutil
import statistics
import sys
import tempfile
import time

from .process import Failed, Place, TooSlow, program
from .sealane import Sealane
from .ssh import Rclone, Rsync, Scp, Sftp, remove
from .web import Curl, CurlFtps, Lftp

TOOLS = {kind.name: kind for kind in (Sealane, Curl, CurlFtps, Lftp, Scp, Sftp, Rsync, Rclone)}
MIB = 1 << 20


def missing(kind):
    """Debian packages that a tool lacks here."""
    return sorted({package for name, package in kind.needs.items() if not program(name)})


@dataclasses.dataclass
class Turns:
    """What one tool needed."""

    seconds: list = dataclasses.field(default_factory=list)
    cpu: list = dataclasses.field(default_factory=list)  # both ends together
    ended: str = ""  # why there are no times, or no more of them
    floor: float = 0.0  # what it took at the least, if it was ended
    guess: float = 0.0  # what it would have taken, going by what was there when it was ended

    def median(self):
        return statistics.median(self.seconds) if self.seconds else None


@dataclasses.dataclass
class Section:
    """A part of the page."""

    title: str
    lines: list  # Markdown
    goals: list = dataclasses.field(default_factory=list)  # (work, goal, result, whether it is met)
    plots: dict = dataclasses.field(default_factory=dict)  # file name: SVG


@dataclasses.dataclass
class Bench:
    """A run, as its rows see it."""

    tools: list  # names, in order
    rounds: int
    quick: bool
    programs: pathlib.Path  # Sealane's
    deadline: float
    memory: pathlib.Path  # a directory on a tmpfs, another on a disk
    disk: pathlib.Path
    facts: dict = dataclasses.field(default_factory=dict)  # tool: what ran

    def say(self, text):
        print(text, file=sys.stderr, flush=True)

    def smaller(self, full, quick):
        """A size or count: `quick` of it in a short run."""
        return quick if self.quick else full

    def few(self):
        """Rounds of what takes long or only makes a plot."""
        return min(3, self.rounds)

    def left(self):
        return self.deadline - time.monotonic()

    @contextlib.contextmanager
    def opened(self, names, base=None, **place):
        """The tools among `names` that take part, with their servers, in a directory that goes with them."""
        with tempfile.TemporaryDirectory(dir=base or self.memory) as where, contextlib.ExitStack() as stack:
            where, tools = pathlib.Path(where), {}
            for name in (name for name in self.tools if name in names):
                (where / name).mkdir(mode=0o700)
                tool = TOOLS[name](Place(where / name, self.deadline, **place), self.programs)
                stack.callback(tool.stop)
                if name not in self.facts:
                    self.facts[name] = tool.facts()
                tools[name] = tool
            yield where, tools

    def compare(self, title, tools, act, after=None, rounds=None, warm=True, once=20.0):
        """Times `act(tool)` with tools taking turns; `after(tool, number)` clears up, unmeasured.

        With `warm`, round 0 is not counted (rows check there what arrived). What takes longer than
        `once` seconds is not repeated, Sealane excepted, and whoever was too slow or failed is out.
        """
        turns = {name: Turns() for name in tools}
        for number in range(0 if warm else 1, (rounds or self.rounds) + 1):
            for name, tool in tools.items():
                turn = turns[name]
                slow = name != "sealane" and any(seconds > once for seconds in turn.seconds)
                if turn.ended or slow:
                    continue
                try:
                    seconds, cpu = self.timed(tool, act)
                    if after:
                        after(tool, number)
                except Failed as failure:
                    self.give_up(turn, tool, failure)
                    self.say(f"{title}: {name}: {failure}")
                    if after:
                        with contextlib.suppress(Failed, OSError):
                            after(tool, None)
                    continue
                self.say(f"{title}: {name} {seconds:.3f} s" + ("" if number else " (not counted)"))
                if number or (seconds > once and name != "sealane"):
                    turn.seconds.append(seconds)
                    turn.cpu.append(cpu)
        return turns

    def give_up(self, turn, tool, failure):
        """Notes why a tool is out, unless it is the whole run that has no time left."""
        if self.left() <= 0:
            raise failure
        turn.ended = str(failure).splitlines()[0]
        if isinstance(failure, TooSlow):
            turn.floor = tool.place.patience

    def timed(self, tool, act):
        """Seconds of wall clock, and of processor at both ends."""
        before = spent() + tool.server.cpu()
        begin = time.monotonic()
        act(tool)
        seconds = time.monotonic() - begin
        return seconds, spent() + tool.server.cpu() - before


def spent():
    """Processor seconds of the commands that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return children.ru_utime + children.ru_stime


def make_file(path, size):
    """A file that does not compress."""
    with open(path, "wb") as file:
        for start in range(0, size, 16 * MIB):
            file.write(os.urandom(min(16 * MIB, size - start)))
    return path


def make_tree(path, count, size=4096):
    """`count` files of `size` bytes, a hundred to a directory."""
    for number in range(count):
        directory = path / f"d{number // 100}"
        if number % 100 == 0:
            directory.mkdir(parents=True)
        (directory / f"f{number}").write_bytes(os.urandom(size))
    return path


def digest(path):
    total = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(4 * MIB):
            total.update(block)
    return total.hexdigest()


def tree_digest(path):
    """Names and contents of all files below."""
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return [(str(file.relative_to(path)), digest(file)) for file in files]


def require_same(what, wanted, got):
    if wanted != got:
        raise Failed(f"{what}: what arrived is not what was sent")


def require_space(where, size):
    if shutil.disk_usage(where).free < size:
        raise Failed(f"{where} needs {size // MIB} MiB free")


__all__ = ["MIB", "TOOLS", "Bench", "Section", "Turns", "digest", "make_file", "make_tree", "missing",
           "remove", "require_same", "require_space", "tree_digest"]
