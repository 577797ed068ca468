"""Programs that the benchmarks start, where they run, and what they cost.

Everything started here is ended here, by its process id.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
LISTENING = "0A"  # a state in /proc/net/tcp
TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """Something a benchmark needs did not work; the text says what."""


class TooSlow(Failed):
    """A program was ended because it took longer than its row allows."""


@dataclasses.dataclass
class Place:
    """Where a tool's two ends are, and how long they may take."""

    where: pathlib.Path  # files of the server, the client's too
    deadline: float  # of the whole run, time.monotonic()
    address: str = "127.0.0.1"
    server: tuple = ()  # what server commands begin with
    client: tuple = ()
    patience: float = 300.0  # seconds for one command

    def run(self, arguments, **options):
        """Runs a client command to its end and returns what it wrote to both streams."""
        return run([*self.client, *arguments], self.deadline, self.patience, **options)

    def serve(self, arguments, port, **options):
        return Server([*self.server, *arguments], port, self.where / "log", **options)


def program(name):
    """Path of an installed program, or None."""
    return shutil.which(name, path=SEARCH)


def run(arguments, deadline, patience=300.0, text=None, **options):
    left = deadline - time.monotonic()
    if left <= 0:
        raise Failed("out of time (see --limit)")
    command = [str(argument) for argument in arguments]
    # A session of its own, so that what it starts (scp its ssh) ends with it.
    child = subprocess.Popen(command, text=True, errors="replace", start_new_session=True,
                             stdin=subprocess.DEVNULL if text is None else subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    try:
        said, _ = child.communicate(text, timeout=min(left, patience))
    except BaseException as problem:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        if not isinstance(problem, subprocess.TimeoutExpired):
            raise
        if left <= patience:
            raise Failed(f"out of time (see --limit): {command[0]}") from None
        raise TooSlow(f"more than {patience:.0f} s") from None
    if child.returncode != 0:
        raise Failed(f"exit status {child.returncode}: {' '.join(command)}\n{said.strip()}")
    return said


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server process of ours: ready when its port listens, stopped by its process id."""

    def __init__(self, arguments, port, log, **options):
        self.log = log
        with open(log, "ab") as stream:
            self.process = subprocess.Popen(
                [str(argument) for argument in arguments], stdin=subprocess.DEVNULL,
                stdout=stream, stderr=stream, start_new_session=True, **options)
        try:
            self.wait_until_ready(port)
        except BaseException:
            self.stop()
            raise

    def wait_until_ready(self, port):
        # Looked up rather than tried: the server may be in another network namespace.
        wanted = re.compile(rf":{port:04X} [0-9A-F]+:0000 {LISTENING} ")
        for _ in range(400):
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError):
                net = pathlib.Path(f"/proc/{self.process.pid}/net")
                if any(wanted.search((net / table).read_text()) for table in ("tcp", "tcp6")):
                    return
            time.sleep(0.025)
        raise Failed(f"{self.process.args[0]} does not serve:\n{self.log.read_text()}")

    def memory(self, which="VmHWM"):
        """Its largest resident set so far (`VmRSS`: the present one), in bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{which}:\s+(\d+) kB", status).group(1)) * 1024

    def cpu(self):
        """Processor seconds of it and its children, those that ended included."""
        return sum(map(ticks, [self.process.pid, *offspring(self.process.pid)])) / TICKS

    def stop(self):
        # sshd's sessions outlive it, and never hear of it when the link is gone.
        sessions = offspring(self.process.pid)
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for session in sessions:
            with contextlib.suppress(ProcessLookupError):
                os.kill(session, signal.SIGKILL)


def offspring(process):
    """Children of a process, and theirs."""
    found = []
    with contextlib.suppress(OSError):
        for task in pathlib.Path(f"/proc/{process}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *offspring(child)]
    return found


def ticks(process):
    with contextlib.suppress(OSError):
        fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(int(field) for field in fields[11:15])
    return 0
