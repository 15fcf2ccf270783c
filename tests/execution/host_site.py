"""Hosts for tests: network namespaces on a bridge, and actors that serve in them over mutual TLS."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from megdt_opt.execution.authority import Authority
from megdt_opt.execution.hosts_file import Hosts

SERVE = """
import sys
sys.path[:0] = {path!r}
from standin_model import Faulty
from megdt_opt.execution.audit import AuditFile
from megdt_opt.execution.hosts_world import credentials_beside
from megdt_opt.execution.serving import serve
name, hosts, address, audit = sys.argv[1:]
told = lambda address: print("serves at", address, flush=True)
serve(name, Faulty.load, credentials_beside(hosts, name), address, AuditFile(audit), told)
"""


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


def namespaces_work() -> str:
    """Why network namespaces cannot be used here; "" where one could be made, joined to a bridge and taken down."""
    name = f"mp{os.getpid()}"
    try:
        ip("netns", "add", name)
        try:
            ip("link", "add", name, "type", "bridge")
            ip("link", "del", name)
        finally:
            ip("netns", "del", name)
    except (OSError, subprocess.SubprocessError) as error:
        return str(getattr(error, "stderr", b"") or error)
    return ""


class Site:
    """One namespace for each actor, all on one bridge; the coordinator is at the bridge.

    `moved_s` moves the monotonic clocks of some actors, by time namespaces [s].
    """

    def __init__(self, folder: Path, actors: list[str], moved_s: dict[str, float] | None = None) -> None:
        self.folder = folder
        self.bridge = f"mb{os.getpid()}"
        self.names = {actor: f"mn{os.getpid()}x{i}" for i, actor in enumerate(actors)}
        self.devices = {actor: f"mi{os.getpid()}x{i}" for i, actor in enumerate(actors)}
        self.processes: dict[str, subprocess.Popen[str]] = {}
        net = f"10.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}"
        hosts = Hosts.of(f"{actor}={net}.{i + 2}:7443" for i, actor in enumerate(actors))
        self.authority = Authority.create(folder / "lab", hosts)
        self.moved_s = moved_s or {}
        try:
            ip("link", "add", self.bridge, "type", "bridge")
            ip("addr", "add", f"{net}.1/24", "dev", self.bridge)
            ip("link", "set", self.bridge, "up")
            for i, (actor, name) in enumerate(self.names.items()):
                ip("netns", "add", name)
                inner, outer = self.devices[actor], f"mo{os.getpid()}x{i}"
                ip("link", "add", inner, "netns", name, "type", "veth", "peer", "name", outer)
                ip("link", "set", outer, "master", self.bridge, "up")
                ip("-n", name, "addr", "add", f"{hosts.place(actor).address}/24", "dev", inner)
                ip("-n", name, "link", "set", inner, "up")
                ip("-n", name, "link", "set", "lo", "up")
            for actor in actors:
                self.serve(actor)
            for actor in actors:
                self.wait(actor)
        except BaseException:
            self.close()
            raise

    @property
    def hosts(self) -> Path:
        """The hosts file."""
        return self.authority.hosts_file

    def shape(self, actor: str, rate_bit_per_s: float) -> None:
        """Let what an actor sends leave at this rate, by a token bucket of one packet; 0 as fast as it can."""
        at = ["qdisc", "replace" if rate_bit_per_s else "del", "dev", self.devices[actor], "root"]
        bucket = ["tbf", "rate", f"{rate_bit_per_s:.0f}bit", "burst", "1600", "limit", "4000000"]
        words = ["tc", "-n", self.names[actor], *at, *(bucket if rate_bit_per_s else [])]
        subprocess.run(words, check=True, capture_output=True, timeout=20)

    def audit(self, actor: str) -> Path:
        """Where an actor's calls are noted."""
        return self.folder / f"{actor}.jsonl"

    def serve(self, actor: str) -> None:
        """Start an actor where it lives."""
        moved = self.moved_s.get(actor)
        clock = [] if moved is None else ["unshare", "--time", f"--monotonic={moved:.0f}", "--fork", "--kill-child"]
        code = SERVE.format(path=[str(Path(__file__).parent), *(p for p in sys.path if p)])
        place = str(Hosts.load(self.hosts).place(actor))
        words = ["ip", "netns", "exec", self.names[actor], *clock, sys.executable, "-P", "-c", code]
        words += [actor, str(self.hosts), place, str(self.audit(actor))]
        if actor in self.processes:
            self._leave(actor)
        self.processes[actor] = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    def wait(self, actor: str) -> None:
        """Until an actor says that it serves."""
        stream = self.processes[actor].stdout
        assert stream is not None
        assert stream.readline().startswith("serves at"), actor

    def _leave(self, actor: str) -> None:
        stream = self.processes[actor].stdout
        assert stream is not None
        stream.close()

    def close(self) -> None:
        """Take everything down."""
        for actor, process in self.processes.items():
            process.kill() if actor in self.moved_s else process.terminate()  # unshare passes no signal on
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for actor in self.processes:
            self._leave(actor)
        for name in self.names.values():
            with contextlib.suppress(subprocess.SubprocessError):
                ip("netns", "del", name)
        with contextlib.suppress(subprocess.SubprocessError):
            ip("link", "del", self.bridge)
        time.sleep(0.05)
