"""One run at one actor: every program is walked for the leaves that this actor executes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from megdt_opt.errors import ExecutionError, InvalidInput, MalformedMessage, MegdtError, NotAuthorised
from megdt_opt.execution.batch_schedule import BatchSchedule
from megdt_opt.execution.batch_steps import BatchSteps, run_batched
from megdt_opt.execution.clock import Ended, Stopped, Turns
from megdt_opt.execution.graph import Node, graph
from megdt_opt.execution.job import ExecutionOptions, Run
from megdt_opt.execution.line import Line
from megdt_opt.execution.messages import encode
from megdt_opt.execution.rpc import PayloadCall, Peer, error_to_plain
from megdt_opt.execution.run_state import Walk
from megdt_opt.execution.serial import Store
from megdt_opt.execution.signalling import told_by
from megdt_opt.execution.slots import run_compute
from megdt_opt.execution.stage_work import StageWork, first_items
from megdt_opt.execution.transfer import run_send
from megdt_opt.execution.wire_count import interface_to
from megdt_opt.models.split_model import SplitModel
from megdt_opt.program.stages import Compute, Send

START_S = 60.0
"""A run begins within this time from its order [s]."""

STREAMS = 2
"""Most streams that are open for one stage's payload [1]."""


class Session:
    """State of a run in a worker.

    Parameters
    ----------
    actor : str
        This actor.
    runs : list of Run
        All programs of the run.
    spares : list of Run
        Programs of this actor alone that begin only when they are asked for.
    options : ExecutionOptions
        How to run.
    model : SplitModel
        The model.
    peers : mapping of str to Peer
        The other actors.
    turns : Turns
        The process's turn at the processor.
    pool : ThreadPoolExecutor
        Threads that walk.
    identity : str
        Name of the run, which every message of it carries.
    batches : BatchSchedule, optional
        Batches in which this actor, an edge server, makes denoising steps.
    offset_s : float
        What this actor's monotonic clock shows more than the coordinator's, by which messages give times [s].
    """

    def __init__(  # wide: what a run is made of at an actor, by keyword
        self,
        *,
        actor: str,
        runs: list[Run],
        spares: list[Run],
        options: ExecutionOptions,
        model: SplitModel,
        peers: Mapping[str, Peer],
        turns: Turns,
        pool: ThreadPoolExecutor,
        identity: str,
        batches: BatchSchedule | None = None,
        offset_s: float = 0.0,
    ) -> None:
        self.actor = actor
        self.offset_s = offset_s
        self.options = options
        self.identity = identity
        self.start_s = 0.0
        self.model = model
        self.turns = turns
        self.peers = peers
        self._pool = pool
        self._news = threading.Condition()
        self._rows: list[dict[str, Any]] = []
        self._failures: list[dict[str, Any]] = []
        self._urgent = self._changes = 0
        self._started = self._closed = False
        self._streams: dict[object, tuple[str, int, Callable[[], object]]] = {}
        self._calls: dict[tuple[str, int, str], PayloadCall] = {}
        self._active: dict[tuple[str, int], float] = {}
        self.walks = {run.name: self._walk_of(run) for run in runs}
        self._line = Line(actor, self.walks.values())
        self._spares = {run.name: self._walk_of(run) for run in spares}
        self._batches = None if batches is None else BatchSteps(batches, model, options, turns)
        self._left = {(name, node.index) for name, walk in self.walks.items() for node in self._own(walk)}

    @property
    def deadline_s(self) -> float:
        """End of the run's time on the monotonic clock [s]."""
        return self.start_s + self.options.timeout_s

    def start(self, start_s: float) -> None:
        """Begin at a common time of the coordinator's clock [s].

        Raises
        ------
        ExecutionError
            If the run has begun before, or the time is not within a minute from now.
        """
        start_s += self.offset_s
        if not abs(start_s - time.monotonic()) < START_S:
            raise MalformedMessage(f"start_s: a time within {START_S:g} s from now was due")
        with self._news:
            if self._started or self._closed:
                raise ExecutionError(f"{self.identity} has begun before, or was given up")
            self._started = True
        self.start_s = start_s
        if self._batches is not None:
            self._batches.start(start_s)
        self._open_calls()
        for walk in self.walks.values():
            self._begin(walk, start_s)

    def report(self, rows: int, failures: int, urgent: int, patience_s: float) -> dict[str, Any]:
        """What has happened here, after the counts that the caller knows.

        It comes at once after a failure, when a user's last stage has ended here and when nothing is left to do, and
        after `patience_s` [s] at the latest.
        """
        with self._news:
            self._news.wait_for(
                lambda: self._closed or len(self._failures) > failures or self._urgent > urgent, patience_s
            )
            return {
                "rows": self._rows[rows:],
                "failures": self._failures[failures:],
                "failures_in_all": len(self._failures),
                "urgent": self._urgent,
                "ended": {name: sorted(walk.ended) for name, walk in self.walks.items()},
                "left": len(self._left),
                "active": self._under_way(),
                "changes": self._changes,
            }

    def change(self, drop: Mapping[str, Iterable[int]], begin: Iterable[str], start_s: float) -> None:
        """Give leaves up, and begin spare programs at a time of the coordinator's clock [s]."""
        start_s += self.offset_s
        for name in drop.keys() & self.walks.keys():
            self._drop(name, drop[name])
        for name in begin:
            walk = self._spares.pop(name)
            with self._news:
                self.walks[name] = walk
                self._left |= {(name, node.index) for node in self._own(walk)}
            self._begin(walk, start_s)
        with self._news:
            self._changes += 1
            self._tell()

    def close(self) -> None:
        """Give everything up."""
        for name, walk in self.walks.items():
            self._drop(name, range(len(walk.nodes)))
        with self._news:
            self._closed = True
            streams = list(self._streams.values())
            self._tell()
        for *_, cancel in streams:
            cancel()

    @property
    def closed(self) -> bool:
        """Whether everything was given up."""
        return self._closed

    def fail(self, walk: Walk, index: int, error: Exception, receiver: str = "") -> None:
        """Note that a leaf cannot end, or that its end will not be known at a receiver."""
        if walk.stops[index].is_set():
            return
        if not receiver:
            self._line.give_up(walk, [index])
        failure = {"run": walk.run.name, "index": index, "receiver": receiver}
        named = error_to_plain(self._explain(walk, walk.nodes[index], error))
        with self._news:
            self._failures.append(failure | named)
            if not receiver:
                self._left.discard((walk.run.name, index))
            self._tell()

    def interface(self, receiver: str) -> str:
        """Network interface over which a receiver is reached, "" where it is not known."""
        return interface_to(self.peers[receiver].address)

    def outgoing(self, user: str, index: int, receiver: str) -> PayloadCall:
        """The stream that waits for a send's payload."""
        return self._calls[user, index, receiver]

    def active(self) -> list[str]:
        """Stages in progress, for messages."""
        with self._news:
            return self._under_way()

    @contextmanager
    def stream_of(
        self, caller: str, envelope: Mapping[str, Any], cancel: Callable[[], object]
    ) -> Iterator[tuple[Walk, int]]:
        """The walk and the send stage that a stream brings a payload for, while it is open; `cancel` ends it.

        Raises
        ------
        NotAuthorised
            If another actor than the caller is the stage's source.
        ExecutionError
            If this actor expects no such payload.
        """
        walk, index = self._incoming(caller, envelope.get("user"), envelope.get("index"))
        name, key = walk.run.name, object()
        with self._news:
            if sum((of, at) == (name, index) for of, at, _ in self._streams.values()) >= STREAMS:
                raise ExecutionError(
                    f"{walk.run.who(index)}, {walk.nodes[index].label}: {STREAMS} streams are open for it"
                )
            self._streams[key] = (name, index, cancel)
        try:
            yield walk, index
        finally:
            with self._news:
                del self._streams[key]

    def _incoming(self, caller: str, user: object, index: object) -> tuple[Walk, int]:
        walk = self.walks.get(user) if isinstance(user, str) else None
        if walk is None or type(index) is not int or not 0 <= index < len(walk.nodes):
            raise ExecutionError(f"no stage {index!r} of a user {str(user)[:80]!r}")
        leaf = walk.nodes[index].leaf
        if isinstance(leaf, Compute) or self.actor not in leaf.to:
            raise ExecutionError(f"stage {index} of user {user} brings nothing to {self.actor}")
        if leaf.source != caller:
            raise NotAuthorised(f"{walk.run.who(index)}, {leaf.label}: actor {caller} is not its source")
        with self._news:
            if index in walk.ended:
                raise ExecutionError(f"stage {index} of user {user} has been delivered before")
        return walk, index

    def deliver(self, walk: Walk, index: int, items: Store, due_s: float) -> None:
        """Take in a payload that has arrived, due at `due_s` (monotonic clock).

        Raises
        ------
        ExecutionError
            If it has arrived before.
        """
        with self._news:
            if index in walk.ended:
                raise ExecutionError(f"stage {index} of user {walk.run.name} has been delivered before")
            walk.stores[walk.run.chain[index]].update(items)
            ready = self._complete(walk, index, Ended(due_s, due_s))
        self._go_on(walk, ready)

    def signal(self, caller: str, user: str, index: int, due_s: float) -> None:
        """A stage of the caller has ended, at a time of the coordinator's clock [s]; being told again changes nothing.

        Raises
        ------
        NotAuthorised
            If it is not the caller's stage.
        ExecutionError
            If this actor waits for no such stage.
        """
        walk = self.walks.get(user)
        if walk is None or not any(index in node.before for node in self._own(walk)):
            raise ExecutionError(f"no stage of {self.actor} waits for stage {index!r} of a user {user[:80]!r}")
        node = walk.nodes[index]
        if node.actor != caller or self.actor not in told_by(node, walk.nodes):
            raise NotAuthorised(f"{walk.run.who(index)}, {node.label}: actor {caller} does not tell of its end")
        due_s += self.offset_s
        with self._news:
            ready = [] if index in walk.ended else self._complete(walk, index, Ended(due_s, due_s))
        self._go_on(walk, ready)

    def drain(self, patience_s: float) -> bool:
        """Whether all stages have left their threads within a time [s], after the run was given up."""
        end_s = time.monotonic() + patience_s
        while time.monotonic() < end_s:
            with self._news:
                if not self._active:
                    return True
            time.sleep(0.01)
        return False

    def _drop(self, name: str, indices: Iterable[int]) -> None:
        """Give leaves of a program up, here and on their way."""
        walk = self.walks[name]
        given_up = set(indices)
        with self._news:
            self._left -= {(name, index) for index in given_up}
            calls = [call for (of, index, _), call in self._calls.items() if of == name and index in given_up]
        for index in given_up:
            walk.stops[index].set()
            if self._batches is not None and self._batched(walk, index):
                self._batches.leave(walk.run.chain[index])
        self._line.give_up(walk, given_up)
        for call in calls:
            call.cancel()

    def _tell(self) -> None:
        """Have the report sent that somebody waits for; to be called with the lock held."""
        self._urgent += 1
        self._news.notify_all()

    def _under_way(self) -> list[str]:
        now = time.monotonic()
        return [
            f"{self.walks[name].run.who(index)}: {self.walks[name].nodes[index].label} for {now - since:.2f} s"
            for (name, index), since in self._active.items()
        ]

    def _open_calls(self) -> None:
        timeout_s = self.deadline_s - time.monotonic() + 1
        for walk in self.walks.values():
            for node in walk.nodes:
                if isinstance(node.leaf, Send) and node.actor == self.actor:
                    envelope = {"run": self.identity, "user": walk.run.name, "index": node.index}
                    for receiver in node.leaf.to:
                        call = self.peers[receiver].open(envelope, timeout_s)
                        self._calls[walk.run.name, node.index, receiver] = call

    def _begin(self, walk: Walk, start_s: float) -> None:
        for node in self._own(walk):
            if not node.before:
                self._pool.submit(self._walk, walk, node, start_s)

    def _go_on(self, walk: Walk, ready: list[Node]) -> None:
        for node in ready:
            self._pool.submit(self._walk, walk, node, self._ready(walk, node))

    def _complete(self, walk: Walk, index: int, ended: Ended) -> list[Node]:
        """Own leaves that the end of this one makes ready; to be called with the lock held."""
        walk.ended[index] = ended
        return [node for node in self._own(walk) if index in node.before and node.before <= walk.ended.keys()]

    def _walk_of(self, run: Run) -> Walk:
        stores = {chain.name: first_items(chain, self.actor) for chain in run.chains}
        works = {chain.name: StageWork(self.model, run, chain, stores[chain.name]) for chain in run.chains}
        return Walk(run, graph(run.program), stores, works)

    def _batched(self, walk: Walk, index: int) -> bool:
        """Whether a leaf's steps are made in batches here."""
        schedule = None if self._batches is None else self._batches.schedule
        return schedule is not None and schedule.batched(walk.run.chain[index], walk.nodes[index].leaf)

    def _own(self, walk: Walk) -> list[Node]:
        return [node for node in walk.nodes if node.actor == self.actor]

    @staticmethod
    def _ready(walk: Walk, node: Node) -> float:
        ended = [walk.ended[i] for i in node.before]
        return max(e.due_s if isinstance(node.leaf, Compute) else e.free_s for e in ended)

    def _walk(self, walk: Walk, node: Node, ready_s: float) -> None:
        """Execute a leaf and then, in this thread, the first that it makes ready, and so on."""
        try:
            while True:
                ended = self._execute(walk, node, ready_s)
                self._line.leave(walk, node.index, ended.due_s)
                with self._news:
                    ready = self._complete(walk, node.index, ended)
                self._go_on(walk, ready[1:])
                self._signal_others(walk, node, ended.free_s)
                with self._news:
                    self._left.discard((walk.run.name, node.index))
                    if not self._left or node.index in walk.ends:
                        self._tell()
                if not ready:
                    return
                node, ready_s = ready[0], self._ready(walk, ready[0])
        except Stopped:
            return
        except Exception as error:
            self.fail(walk, node.index, error)

    def _execute(self, walk: Walk, node: Node, ready_s: float) -> Ended:
        key = (walk.run.name, node.index)
        begin_s = self._line.enter(walk, node.index, ready_s)
        with self._news:
            self._active[key] = time.monotonic()
        try:
            if isinstance(node.leaf, Compute) and self._batches is not None and self._batched(walk, node.index):
                row, ended = run_batched(self, self._batches, walk, node.leaf, node.index, ready_s)
            elif isinstance(node.leaf, Compute):
                row, ended = run_compute(self, walk, node.leaf, node.index, begin_s)
                row["waiting_s"] += begin_s - ready_s
            else:
                row, ended = run_send(self, walk, node.leaf, node.index, ready_s, self._pool)
        finally:
            with self._news:
                del self._active[key]
        told = told_by(node, walk.nodes)
        signal = self._signal_of(walk, node, ended.free_s)
        told_byte = len(told) * (len(encode(signal)) + len(encode({})))
        row.update(user=walk.run.name, index=node.index, signals=len(told))
        row["signalling_byte"] = row.get("signalling_byte", 0) + told_byte
        with self._news:
            self._rows.append(row)
        return ended

    def _signal_others(self, walk: Walk, node: Node, due_s: float) -> None:
        """Tell actors that go on after this leaf and do not see its end by themselves."""
        message = self._signal_of(walk, node, due_s)
        for actor in told_by(node, walk.nodes):
            self._pool.submit(self._signal, walk, node, actor, message)

    def _signal_of(self, walk: Walk, node: Node, due_s: float) -> dict[str, Any]:
        told_s = due_s - self.offset_s
        return {"run": self.identity, "user": walk.run.name, "index": node.index, "due_s": told_s}

    def _signal(self, walk: Walk, node: Node, actor: str, message: Mapping[str, Any]) -> None:
        try:
            left_s = max(0.1, self.deadline_s - time.monotonic())
            self.peers[actor].call("signal", message, min(left_s, self.options.patience_s))
        except ExecutionError as error:
            self.fail(walk, node.index, error, actor)

    def _explain(self, walk: Walk, node: Node, error: Exception) -> BaseException:
        where = f"{walk.run.who(node.index)}, {node.label}"
        if isinstance(error, InvalidInput) or not isinstance(error, MegdtError):
            return ExecutionError(f"{where}: {type(error).__name__}: {error}")
        return type(error)(f"{where}: {error}")
