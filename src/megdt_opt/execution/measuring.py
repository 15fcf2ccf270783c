"""What a cluster measures in its actors' processes: stages by themselves, the reference kernel, transfers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from megdt_opt.errors import ExecutionTimeout, InvalidInput
from megdt_opt.execution.job import Probe
from megdt_opt.execution.process import ActorProcess
from megdt_opt.execution.remote import RemoteActor
from megdt_opt.execution.rpc import Peer
from megdt_opt.models.split_model import Rows


class Measuring(ABC):
    """Measurements of a cluster whose processes are started on demand; `Cluster` is one."""

    actors: tuple[str, ...]
    _peers: dict[str, Peer]
    _processes: dict[str, ActorProcess | RemoteActor]
    _start_timeout_s: float

    @abstractmethod
    def start(self) -> None:
        """Start the processes that do not run."""

    def measure(self, actor: str, probe: Probe, samples: int = 10) -> list[float]:
        """Time a compute stage by itself in an actor's process, warm-up excluded.

        Parameters
        ----------
        actor : str
            Whose process.
        probe : Probe
            The stage.
        samples : int
            Timed repetitions.

        Returns
        -------
        list of float
            Each sample [s]; for denoising, of single steps that walk through the chain.

        Raises
        ------
        ExecutionTimeout
            If it takes longer than a process has to start; the process is ended, and started again by the next call.
        """
        return [float(s) for s in self._measured(actor, probe, samples)["samples_s"]]

    def measure_beside(
        self, actor: str, probe: Probe, weight_byte: int, samples: int = 10
    ) -> list[tuple[float, float]]:
        """As `measure`, by turns with the reference kernel of a working set (`models.reference`).

        Returns
        -------
        list of (float, float)
            Processor seconds of the stage and of the kernel [s].
        """
        reply = self._measured(actor, probe, samples, reference_byte=weight_byte)
        return [(float(used), float(ref)) for used, ref in zip(reply["cpu_s"], reply["reference_s"], strict=True)]

    def _measured(self, actor: str, probe: Probe, samples: int, **more: int) -> dict[str, Any]:
        if samples < 1:
            raise InvalidInput("samples", samples, "at least 1", "Ask for one or more.")
        self.start()
        message = {**asdict(probe), "samples": samples, **more}
        try:
            return self._peers[actor].call("measure", message, self._start_timeout_s)
        except ExecutionTimeout:
            self._processes[actor].kill()  # it would go on computing; `start` makes another
            raise

    def measure_together(
        self, names: Sequence[str], probe: Probe, samples: int
    ) -> dict[str, list[tuple[float, float]]]:
        """As `measure`, in the processes of several actors at the same time.

        Returns
        -------
        dict of str to list of (float, float)
            Wall and processor seconds of each sample, by actor [s].
        """
        message = {**asdict(probe), "samples": samples}
        calls = {name: self._peers[name].begin("measure", message, self._start_timeout_s) for name in names}
        replies = {name: self._peers[name].finish(call) for name, call in calls.items()}
        return {
            name: [(float(w), float(c)) for w, c in zip(reply["samples_s"], reply["cpu_s"], strict=True)]
            for name, reply in replies.items()
        }

    def transfer(self, source: str, to: str, size_byte: int, *, rest_s: float = 0.3, patience_s: float = 60.0) -> float:
        """Seconds that bytes which are dropped take from an actor to one it is connected to [s], after a rest."""
        message = {"to": to, "byte": size_byte, "rest_s": rest_s, "patience_s": patience_s}
        return float(self._peers[source].call("transfer", message, patience_s + 1.0)["duration_s"])

    def calibrate(
        self,
        probes: Iterable[Probe | str],
        samples: int = 10,
        *,
        actors: Iterable[str] | None = None,
        rounds: int = 2,
    ) -> dict[tuple[str, str, Rows | None], list[float]]:
        """Time stages in every actor's process, one actor at a time.

        Parameters
        ----------
        probes : iterable of Probe or Kind
            What to time.
        samples : int
            Samples of each actor and probe.
        actors : iterable of str, optional
            Which actors; all by default.
        rounds : int
            The samples are taken in this many rounds over all actors and probes, so that a drift of
            the machine falls on all of them alike.

        Returns
        -------
        dict
            (actor, kind, rows) to the samples [s].
        """
        wanted = [p if isinstance(p, Probe) else Probe(kind=p) for p in probes]
        names = list(actors) if actors is not None else list(self.actors)
        rounds = max(1, min(rounds, samples))
        found: dict[tuple[str, str, Rows | None], list[float]] = {}
        for number in range(rounds):
            part = samples // rounds + (number < samples % rounds)
            for actor in names:
                for probe in wanted:
                    key = (actor, str(probe.kind), probe.rows)
                    found.setdefault(key, []).extend(self.measure(actor, probe, part))
        return found
