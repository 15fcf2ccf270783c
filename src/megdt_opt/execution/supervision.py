"""The coordinator's part in a run: follow all actors, contain what fails, and let who is cut off go on alone."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from megdt_opt.errors import ExecutionError, ExecutionTimeout, PeerLost, WeightsError
from megdt_opt.execution.graph import graph
from megdt_opt.execution.job import ExecutionOptions, Run
from megdt_opt.execution.process import ActorProcess
from megdt_opt.execution.reach import Known, Reach
from megdt_opt.execution.record import Fault
from megdt_opt.execution.remote import RemoteActor
from megdt_opt.execution.rpc import Peer, error_from_plain
from megdt_opt.logs import logger_of

_log = logger_of(__name__)

GRACE_S = 0.3
"""Time given to other reports after a first failure, so that the cause is named and not a consequence [s]."""

BEAT_S = 0.5
"""An actor tells of itself at least this often [s]."""

KERNEL_BEAT_S = 2.0
"""The same in kernel mode, where what an actor tells costs it part of its quota [s]."""

POLL_S = 0.02
"""Rest between two looks [s]."""

_BEGIN_S = 0.02

MARGIN = 1.5
"""By how much longer than predicted a program may take before it counts as late [1]."""

_ALONE_S = 0.5
"""Time to begin alone [s]."""

Error = ExecutionError | WeightsError


@dataclass
class _Actor:
    """What the coordinator knows of an actor."""

    peer: Peer
    process: ActorProcess | RemoteActor
    call: Any = None
    rows: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    failures: int = 0
    urgent: int = 0
    changes: int = 0
    left: int | None = None
    """Stages left to it [1]; None until it has said so."""
    active: list[str] = field(default_factory=list)
    cpu_s: float = 0.0


class Supervision:
    """One run, from its start until every user has a picture or is lost.

    Parameters
    ----------
    actors : mapping of str to (Peer, ActorProcess)
        All who take part, prepared.
    runs : sequence of Run
        The programs.
    spares : mapping of str to Run, or None
        What a user's device runs where the user's own program cannot end. None: the first failure ends the run for all.
    options : ExecutionOptions
        How the run is made.
    identity : str
        Its name.
    """

    def __init__(
        self,
        actors: Mapping[str, tuple[Peer, ActorProcess | RemoteActor]],
        runs: Sequence[Run],
        spares: Mapping[str, Run] | None,
        options: ExecutionOptions,
        identity: str,
    ) -> None:
        self.faults: dict[str, Fault] = {}
        self._actors = {name: _Actor(*pair) for name, pair in actors.items()}
        self._spares = spares
        self._options = options
        self._identity = identity
        self._programs = {run.name: run for run in (*runs, *(spares or {}).values())}
        self._nodes = {name: graph(run.program) for name, run in self._programs.items()}
        self._known = {name: Known() for name in self._nodes}
        self._lost: dict[str, Error] = {}
        self._errors: dict[tuple[str, int, str], Error] = {}
        self._causes: list[Error] = []
        self._served = {name: run.name for run in runs for name in set(run.chain) - run.shared}
        self._trouble = False
        self._kept: dict[str, dict[str, Any]] = {}
        self._turn_back_s = self._latest_turns_s()
        self.start_s: float | None = None

    @property
    def served(self) -> Mapping[str, str]:
        """The program that brings the picture of each user who is not lost."""
        return self._served

    @property
    def rows(self) -> dict[tuple[str, int], dict[str, Any]]:
        """Stamps of the stages that have ended, by program and leaf."""
        return {key: row for actor in self._actors.values() for key, row in actor.rows.items()}

    @property
    def cpu_s(self) -> dict[str, float]:
        """Processor seconds of each actor [s]."""
        return {name: actor.cpu_s for name, actor in self._actors.items()}

    def run(self) -> dict[str, dict[str, Any]]:
        """Start, follow, and fetch the results of each actor that is there at the end.

        Raises
        ------
        ExecutionError
            What ended the run: for all at the first failure, or because nobody is left who could get a picture.
        """
        self.start_s = time.monotonic() + self._options.lead_s
        self._ask("start", {"start_s": self.start_s})
        _log.info("%s starts: %s", self._identity, ", ".join(self._served))
        while True:
            self._follow()
            results = self._ask("results", {})
            if not self._trouble:
                return {**self._kept, **results}

    def _follow(self) -> None:
        """Until no actor has anything left to do."""
        grace_end_s = float("inf")
        while True:
            for name, actor in self._living:
                self._hear(name, actor)
            self._keep()
            now = time.monotonic()
            if self._trouble:
                grace_end_s = min(grace_end_s, now + GRACE_S)
                if now >= grace_end_s:
                    self._contain()
                    grace_end_s = float("inf")
            elif all(actor.left == 0 for _, actor in self._living):
                return
            elif self._since_s() > self._options.timeout_s:
                self._end_late()
            else:
                self._turn_back()
            time.sleep(POLL_S)

    def _keep(self) -> None:
        """Fetch what an actor has made once it has nothing left to do, so that its later loss takes no picture."""
        if self._spares is None:
            return
        for name, actor in self._living:
            if actor.left == 0 and name not in self._kept:
                try:
                    limit_s = BEAT_S + self._options.patience_s
                    self._kept[name] = actor.peer.call("results", {"run": self._identity}, limit_s)
                except ExecutionError as error:
                    self._lose(name, actor, error)
            elif actor.left:
                self._kept.pop(name, None)  # it was given more to do

    def _has(self, user: str) -> bool:
        """Whether a user's picture has been made and fetched."""
        name = self._served[user]
        return self._reach(name).finished(user) and any(
            user in kept["images"].get(name, {}) or user in kept["latents"].get(name, {})
            for kept in self._kept.values()
        )

    def _turn_back(self) -> None:
        """Cut off who will not end in time, while there still is time to go on alone."""
        if not self._spares:
            return
        begin: list[Run] = []
        for user, name in list(self._served.items()):
            turn_s = self._turn_back_s.get(user)
            if turn_s is None or self._since_s() < turn_s or user in self.faults or self._reach(name).finished(user):
                continue
            active = [text for _, actor in self._living for text in actor.active]
            doing = f"; in progress: {'; '.join(active)}" if active else ""
            begin += self._cut_off(
                user, ExecutionTimeout(f"its program did not end within {self._since_s():.3g} s{doing}")
            )
        if begin:
            self._change(begin)

    def _latest_turns_s(self) -> dict[str, float]:
        """When a user who has not ended must go on alone to be in time [s]; those alone whose own program should have
        ended long before."""
        found, spares = {}, self._spares or {}
        for user in self._served.keys() & spares.keys():
            turn_s = self._options.timeout_s - MARGIN * _ends_s(spares[user]) - _ALONE_S
            if turn_s >= MARGIN * _ends_s(self._programs[self._served[user]]):
                found[user] = turn_s
        return found

    @property
    def _living(self) -> list[tuple[str, _Actor]]:
        return [(name, actor) for name, actor in self._actors.items() if name not in self._lost]

    def _hear(self, name: str, actor: _Actor) -> None:
        """Take in an actor's report, and notice where it has ended or does not answer."""
        if not actor.process.alive:
            self._lose(name, actor)
            return
        if actor.call is not None and actor.call.done():
            call, actor.call = actor.call, None
            try:
                self._take(actor, actor.peer.finish(call))
            except ExecutionError as error:
                self._lose(name, actor, error)
                return
        if actor.call is None:
            beat_s = KERNEL_BEAT_S if self._options.mode == "kernel" else BEAT_S
            message = self._wait(actor, beat_s)
            actor.call = actor.peer.begin("wait", message, beat_s + self._options.patience_s)

    def _wait(self, actor: _Actor, patience_s: float) -> dict[str, Any]:
        known = {"rows": len(actor.rows), "failures": actor.failures, "urgent": actor.urgent}
        return {"run": self._identity, **known, "patience_s": patience_s}

    def _take(self, actor: _Actor, reply: dict[str, Any]) -> None:
        for row in reply["rows"]:
            key = (str(row["user"]), int(row["index"]))
            actor.rows[key] = row
            self._known[key[0]].stamped.add(key[1])
        for failure in reply["failures"]:
            name, leaf = str(failure["run"]), (int(failure["index"]), str(failure["receiver"]))
            if leaf not in self._known[name].failed:
                self._known[name].failed.add(leaf)
                self._errors[name, *leaf] = error_from_plain(failure["error"])
                self._trouble = True
        for name, ended in reply["ended"].items():
            self._known[name].ended[actor.peer.name] = frozenset(int(index) for index in ended)
        actor.failures = max(actor.failures, int(reply["failures_in_all"]))
        actor.urgent = max(actor.urgent, int(reply["urgent"]))
        actor.active = [str(text) for text in reply["active"]]
        actor.cpu_s = float(reply["cpu_s"])
        if int(reply["changes"]) == actor.changes:
            actor.left = int(reply["left"])

    def _lose(self, name: str, actor: _Actor, error: ExecutionError | None = None) -> None:
        """Count an actor as gone; its process is ended if it is not."""
        end_s = time.monotonic() + GRACE_S  # a connection is often seen to close before its process is seen to end
        while actor.process.alive and time.monotonic() < end_s and isinstance(error, PeerLost):
            time.sleep(POLL_S)
        if not actor.process.alive:
            error = PeerLost(ended([(name, actor.process.exit_code)]))
        elif isinstance(error, ExecutionTimeout):
            error = PeerLost(f"{name} did not answer for {self._options.patience_s:g} s and was ended")
        self._lost[name] = error or PeerLost(f"{name} is gone")
        _log.warning("%s: %s is lost: %s", self._identity, name, self._lost[name])
        self._trouble = True
        if actor.process.alive:
            actor.process.kill()

    def _ask(self, method: str, message: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Replies of all actors that are there; who does not reply is lost."""
        limit_s = BEAT_S + self._options.patience_s
        asked = {"run": self._identity, **message}
        calls = [(name, actor, actor.peer.begin(method, asked, limit_s)) for name, actor in self._living]
        replies = {}
        for name, actor, call in calls:
            try:
                replies[name] = actor.peer.finish(call)
            except ExecutionError as error:
                self._lose(name, actor, error)
        return replies

    def _contain(self) -> None:
        """Find out whom the failures cut off, let them go on alone, and give up what nobody waits for any more."""
        if self._spares is None:
            raise worst(list(self._lost.values() or self._errors.values()))
        self._refresh()
        self._trouble = False
        begin: list[Run] = []
        for user, name in list(self._served.items()):
            cause = None if self._has(user) else self._reach(name).cause(user)
            if cause is not None:
                error = self._lost[cause] if isinstance(cause, str) else self._errors[name, *cause]
                begin += self._cut_off(user, error)
        self._change(begin)

    def _refresh(self) -> None:
        """Hear of all actors at once, so that what has just ended counts."""
        for name, actor in self._living:
            try:
                limit_s = BEAT_S + self._options.patience_s
                self._take(actor, actor.peer.call("wait", self._wait(actor, 0.0), limit_s))
            except ExecutionError as error:
                self._lose(name, actor, error)

    def _since_s(self) -> float:
        """Seconds since the common start [s]."""
        return 0.0 if self.start_s is None else time.monotonic() - self.start_s

    def _reach(self, name: str) -> Reach:
        return Reach(self._nodes[name], self._programs[name].chain, self._known[name], self._lost)

    def _cut_off(self, user: str, error: Error) -> list[Run]:
        """What a user's device shall begin, where it is there and has something of its own to run."""
        spare, before = (self._spares or {}).get(user), self.faults.get(user)
        alone = spare is not None and before is None and spare.chains[0].device not in self._lost
        self.faults[user] = Fault(
            user=user,
            cause=str(error) if before is None else f"{before.cause}; then {error}",
            at_s=max(0.0, self._since_s() + _BEGIN_S),
            fell_back=alone,
        )
        _log.warning("%s: %s", self._identity, self.faults[user].words)
        self._causes.append(error)
        if spare is None or not alone:
            del self._served[user]
            return []
        self._served[user] = spare.name
        return [spare]

    def _change(self, begin: Sequence[Run]) -> None:
        """Tell all actors what is given up, and those who go on alone what they begin."""
        if not self._served:
            raise worst(self._causes)
        drop = {}
        for name, nodes in self._nodes.items():
            needed = self._reach(name).needed([user for user, of in self._served.items() if of == name])
            drop[name] = [node.index for node in nodes if node.index not in needed | self._known[name].stamped]
        for name, actor in self._living:
            actor.changes, actor.left = actor.changes + 1, None
            beginning = [run.name for run in begin if run.chains[0].device == name]
            start_s = time.monotonic() + _BEGIN_S
            change = {"run": self._identity, "drop": drop, "begin": beginning, "start_s": start_s}
            try:
                actor.peer.call("change", change, BEAT_S + self._options.patience_s)
            except ExecutionError as error:
                self._lose(name, actor, error)

    def _end_late(self) -> None:
        """Give up who has not ended within the run's time."""
        late = [name for name, actor in self._living if actor.left]
        if self._spares is None:
            raise ExecutionTimeout(f"{', '.join(late)} did not end within the deadline")
        self._refresh()
        for user, name in list(self._served.items()):
            if not self._reach(name).finished(user):
                active = [text for _, actor in self._living for text in actor.active]
                doing = f"; in progress: {'; '.join(active)}" if active else ""
                text = f"{', '.join(late)} did not end within {self._options.timeout_s:g} s{doing}"
                self._spares = {**self._spares}
                self._spares.pop(user, None)  # there is no time left to go on alone
                self._cut_off(user, ExecutionTimeout(text))
        self._change([])


def _ends_s(run: Run) -> float:
    """Predicted end of a program [s]."""
    return max(time.start_s + time.duration_s for time in run.predicted)


def ended(gone: Sequence[tuple[str, int | None]]) -> str:
    """That the processes of these actors have ended, with their exit codes."""
    return f"the process of {', '.join(f'{name} (exit code {code})' for name, code in gone)} ended during the run"


def worst(errors: Sequence[Error]) -> Error:
    """The error that tells most: a lost peer or a time-out is often only what a neighbour sees of another failure."""
    return min(errors, key=lambda error: 2 if isinstance(error, PeerLost) else isinstance(error, ExecutionTimeout))
