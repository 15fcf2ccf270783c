"""What an actor's process does for the coordinator: prepare, start, wait, change, results, abort, measure."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch

from megdt_opt.errors import ExecutionError
from megdt_opt.execution.batch_schedule import BatchSchedule
from megdt_opt.execution.batch_steps import together
from megdt_opt.execution.clock import Turns
from megdt_opt.execution.digest import program_digest
from megdt_opt.execution.graph import image_holder, latent_holder
from megdt_opt.execution.job import ExecutionOptions, Probe, Run
from megdt_opt.execution.plain import array_to_plain
from megdt_opt.execution.probe import measure
from megdt_opt.execution.rpc import Peer
from megdt_opt.execution.serial import rehearse
from megdt_opt.execution.session import Session
from megdt_opt.models.split_model import SplitModel
from megdt_opt.program.stages import Send, leaves

WALKERS = 256
"""Stages that one actor can have under way at once."""


class Actor:
    """One actor's process.

    Parameters
    ----------
    name : str
        Name of the actor.
    model : SplitModel
        The model.
    token : str
        Secret of the cluster.
    load_s : float
        Seconds that loading the model took [s].
    """

    def __init__(self, name: str, model: SplitModel, token: str, *, load_s: float = 0.0) -> None:
        self.name = name
        self._load_s = load_s
        self._model = model
        self._token = token
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

    def ping(self, message: dict[str, Any]) -> dict[str, Any]:
        """Answer with the facts of this process."""
        return {
            "actor": self.name,
            "pid": os.getpid(),
            "load_s": self._load_s,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "python": sys.version.split()[0],
        }

    def prepare(self, message: dict[str, Any]) -> dict[str, Any]:
        """Take a run, connect to the peers and warm up what it needs."""
        runs = [Run.from_dict(r) for r in message["runs"]]
        spares = [Run.from_dict(r) for r in message["spares"]]
        options = ExecutionOptions.from_dict(message["options"])
        self._connect({str(k): str(v) for k, v in message["peers"].items() if k != self.name})
        for run in (*runs, *spares):
            options.check_held(self.name, run)
            self._warm_up(run)
        planned = message.get("batches")
        batches = None if planned is None else BatchSchedule.from_dict(planned)
        if batches is not None and batches.edge != self.name:
            batches = None
        if batches is not None:
            self._warm_up_batches(batches, runs)
        self._session = Session(
            actor=self.name,
            runs=runs,
            spares=spares,
            options=options,
            model=self._model,
            peers=self._peers,
            turns=self._turns,
            pool=self._pool,
            identity=str(message["run"]),
            batches=batches,
        )
        return {"programs": {run.name: program_digest(run) for run in runs}}

    def start(self, message: dict[str, Any]) -> dict[str, Any]:
        """Begin at a common time."""
        self._cpu_s = time.process_time()
        self.session(message["run"]).start(float(message["start_s"]))
        return {}

    def wait(self, message: dict[str, Any]) -> dict[str, Any]:
        """What is new of this actor's stages, as `Session.report` tells it."""
        report = self.session(message["run"]).report(
            int(message["rows"]), int(message["failures"]), int(message["urgent"]), float(message["patience_s"])
        )
        return {**report, "cpu_s": time.process_time() - self._cpu_s}

    def change(self, message: dict[str, Any]) -> dict[str, Any]:
        """Give leaves up, and begin spare programs in their place."""
        self.session(message["run"]).change(message["drop"], message["begin"], float(message["start_s"]))
        return {}

    def results(self, message: dict[str, Any]) -> dict[str, Any]:
        """Pictures and final latents that are at this actor, by program and chain."""
        images: dict[str, dict[str, Any]] = {}
        latents: dict[str, dict[str, Any]] = {}
        for of, walk in self.session(message["run"]).walks.items():
            for name in walk.stores.keys() - walk.run.shared:
                stages = walk.run.stages_of(name)
                pixels = walk.stores[name].get("image", {}).get("pixels")
                if image_holder(stages) == self.name and pixels is not None:
                    images.setdefault(of, {})[name] = array_to_plain(pixels.numpy())
                latent = walk.stores[name].get("state", {}).get("latent")
                if latent_holder(stages) == self.name and latent is not None:
                    latents.setdefault(of, {})[name] = array_to_plain(latent.numpy())
        return {"images": images, "latents": latents}

    def abort(self, message: dict[str, Any]) -> dict[str, Any]:
        """Close a run, ended or not; tells the stages in progress and whether they have left their threads."""
        session = self._session
        if session is None or session.identity != message["run"]:
            return {"active": [], "idle": True}
        active = session.active()
        session.close()
        idle = session.drain(0.5)
        self._session = None
        return {"active": active, "idle": idle}

    def signal(self, message: dict[str, Any]) -> dict[str, Any]:
        """Another actor's stage has ended."""
        session = self.session(message["run"])
        session.signal(str(message["user"]), int(message["index"]), float(message["due_s"]))
        return {}

    def measure(self, message: dict[str, Any]) -> dict[str, Any]:
        """Time a stage by itself."""
        rows = message["rows"]
        probe = Probe(
            kind=str(message["kind"]),
            rows=(int(rows[0]), int(rows[1])) if rows else None,
            scheduler=str(message["scheduler"]),
            steps=int(message["steps"]),
            codec=str(message["codec"]),
            gap_s=float(message["gap_s"]),
        )
        with self._turns.turn(time.monotonic(), threading.Event()):
            return {"samples_s": measure(self._model, probe, int(message["samples"]))}

    def _connect(self, addresses: dict[str, str]) -> None:
        for name, address in addresses.items():
            known = self._peers.get(name)
            if known is None or known.address != address:
                if known is not None:
                    known.close()
                self._peers[name] = Peer(name, address, self._token)
            self._peers[name].warm_up()

    def _warm_up(self, run: Run) -> None:
        for leaf in leaves(run.program):
            if isinstance(leaf, Send):
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
            self._once(
                ("batch", size, *how.values()), partial(model.denoise_together, states, given, **how, at=[0] * size)
            )

    def _once(self, key: Hashable, task: Callable[[], object]) -> None:
        if key not in self._warm:
            task()
            self._warm.add(key)
