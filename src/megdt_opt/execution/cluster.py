"""The coordinator: one process per actor, kept alive across runs."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from megdt_opt.errors import ExecutionError, ExecutionTimeout, InvalidInput, PeerLost
from megdt_opt.execution.assembly import execution
from megdt_opt.execution.batch_schedule import BatchSchedule
from megdt_opt.execution.claim import LONGEST_LEASE_S
from megdt_opt.execution.clock_offset import ClockOffset, compare
from megdt_opt.execution.credentials import Identity
from megdt_opt.execution.job import ExecutionOptions, Run
from megdt_opt.execution.measuring import Measuring
from megdt_opt.execution.process import ActorProcess, actor_process
from megdt_opt.execution.record import Execution
from megdt_opt.execution.remote import RemoteActor
from megdt_opt.execution.rpc import Peer
from megdt_opt.execution.supervision import GRACE_S, POLL_S, Supervision, ended, worst
from megdt_opt.execution.world import LocalWorld, World
from megdt_opt.models.planned import PlannedModel
from megdt_opt.models.registry import DEFAULT_MODEL
from megdt_opt.program.stages import actors


class Cluster(Measuring):
    """Processes that execute stage programs.

    Use it as a context manager: on leaving, every process has ended. The processes also end by
    themselves when the coordinating process is gone, however it went.

    Parameters
    ----------
    actors : iterable of str
        The actors, for example "edge" and the devices.
    model : str, PlannedModel or mapping of str to one
        The model as it was planned, or the import path "module:class" of one
        (`megdt_opt.models.split_model.SplitModel`), for all or for each actor.
    start_timeout_s : float
        Time that processes have to come up and to prepare a run [s].
    world : World, optional
        Where the processes live; default on this machine, beside the coordinator.

    Examples
    --------
    >>> with Cluster(["edge", "phone"]) as cluster:            # doctest: +SKIP
    ...     execution = cluster.run([run])
    """

    def __init__(
        self,
        actors: Iterable[str],
        model: str | PlannedModel | Mapping[str, str | PlannedModel] = DEFAULT_MODEL,
        *,
        start_timeout_s: float = 120.0,
        world: World | None = None,
    ) -> None:
        self.actors = tuple(dict.fromkeys(actors))
        if not self.actors:
            raise InvalidInput("actors", self.actors, "at least one name", "Name the edge and the devices.")
        self._models = {
            a: model if isinstance(model, str | PlannedModel) else model.get(a, DEFAULT_MODEL) for a in self.actors
        }
        self._start_timeout_s = start_timeout_s
        self._world = world or LocalWorld()
        self._identity: Identity | None = None
        self._identities: Mapping[str, Identity] = {}
        self._offsets: dict[str, ClockOffset] = {}
        self._one_run = threading.Lock()
        self._ended = False
        self._processes: dict[str, ActorProcess | RemoteActor] = {}
        self._peers: dict[str, Peer] = {}
        self._running: str | None = None
        self._supervision: Supervision | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self.close()

    def start(self) -> None:
        """Start the processes that do not run, all at once, and wait until they serve.

        Raises
        ------
        PeerLost, ExecutionTimeout, WeightsError, ExecutionError
            If one does not come up; none is left running then.
        """
        if self._ended:
            raise ExecutionError("this cluster was closed: make a new one")
        missing = [a for a in self.actors if a not in self._processes or not self._processes[a].alive]
        for actor in missing:
            self._drop(actor)
        try:
            self._world.open(self.actors)
            if self._identity is None:
                self._identity, self._identities = self._world.identities(self.actors)
            for actor in missing:
                self._processes[actor] = actor_process(
                    actor, self._models[actor], self._identities, self._identity, self._world.place(actor)
                )
            deadline_s = time.monotonic() + self._start_timeout_s
            for actor in missing:
                self._peers[actor] = self._processes[actor].connect(deadline_s)
            for actor in missing:
                self._world.settle(actor, self._processes[actor].pid)
        except BaseException:
            self._kill_all()  # nothing that has been made so far is waited for
            self.close()
            raise

    def _kill_all(self) -> None:
        for actor in list(self._processes):
            self._processes[actor].strike()

    def close(self) -> None:
        """End every process; interrupted meanwhile, at once."""
        try:
            for actor in [*self._processes]:
                self._processes[actor].dismiss()
            for actor in [*self._processes]:
                self._drop(actor)
        except BaseException:
            self._kill_all()
            raise
        finally:
            self._identity = None
            self._world.close()

    @property
    def pids(self) -> dict[str, int]:
        """Process number of each actor."""
        return {actor: process.pid for actor, process in self._processes.items()}

    def identity(self, actor: str) -> Identity:
        """How an actor's process proves itself to the others."""
        return self._identities[actor]

    @property
    def current_run(self) -> str | None:
        """Name of the run in progress, None between runs."""
        return self._running

    @property
    def start_s(self) -> float | None:
        """Common start of the run in progress on the monotonic clock [s]; None between runs and before it is set."""
        return None if self._supervision is None else self._supervision.start_s

    def address(self, actor: str) -> str:
        """ "host:port" of an actor's server, as other actors reach it."""
        return self._processes[actor].address

    def run(
        self,
        runs: Sequence[Run],
        options: ExecutionOptions | None = None,
        *,
        fallbacks: Mapping[str, Run] | None = None,
        batches: BatchSchedule | None = None,
    ) -> Execution:
        """Execute the programs of all users and groups, with one common start.

        Parameters
        ----------
        runs : sequence of Run
            The users, and the groups that share stages.
        options : ExecutionOptions, optional
            How to run.
        fallbacks : mapping of str to Run, optional
            What the device of a user runs, by itself, if the program planned for the user cannot end, by the users'
            names. Given, if only as an empty mapping, a failure after the start concerns those alone whose stages
            depend on what failed: they fall back, or have no picture, and `Execution.faults` says why. Without it the
            first failure ends the run for all.
        batches : BatchSchedule, optional
            Batches in which an edge server makes the steps of several chains in one pass.

        Returns
        -------
        Execution
            Every stage, measured beside predicted.

        Raises
        ------
        InvalidInput
            If the users cannot be executed by this cluster.
        PeerLost
            If a process has ended.
        ExecutionTimeout
            If the run did not end within `options.timeout_s`.
        MalformedMessage
            If bytes came that are not the payload of their stage.
        ExecutionError
            If a stage failed. With `fallbacks`, only where nobody got a picture. After any of these the cluster can be
            used again: processes that are gone or stuck are started again.
        """
        options = options or ExecutionOptions()
        spares = None if fallbacks is None else {u: replace(r, name=f"{u}, alone") for u, r in fallbacks.items()}
        self._check(runs, spares or {})
        if batches is not None:
            batches.check(runs)
        if not self._one_run.acquire(blocking=False):
            raise ExecutionError("a run of this cluster is in progress: wait for its end, or start another cluster")
        try:
            self.start()
            self._world.fit(runs, options)
            return self._run(runs, spares, options, batches)
        finally:
            self._one_run.release()

    def _run(
        self,
        runs: Sequence[Run],
        spares: Mapping[str, Run] | None,
        options: ExecutionOptions,
        batches: BatchSchedule | None,
    ) -> Execution:
        self._running = f"run-{secrets.token_hex(8)}"
        try:
            facts = self._prepare(runs, spares, options, batches)
            pairs = {a: (self._peers[a], self._processes[a]) for a in facts}
            self._supervision = Supervision(pairs, runs, spares, options, self._running)
            results = self._supervision.run()
            for actor in results:  # a clock may have drifted meanwhile
                if isinstance(self._processes[actor], RemoteActor):
                    facts[actor]["clock_offset_s"] = self._offsets[actor].joined(self._clock_of(actor))
            done = execution(results, self._supervision, runs, spares or {}, options, facts, self._world.evidence())
        except BaseException as error:
            stuck = self._abort(self._running)
            if isinstance(error, ExecutionTimeout) and stuck:
                raise ExecutionTimeout(f"{error}; in progress: {'; '.join(stuck)}") from error
            raise
        else:
            self._abort(self._running)
            return done
        finally:
            self._running = self._supervision = None

    def _prepare(
        self,
        runs: Sequence[Run],
        spares: Mapping[str, Run] | None,
        options: ExecutionOptions,
        batches: BatchSchedule | None,
    ) -> dict[str, dict[str, Any]]:
        """Give a run to all who take part; facts of their processes. Where failures are contained, a process that ends
        before the start is replaced once."""
        try:
            return self._prepare_once(runs, spares, options, batches)
        except PeerLost:
            if spares is None:
                raise
            self._abort(self._running)
            self.start()
            self._running = f"run-{secrets.token_hex(8)}"  # no actor takes the same run twice
            return self._prepare_once(runs, spares, options, batches)

    def _prepare_once(
        self,
        runs: Sequence[Run],
        spares: Mapping[str, Run] | None,
        options: ExecutionOptions,
        batches: BatchSchedule | None,
    ) -> dict[str, dict[str, Any]]:
        addresses = {actor: process.address for actor, process in self._processes.items()}
        used = sorted(frozenset().union(*(actors(r.program) for r in runs)))
        prepare = {
            "run": self._running,
            "runs": [r.to_dict() for r in runs],
            "options": options.to_dict(),
            "batches": None if batches is None else batches.to_dict(),
            "lease_s": min(LONGEST_LEASE_S, 2 * self._start_timeout_s + options.patience_s),
        }
        self._offsets = {a: self._clock_of(a) for a in used}
        limit_s = self._start_timeout_s
        calls = {
            a: self._peers[a].begin(
                "prepare",
                {
                    **prepare,
                    "peers": {b: addresses[b] for b in _partners(runs, a)},
                    "spares": _spares_of(spares, a),
                    "offset_s": self._offsets[a].offset_s,
                },
                limit_s,
            )
            for a in used
        }
        prepared = self._gather(calls, time.monotonic() + limit_s, options.patience_s)
        return {a: prepared[a] | self._pulse(a, options.patience_s) for a in used}

    def _clock_of(self, actor: str) -> ClockOffset:
        """What an actor's clock shows more than this process's, where it lives elsewhere."""
        remote = isinstance(self._processes[actor], RemoteActor)
        return compare(self._peers[actor]) if remote else ClockOffset(0.0, 0.0)

    def _pulse(self, actor: str, patience_s: float) -> dict[str, Any]:
        """Facts of an actor; one that does not answer is lost."""
        try:
            return self._peers[actor].call("ping", {}, patience_s)
        except ExecutionTimeout:
            self._processes[actor].kill()
            raise PeerLost(f"{actor} did not answer for {patience_s:g} s while it prepared, and was ended") from None

    def _gather(self, calls: Mapping[str, Any], deadline_s: float, patience_s: float) -> dict[str, dict[str, Any]]:
        """Replies of all calls; the first failure ends it, after a short grace for its cause, and so does an actor that
        does not answer for `patience_s` [s], which whoever is at work does."""
        pulse_s = time.monotonic() + patience_s / 2
        done: set[str] = set()
        replies: dict[str, dict[str, Any]] = {}
        failures: list[ExecutionError] = []
        grace_end_s = float("inf")
        while True:
            for actor, call in calls.items():
                if actor not in done and call.done():
                    done.add(actor)
                    try:
                        replies[actor] = self._peers[actor].finish(call)
                    except Exception as error:
                        failures.append(error if isinstance(error, ExecutionError) else ExecutionError(str(error)))
            dead = [a for a in calls if not self._processes[a].alive]
            if dead:
                raise PeerLost(ended([(a, self._processes[a].exit_code) for a in dead]))
            now = time.monotonic()
            if failures:
                grace_end_s = min(grace_end_s, now + GRACE_S)
            if now > grace_end_s or (failures and len(done) == len(calls)):
                raise worst(failures)
            if len(done) == len(calls):
                return replies
            if now > pulse_s:
                for actor in sorted(set(calls) - done):
                    self._pulse(actor, patience_s)
                pulse_s = time.monotonic() + patience_s / 2
            if now > deadline_s and not failures:
                late = sorted(set(calls) - done)
                raise ExecutionTimeout(f"{', '.join(late)} did not end within the deadline")
            time.sleep(POLL_S)

    def _abort(self, identity: str | None) -> list[str]:
        """Give a run up everywhere and tell what was in progress; processes that stay in it are killed."""
        calls = {}
        for actor in self.actors:
            if self._processes[actor].alive:
                calls[actor] = self._peers[actor].begin("abort", {"run": identity}, 3.0)
        active: list[str] = []
        for actor, call in calls.items():
            try:
                reply = self._peers[actor].finish(call)
            except ExecutionError:
                reply = {"idle": False, "active": []}
            active.extend(str(s) for s in reply["active"])
            if not reply["idle"]:
                self._processes[actor].kill()
        return active

    def _check(self, runs: Sequence[Run], spares: Mapping[str, Run]) -> None:
        if not runs:
            raise InvalidInput("runs", runs, "at least one user", "Name the users.")
        for names in ([r.name for r in runs], [chain.name for r in runs for chain in r.chains]):
            if len(set(names)) != len(names):
                raise InvalidInput("runs", names, "users with different names", "Rename them.")
        for user, spare in spares.items():
            device = spare.chains[0].device
            if len(spare.chains) != 1 or spare.chains[0].name != user or actors(spare.program) != {device}:
                expected = f"a program of {user} alone, on one device"
                raise InvalidInput(f"fallback of user {user}", spare.name, expected, "Give its local program.")
        shares: dict[str, float] = {}
        turns: dict[tuple[str, int], str] = {}
        for run in runs:
            unknown = sorted((actors(run.program) | {chain.device for chain in run.chains}) - set(self.actors))
            if unknown:
                raise InvalidInput(
                    f"program of user {run.name}",
                    unknown,
                    f"actors of this cluster: {self.actors}",
                    "Start the cluster with all actors.",
                )
            for edge, share in run.edge_shares().items():
                if run.turn is None:
                    shares[edge] = shares.get(edge, 0.0) + share
                    continue
                other = turns.setdefault((edge, run.turn), run.name)
                if other != run.name:
                    expected = f"another place at {edge} than that of user {other}"
                    raise InvalidInput(f"turn of user {run.name}", run.turn, expected, "Serve one chain at a time.")
        for edge, _ in turns:
            if edge in shares:
                expected = f"no reserved shares beside turns at {edge}"
                raise InvalidInput(f"edge_share at {edge}", shares[edge], expected, "Give every user of it a turn.")
        for edge, total in shares.items():
            if total > 1 + 1e-9:
                raise InvalidInput(f"edge_share at {edge}", total, "a sum of at most 1", "Reserve less.")

    def _drop(self, actor: str) -> None:
        peer = self._peers.pop(actor, None)
        if peer is not None:
            peer.close()
        process = self._processes.pop(actor, None)
        if process is not None:
            process.end()


def _partners(runs: Sequence[Run], actor: str) -> list[str]:
    """Actors with which one has something to do in the runs; between others there may be no way."""
    found = [actors(run.program) for run in runs]
    return sorted(frozenset().union(*(those for those in found if actor in those)))


def _spares_of(spares: Mapping[str, Run] | None, actor: str) -> list[dict[str, Any]]:
    return [run.to_dict() for run in (spares or {}).values() if run.chains[0].device == actor]
