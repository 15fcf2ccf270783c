"""The world that the kernel enforces, as the place of a cluster's processes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from megdt_opt.errors import ExecutionError, InvalidInput
from megdt_opt.execution.authority import COORDINATOR, Authority
from megdt_opt.execution.credentials import Identity
from megdt_opt.execution.hosts_file import Hosts
from megdt_opt.execution.hosts_file import Place as HostPlace
from megdt_opt.execution.job import ExecutionOptions, Run
from megdt_opt.execution.kernel.commands import lacking
from megdt_opt.execution.kernel.links import Links, remove_namespaces
from megdt_opt.execution.kernel.quotas import PERIOD_S, Quotas, Throttling, pin
from megdt_opt.execution.kernel.settings import Settings, settings_of
from megdt_opt.execution.world import Place

LOCK = Path(tempfile.gettempdir()) / "megdt-opt-kernel.lock"
"""Held by the one launcher of such a world on a machine; names its process."""

FIRST_PORT = 7443
"""Only the hosts file has it: servers bind ports that are free."""

SECURITY = "mutual TLS 1.3"

DIRECTIONS = ("uplink", "downlink")


class KernelWorld:
    """Namespaces, shaped links and quotas for a cluster. Makes nothing before `open`.

    Parameters
    ----------
    devices : sequence of str
        Actors that are devices; all others are edges.
    wait_s : float
        How long to wait for another launcher to end [s].

    Raises
    ------
    InvalidInput
        Where rights or tools are missing; says which.
    """

    def __init__(self, devices: Sequence[str], *, wait_s: float = 0.0) -> None:
        missing = lacking()
        if missing:
            expected = "a machine whose kernel may be set (mode 'kernel')"
            remedy = f"Provide {'; '.join(missing)}. Or execute in paced mode, which needs none of this."
            raise InvalidInput("mode", "kernel", expected, remedy)
        self._devices = tuple(devices)
        self._links = Links(self._devices)
        self._wait_s = wait_s
        self._cores = sorted(os.sched_getaffinity(0))[:2]
        self._group: dict[str, str] = {}
        self._cpus: dict[str, tuple[int, ...]] = {}
        self._held: dict[str, float] = {}
        self._before: dict[str, Throttling] = {}
        self._settings = Settings(share={}, rate_bit_per_s={})
        self._propagation_s = 0.0
        self._quotas: Quotas | None = None
        self._lock: Any = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._term: Any = None

    @property
    def settings(self) -> Settings:
        """Shares and rates that are set."""
        return self._settings

    def sides(self, actors: Sequence[str]) -> tuple[list[str], list[str]]:
        """Edges and devices among actors."""
        return [a for a in actors if a not in self._devices], [a for a in actors if a in self._devices]

    def open(self, actors: Sequence[str]) -> None:
        """Take the lock, remove what a killed launcher has left, make groups and links."""
        if self._lock is not None:
            return
        self._lock = _take(self._wait_s)
        try:
            self._catch_sigterm()
            remove_namespaces()
            self._quotas = Quotas()
            self._folder = tempfile.TemporaryDirectory(prefix="megdt-")
            self._group = {actor: f"a{k}" for k, actor in enumerate(actors)}
            for group in self._group.values():
                self._quotas.add(group)
            self._links.make()
        except BaseException:
            self.close()
            raise

    def identities(self, actors: Sequence[str]) -> tuple[Identity, Mapping[str, Identity]]:
        """Certificates of an authority that lives as long as the world: every connection is mutual TLS.

        Raises
        ------
        MegdtError
            Where the packages of the extra `hosts` are missing.
        """
        assert self._folder is not None
        places = {str(a): HostPlace(self._links.host(a), FIRST_PORT + k) for k, a in enumerate(actors)}
        made = Authority.create(Path(self._folder.name) / "keys", Hosts(places))
        return made.credentials(COORDINATOR), {actor: made.credentials(actor) for actor in actors}

    def place(self, actor: str) -> Place:
        """In the actor's namespace; the coordinator's calls come over a socket in the file system, not over a link."""
        assert self._folder is not None
        return Place(
            command=("ip", "netns", "exec", self._links.namespace(actor)),
            control=f"unix:{self._folder.name}/{self._group[actor]}",
            payload=f"{self._links.host(actor)}:0",
        )

    def settle(self, actor: str, pid: int) -> None:
        """The model is loaded: keep the process on its core and in its group from now on."""
        assert self._quotas is not None
        self._cpus[actor] = pin(pid, self._cores[actor in self._devices])
        self._quotas.join(self._group[actor], pid)

    def fit(self, runs: Sequence[Run], options: ExecutionOptions) -> None:
        """Shares and rates of these runs, each read back; the counters begin anew.

        Raises
        ------
        InvalidInput
            If a run cannot be held to what it allocates.
        ExecutionError
            If the kernel has set something else.
        """
        self._settings = settings_of(runs, options)
        self._propagation_s = max(run.propagation_s for run in runs)
        self.hold(self._settings.share)
        for (device, direction), rate in self._settings.rate_bit_per_s.items():
            self._links.shape(device, direction, rate)
            found = self._links.state(device, direction)["rate_bit_per_s"]
            if abs(found / rate - 1) > 0.005:
                raise ExecutionError(f"the {direction} of {device} reads back {found:.6g} bit/s, not {rate:.6g}")

    def hold(self, share: Mapping[str, float]) -> None:
        """Set shares of cores by actor [1]; who is not named has no limit. Raises where one reads back otherwise."""
        assert self._quotas is not None
        for actor, group in self._group.items():
            wanted = share.get(actor)
            self._held[actor] = found = self._quotas.hold(group, wanted)
            if wanted is not None and abs(found / wanted - 1) > 0.01:
                raise ExecutionError(f"the share of {actor} reads back {found:.6g}, not {wanted:.6g}")
            self._before[actor] = self._quotas.throttling(group)

    def try_out(self, device: str) -> str:
        """Set a share and a rate of a device; why they do not read back, "" where they do."""
        try:
            self.hold({device: 0.25})
            self._links.shape(device, DIRECTIONS[0], 3e5)
        except ExecutionError as error:
            return str(error)
        found = self._links.state(device, DIRECTIONS[0])["rate_bit_per_s"]
        return "" if abs(found / 3e5 - 1) < 0.005 else f"a link of 300000 bit/s reads back {found:.6g}"

    def evidence(self) -> Mapping[str, Any]:
        """Shares, cores and throttling of each actor; rate, burst and delay of each direction of a link."""
        assert self._quotas is not None
        held: dict[str, Any] = {}
        for actor in self._settings.share:
            now, before = self._quotas.throttling(self._group[actor]), self._before[actor]
            held[actor] = {
                "share": self._held[actor],
                "period_s": PERIOD_S,
                "cpus": list(self._cpus.get(actor, ())),
                "throttled": now.count - before.count,
                "throttled_s": now.duration_s - before.duration_s,
            }
        links = []
        for device, direction in self._settings.rate_bit_per_s:
            state = self._links.state(device, direction)
            delay = {"delay_s": self._propagation_s, "delay_by": "the receiver, in user space"}
            links.append({"device": device, "direction": direction} | state | delay)
        quotas = f"cgroup v{self._quotas.version}"
        return {"mode": "kernel", "security": SECURITY, "quotas": quotas, "actors": held, "links": links}

    def close(self) -> None:
        """Remove namespaces, groups and the lock, each whatever happens to the others."""
        if self._lock is None:
            return
        with contextlib.ExitStack() as stack:
            stack.callback(self._let_go)
            if self._folder is not None:
                stack.callback(self._folder.cleanup)
            if self._quotas is not None:
                stack.callback(self._quotas.close)
            stack.callback(remove_namespaces)
        self._quotas = self._folder = None

    def _let_go(self) -> None:
        if self._term is not None:
            signal.signal(signal.SIGTERM, self._term)
            self._term = None
        self._lock.close()
        self._lock = None

    def _catch_sigterm(self) -> None:
        """Have SIGTERM unwind like an exit, so that everything is taken down, where nothing else is done about it."""
        if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            return

        def leave(number: int, frame: object) -> None:
            raise SystemExit(128 + number)

        with contextlib.suppress(ValueError):  # only the main thread can
            self._term = signal.signal(signal.SIGTERM, leave)


def _take(wait_s: float) -> Any:
    """The lock of this machine, as an open file.

    Raises
    ------
    InvalidInput
        If a launcher that lives has it.
    """
    end_s = time.monotonic() + wait_s
    file = os.fdopen(os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+", encoding="ascii")
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            if time.monotonic() >= end_s:
                owner = file.read().strip() or "unknown"
                file.close()
                expected = f"no other world of this kind on this machine; process {owner} has one"
                raise InvalidInput("mode", "kernel", expected, "Wait for it, or end that process.") from None
            time.sleep(0.1)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def obstacle(wait_s: float = 120.0) -> str:
    """Why such a world cannot be made here, "" where it can: rights, tools, and each kernel part written and read back.

    `wait_s` is how long to wait for another launcher to end [s].
    """
    missing = "; ".join(lacking())
    if missing:
        return missing
    world = KernelWorld(["probe"], wait_s=wait_s)
    try:
        world.open(["probe"])
        return world.try_out("probe")
    except (ExecutionError, InvalidInput) as error:
        return str(error)
    finally:
        world.close()
