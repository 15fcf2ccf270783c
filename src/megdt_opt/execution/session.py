"""One run at one actor: every program is walked for the leaves that this actor executes."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from megdt_opt.errors import ExecutionError, InvalidInput, MegdtError, PeerLost
from megdt_opt.execution.clock import Ended, Stopped, Turns
from megdt_opt.execution.graph import Node, graph
from megdt_opt.execution.job import ExecutionOptions, Run
from megdt_opt.execution.rpc import PayloadCall, Peer
from megdt_opt.execution.run_state import Walk
from megdt_opt.execution.serial import Store
from megdt_opt.execution.signalling import told_by
from megdt_opt.execution.slots import run_compute
from megdt_opt.execution.stage_work import StageWork, first_items
from megdt_opt.execution.transfer import run_send
from megdt_opt.models.split_model import SplitModel
from megdt_opt.program.stages import Compute, Send


class Session:
    """State of a run in a worker.

    Parameters
    ----------
    actor : str
        This actor.
    runs : list of Run
        All programs of the run.
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
    """

    def __init__(
        self,
        *,
        actor: str,
        runs: list[Run],
        options: ExecutionOptions,
        model: SplitModel,
        peers: Mapping[str, Peer],
        turns: Turns,
        pool: ThreadPoolExecutor,
        identity: str,
    ) -> None:
        self.actor = actor
        self.options = options
        self.identity = identity
        self.stop = threading.Event()
        self.start_s = 0.0
        self.rows: list[dict[str, Any]] = []
        self.model = model
        self.turns = turns
        self.peers = peers
        self._pool = pool
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._error: BaseException | None = None
        self._calls: dict[tuple[str, int, str], PayloadCall] = {}
        self._active: dict[tuple[str, int], float] = {}
        self.walks: dict[str, Walk] = {}
        for run in runs:
            stores = {chain.name: first_items(chain, actor) for chain in run.chains}
            works = {chain.name: StageWork(model, run, chain, stores[chain.name]) for chain in run.chains}
            self.walks[run.name] = Walk(run, graph(run.program), stores, works)
        self._open = sum(n.actor == actor for w in self.walks.values() for n in w.nodes)
        if self._open == 0:
            self._ended.set()

    @property
    def deadline_s(self) -> float:
        """End of the run's time on the monotonic clock [s]."""
        return self.start_s + self.options.timeout_s

    def start(self, start_s: float) -> None:
        """Begin at a common time of the monotonic clock [s]."""
        self.start_s = start_s
        self._open_calls()
        for walk in self.walks.values():
            for node in walk.nodes:
                if not node.before and node.actor == self.actor:
                    self._pool.submit(self._walk, walk, node, start_s)

    def wait(self) -> list[dict[str, Any]]:
        """Rows of this actor's leaves, when all have ended.

        Raises
        ------
        ExecutionError
            What ended the run.
        """
        self._ended.wait()
        if self._error is not None:
            raise self._error
        return self.rows

    def give_up(self, error: BaseException) -> None:
        """End the run; the first error counts."""
        with self._lock:
            if self._error is None:
                self._error = error
            calls = list(self._calls.values())
        self.stop.set()
        for call in calls:
            call.cancel()
        self._ended.set()

    def outgoing(self, user: str, index: int, receiver: str) -> PayloadCall:
        """The stream that waits for a send's payload."""
        return self._calls[user, index, receiver]

    def active(self) -> list[str]:
        """Stages in progress, for messages."""
        now = time.monotonic()
        with self._lock:
            return [
                f"{self.walks[name].run.who(index)}: {self.walks[name].nodes[index].label} for {now - since:.2f} s"
                for (name, index), since in self._active.items()
            ]

    def incoming(self, user: object, index: object) -> tuple[Walk, Send]:
        """The walk and the send stage that a payload is for.

        Raises
        ------
        ExecutionError
            If this actor expects no such payload.
        """
        walk = self.walks.get(user) if isinstance(user, str) else None
        if walk is None or not isinstance(index, int) or not 0 <= index < len(walk.nodes):
            raise ExecutionError(f"no stage {index!r} of a user {user!r}")
        leaf = walk.nodes[index].leaf
        if isinstance(leaf, Compute) or self.actor not in leaf.to:
            raise ExecutionError(f"stage {index} of user {user} brings nothing to {self.actor}")
        with self._lock:
            if index in walk.ended:
                raise ExecutionError(f"stage {index} of user {user} has been delivered before")
        return walk, leaf

    def deliver(self, walk: Walk, index: int, items: Store, due_s: float) -> None:
        """Take in a payload that has arrived, due at `due_s` (monotonic clock)."""
        walk.stores[walk.run.chain[index]].update(items)
        self._go_on(walk, index, Ended(due_s, due_s))

    def signal(self, user: str, index: int, due_s: float) -> None:
        """Another actor's stage has ended."""
        self._go_on(self.walks[user], index, Ended(due_s, due_s))

    def drain(self, patience_s: float) -> bool:
        """Whether all stages have left their threads within a time [s], after the run was given up."""
        end_s = time.monotonic() + patience_s
        while time.monotonic() < end_s:
            with self._lock:
                if not self._active:
                    return True
            time.sleep(0.01)
        return False

    def _open_calls(self) -> None:
        timeout_s = self.deadline_s - time.monotonic() + 1
        for walk in self.walks.values():
            for node in walk.nodes:
                if isinstance(node.leaf, Send) and node.actor == self.actor:
                    envelope = {"run": self.identity, "user": walk.run.name, "index": node.index}
                    for receiver in node.leaf.to:
                        call = self.peers[receiver].open(envelope, timeout_s)
                        self._calls[walk.run.name, node.index, receiver] = call

    def _go_on(self, walk: Walk, index: int, ended: Ended) -> None:
        for node in self._complete(walk, index, ended):
            self._pool.submit(self._walk, walk, node, self._ready(walk, node))

    def _complete(self, walk: Walk, index: int, ended: Ended) -> list[Node]:
        """Own leaves that the end of this one makes ready."""
        with self._lock:
            walk.ended[index] = ended
            return [
                node
                for node in walk.nodes
                if index in node.before and node.actor == self.actor and node.before <= walk.ended.keys()
            ]

    @staticmethod
    def _ready(walk: Walk, node: Node) -> float:
        ended = [walk.ended[i] for i in node.before]
        return max(e.due_s if isinstance(node.leaf, Compute) else e.free_s for e in ended)

    def _walk(self, walk: Walk, node: Node, ready_s: float) -> None:
        """Execute a leaf and then, in this thread, the first that it makes ready, and so on."""
        try:
            while True:
                ended = self._execute(walk, node, ready_s)
                ready = self._complete(walk, node.index, ended)
                for other in ready[1:]:
                    self._pool.submit(self._walk, walk, other, self._ready(walk, other))
                self._signal_others(walk, node, ended.free_s)
                with self._lock:
                    self._open -= 1
                    if self._open == 0:
                        self._ended.set()
                if not ready:
                    return
                node, ready_s = ready[0], self._ready(walk, ready[0])
        except Stopped:
            return
        except Exception as error:
            self.give_up(self._explain(walk, node, error))

    def _execute(self, walk: Walk, node: Node, ready_s: float) -> Ended:
        key = (walk.run.name, node.index)
        with self._lock:
            self._active[key] = time.monotonic()
        try:
            store = walk.store(node.index)
            if isinstance(node.leaf, Compute):
                work = walk.works[walk.run.chain[node.index]]
                row, ended = run_compute(self, walk.run, work, node.leaf, node.index, ready_s)
            else:
                row, ended = run_send(self, walk.run, store, node.leaf, node.index, ready_s, self._pool)
        finally:
            with self._lock:
                del self._active[key]
        told = told_by(node, walk.nodes)
        signal = self._signal_of(walk, node, ended.free_s)
        told_byte = sum(self.peers[actor].size(signal) for actor in told)
        row.update(user=walk.run.name, index=node.index, signals=len(told))
        row["signalling_byte"] = row.get("signalling_byte", 0) + told_byte
        with self._lock:
            self.rows.append(row)
        return ended

    def _signal_others(self, walk: Walk, node: Node, due_s: float) -> None:
        """Tell actors that go on after this leaf and do not see its end by themselves."""
        message = self._signal_of(walk, node, due_s)
        for actor in told_by(node, walk.nodes):
            self._pool.submit(self._signal, self.peers[actor], message)

    def _signal_of(self, walk: Walk, node: Node, due_s: float) -> dict[str, Any]:
        return {"run": self.identity, "user": walk.run.name, "index": node.index, "due_s": due_s}

    def _signal(self, peer: Peer, message: Mapping[str, Any]) -> None:
        try:
            peer.call("signal", message, max(0.1, self.deadline_s - time.monotonic()))
        except ExecutionError as error:
            if not self.stop.is_set():
                self.give_up(error)

    def _explain(self, walk: Walk, node: Node, error: Exception) -> BaseException:
        where = f"{walk.run.who(node.index)}, {node.label}"
        if isinstance(error, PeerLost) and self.stop.is_set():
            return error
        if isinstance(error, InvalidInput) or not isinstance(error, MegdtError):
            return ExecutionError(f"{where}: {type(error).__name__}: {error}")
        return type(error)(f"{where}: {error}")
