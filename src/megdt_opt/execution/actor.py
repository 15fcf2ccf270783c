"""What an actor's process does for the coordinator: prepare, start, wait, change, results, abort, measure."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch

from megdt_opt.errors import ExecutionError, MalformedMessage, NotAuthorised
from megdt_opt.execution.batch_schedule import BatchSchedule
from megdt_opt.execution.batch_steps import together
from megdt_opt.execution.callers import Caller
from megdt_opt.execution.claim import LEASE_S, Claim
from megdt_opt.execution.clock import Turns
from megdt_opt.execution.clock_offset import clock_name
from megdt_opt.execution.credentials import Identity
from megdt_opt.execution.digest import model_digest, program_digest
from megdt_opt.execution.graph import image_holder, latent_holder
from megdt_opt.execution.job import ExecutionOptions, Probe, Run
from megdt_opt.execution.link_probe import probe_link
from megdt_opt.execution.messages import PIECE_BYTE, RUN_BYTE
from megdt_opt.execution.plain import array_to_plain
from megdt_opt.execution.probe import measure, measure_beside
from megdt_opt.execution.rpc import Peer
from megdt_opt.execution.serial import rehearse
from megdt_opt.execution.session import Session
from megdt_opt.models.reference import reference_kernel
from megdt_opt.models.split_model import SplitModel
from megdt_opt.program.stages import CODECS, Send, leaves
from megdt_opt.program.wire import payload_byte

WALKERS = 256
"""Stages that one actor can have under way at once."""

WAIT_S = 10.0
"""Longest wait for news in one call [s]."""


class Actor:
    """One actor's process.

    Parameters
    ----------
    name : str
        Name of the actor.
    model : SplitModel
        The model.
    identity : Identity
        How it proves itself to other actors.
    load_s : float
        Seconds that loading the model took [s].
    restart : callable, optional
        Starts the process anew, once it has been answered; None where whoever started it does so.
    """

    def __init__(
        self,
        name: str,
        model: SplitModel,
        identity: Identity,
        *,
        load_s: float = 0.0,
        restart: Callable[[], None] | None = None,
    ) -> None:
        self.name = name
        self._load_s = load_s
        self._model = model
        self._identity = identity
        self._restart = restart
        self._leaving = False
        self._claiming = threading.Lock()
        self._claim: Claim | None = None
        self._turns = Turns()
        self._pool = ThreadPoolExecutor(WALKERS, "walk")
        self._peers: dict[str, Peer] = {}
        self._session: Session | None = None
        self._warm: set[Hashable] = set()
        self._cpu_s = 0.0

    def session(self, identity: object) -> Session:
        """The run of that name.

        Raises
        ------
        ExecutionError
            If it is not the one that is prepared here.
        """
        if self._session is None or self._session.identity != identity:
            raise ExecutionError(f"{self.name} has no run {identity!r}")
        return self._session

    def ping(self, message: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Answer with the facts of this process."""
        if self._leaving:
            raise ExecutionError(f"{self.name} starts anew")
        return {
            "actor": self.name,
            "pid": os.getpid(),
            "load_s": self._load_s,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "python": sys.version.split()[0],
            "clock": clock_name(),
            "model": self._model.spec.name,
            "model_digest": model_digest(self._model.spec),
            # whether it has the adapter that the caller means; what it is stays here
            "adapter": getattr(self._model, "adapter_sha256", None) == message.get("adapter"),
        }

    def clock(self, message: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """When the message was taken in and when it is sent back, by this clock."""
        taken_s = time.monotonic()
        return {"taken_s": taken_s, "back_s": time.monotonic()}

    def restart(self, message: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Start the process anew: a computation that outlives its run cannot be ended otherwise."""
        if self._restart is None:
            raise ExecutionError(f"{self.name} is started anew by the process that started it")
        with self._claiming:
            if self._claim is not None and self._claim.holds and self._claim.caller != caller:
                raise ExecutionError(f"{self.name}: {self._claim.words}")
        self._leaving = True  # whoever looks for it finds the next process
        self._restart()
        return {}

    def prepare(self, message: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Take a run, connect to the peers and warm up what it needs.

        Raises
        ------
        ExecutionError
            If another run is in progress, or this one was prepared before.
        """
        identity = message["run"]
        if not (isinstance(identity, str) and 0 < len(identity) <= 64):
            raise MalformedMessage("prepare: a run's name of 1 to 64 characters was due")
        claim = Claim(caller, identity)
        claim.renew(float(message["lease_s"]))
        with self._claiming:
            if self._claim is not None and (self._claim.holds or self._claim.run == identity):
                raise ExecutionError(f"{self.name}: {self._claim.words}")
            self._give_up()
            self._claim = claim
        try:
            return self._prepare(message, claim)
        except BaseException:
            claim.end()
            raise

    def _prepare(self, message: dict[str, Any], claim: Claim) -> dict[str, Any]:
        runs = [Run.from_dict(r) for r in message["runs"]]
        spares = [Run.from_dict(r) for r in message["spares"]]
        options = ExecutionOptions.from_dict(message["options"])
        peers = {str(k): str(v) for k, v in message["peers"].items() if k != self.name}
        self._connect(peers, shaped=options.mode == "kernel")
        for run in (*runs, *spares):
            options.check_held(self.name, run)
            self._warm_up(run)
        planned = message.get("batches")
        batches = None if planned is None else BatchSchedule.from_dict(planned)
        if batches is not None and batches.edge != self.name:
            batches = None
        if batches is not None:
            self._warm_up_batches(batches, runs)
        session = Session(
            actor=self.name,
            runs=runs,
            spares=spares,
            options=options,
            model=self._model,
            peers=self._peers,
            turns=self._turns,
            pool=self._pool,
            identity=claim.run,
            batches=batches,
            offset_s=float(message["offset_s"]),
        )
        with self._claiming:
            if self._claim is not claim or not claim.holds:
                raise ExecutionError(f"{self.name}: the run was given up while it was prepared")
            self._session = session
        threading.Thread(target=self._watch, args=(claim, session), name="lease", daemon=True).start()
        return {"programs": {run.name: program_digest(run) for run in runs}}

    def _watch(self, claim: Claim, session: Session) -> None:
        """Give a run up whose coordinator is not heard of any more."""
        while not session.closed:
            left_s = claim.end_s - time.monotonic()
            if left_s <= 0:
                session.close()
            time.sleep(min(max(left_s, 0.0), 1.0))

    def _give_up(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def _held(self, message: dict[str, Any], caller: Caller) -> Session:
        """The run that a call is of, which only its own coordinator may ask of."""
        session = self.session(message["run"])
        claim = self._claim
        if claim is None or claim.run != session.identity or claim.caller.name != caller.name:
            raise NotAuthorised(f"{caller} asks of a run of {'nobody' if claim is None else claim.caller}")
        claim.renew(session.options.patience_s + LEASE_S)
        return session

    def start(self, message: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Begin at a common time."""
        self._cpu_s = time.process_time()
        self._held(message, caller).start(float(message["start_s"]))
        return {}

    def wait(self, message: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """What is new of this actor's stages, as `Session.report` tells it."""
        report = self._held(message, caller).report(
            max(0, int(message["rows"])),
            max(0, int(message["failures"])),
            int(message["urgent"]),
            min(float(message["patience_s"]), WAIT_S),
        )
        return {**report, "cpu_s": time.process_time() - self._cpu_s}

    def change(self, message: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Give leaves up, and begin spare programs in their place."""
        self._held(message, caller).change(message["drop"], message["begin"], float(message["start_s"]))
        return {}

    def results(self, message: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Pictures and final latents that are at this actor, by program and chain."""
        images: dict[str, dict[str, Any]] = {}
        latents: dict[str, dict[str, Any]] = {}
        for of, walk in self._held(message, caller).walks.items():
            for name in walk.stores.keys() - walk.run.shared:
                stages = walk.run.stages_of(name)
                pixels = walk.stores[name].get("image", {}).get("pixels")
                if image_holder(stages) == self.name and pixels is not None:
                    images.setdefault(of, {})[name] = array_to_plain(pixels.numpy())
                latent = walk.stores[name].get("state", {}).get("latent")
                if latent_holder(stages) == self.name and latent is not None:
                    latents.setdefault(of, {})[name] = array_to_plain(latent.numpy())
        return {"images": images, "latents": latents}

    def abort(self, message: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Close a run, ended or not; tells the stages in progress and whether they have left their threads."""
        session, claim = self._session, self._claim
        if claim is not None and claim.run == message["run"]:
            if claim.caller.name != caller.name:
                raise NotAuthorised(f"{caller} would end a run of {claim.caller}")
            claim.end()
        if session is None or session.identity != message["run"]:
            return {"active": [], "idle": True}
        active = session.active()
        session.close()
        idle = session.drain(0.5)
        self._session = None
        return {"active": active, "idle": idle}

    def signal(self, message: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Another actor's stage has ended."""
        session = self.session(message["run"])
        session.signal(caller.name, str(message["user"]), int(message["index"]), float(message["due_s"]))
        return {}

    def measure(self, message: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Time a stage by itself, or by turns with the reference kernel where its working set is given."""
        self._require_rest()
        rows = message["rows"]
        probe = Probe(
            kind=str(message["kind"]),
            rows=(int(rows[0]), int(rows[1])) if rows else None,
            scheduler=str(message["scheduler"]),
            steps=int(message["steps"]),
            codec=str(message["codec"]),
            gap_s=float(message["gap_s"]),
        )
        samples, beside_byte = int(message["samples"]), int(message.get("reference_byte", 0))
        with self._turns.turn(time.monotonic(), threading.Event()):
            if beside_byte:
                pairs = measure_beside(self._model, probe, samples, reference_kernel(beside_byte))
                return {"cpu_s": [used for used, _ in pairs], "reference_s": [used for _, used in pairs]}
            found = measure(self._model, probe, samples)
        return {"samples_s": [wall for wall, _ in found], "cpu_s": [used for _, used in found]}

    def probe(self, message: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Measure the link to another actor, as `link_probe.measure` tells it."""
        self._require_rest()
        peer = Peer(str(message["to"]), str(message["address"]), self._identity)
        try:
            return probe_link(peer, float(message["most_s"])).to_dict()
        finally:
            peer.close()

    def transfer(self, message: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Time bytes that a connected peer drops, sent after a rest on a stream that is open by then."""
        size, begin_s = int(message["byte"]), 0.0
        known = self._peers.get(str(message["to"]))
        if known is None or not 0 < size <= PIECE_BYTE:
            raise ExecutionError(f"{self.name} sends no {size} byte to {message['to']!r}")

        def pieces() -> Iterator[bytes]:
            nonlocal begin_s
            yield b"-"
            time.sleep(min(5.0, float(message["rest_s"])))
            begin_s = time.monotonic()
            yield bytes(size)

        reply = known.echo(pieces(), min(60.0, float(message["patience_s"])))
        return {"duration_s": float(reply["end_s"]) - begin_s}

    def _require_rest(self) -> None:
        claim = self._claim
        if claim is not None and claim.holds:
            raise ExecutionError(f"{self.name}: {claim.words}")

    def _connect(self, addresses: dict[str, str], *, shaped: bool) -> None:
        for name, address in addresses.items():
            known = self._peers.get(name)
            if known is None or known.address != address:
                if known is not None:
                    known.close()
                self._peers[name] = Peer(name, address, self._identity)
            self._peers[name].warm_up(*((1, 64) if shaped else ()))  # a slow link is not filled up

    def _warm_up(self, run: Run) -> None:
        for leaf in leaves(run.program):
            if isinstance(leaf, Send):
                declared = payload_byte(leaf.tensors, leaf.precision) if leaf.precision not in CODECS else 0
                if declared > RUN_BYTE:
                    raise MalformedMessage(f"{leaf.label}: {declared} byte, where at most {RUN_BYTE} byte are taken")
                if self.name == leaf.source or self.name in leaf.to:
                    self._once(("send", leaf), partial(rehearse, leaf))
            elif leaf.at == self.name:
                probe = Probe(
                    kind=leaf.kind,
                    rows=leaf.rows,
                    scheduler=run.scheduler,
                    steps=run.steps,
                    codec=leaf.codec or "png",
                )
                self._once(probe, partial(measure, self._model, probe, 1, warm_up=1))

    def _warm_up_batches(self, batches: BatchSchedule, runs: list[Run]) -> None:
        """A pass of each size that a batch has."""
        model = together(self._model)
        chains = {chain.name: (chain, run) for run in runs for chain in run.chains}
        for size in sorted({len(batch) for batch in batches.batches}):
            chain, run = chains[batches.batches[0][0]]
            how: dict[str, Any] = {"scheduler": run.scheduler, "steps": run.steps}
            request = {name: torch.from_numpy(value.copy()) for name, value in chain.request.items()}
            given = [self._model.encode_prompt(request)] * size
            states = [self._model.start(chain.seed, **how)] * size
            task = partial(
                model.denoise_together, states, given, schedulers=[run.scheduler] * size, steps=run.steps, at=[0] * size
            )
            self._once(("batch", size, *how.values()), task)

    def _once(self, key: Hashable, task: Callable[[], object]) -> None:
        if key not in self._warm:
            task()
            self._warm.add(key)
