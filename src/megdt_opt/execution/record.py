"""What was measured: one row per stage and user, beside what was predicted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.execution.plain import array_from_plain, array_to_plain
from megdt_opt.files import read_json, write_text

if TYPE_CHECKING:
    import pandas as pd

FORMAT = "megdt_opt execution 1"


@dataclass(frozen=True, kw_only=True)
class StageRow:
    """One executed leaf stage. Times count from the common start of all users.

    Parameters
    ----------
    user : str
        User; of common steps, "common steps: " and all users who share them.
    index : int
        Position of the leaf in the user's program, or in that of its group.
    label, actor, kind : str
        What was done, by whom; the kind of a send is "send <payload>".
    predicted_start_s, predicted_duration_s : float
        Prediction [s].
    start_s, end_s : float
        Measured [s]; a send ends when the last receiver has the payload.
    busy_s : float
        Seconds of real compute [s].
    cpu_s : float
        Processor seconds of it, of the stage's own thread, in kernel mode of the whole process while the stage ran, as
        its quota counts them [s]; 0 for sends, and where they were not taken.
    waiting_s : float
        From when the stage was due to when its compute or serialisation began, with the waiting for
        the processor between steps [s].
    serialise_s : float
        Serialisation and its inverse [s]; they happen inside the link's time.
    payload_byte : int
        Bytes on the air; a receiver takes no other number of them than was announced [byte]; a multicast's once.
    overrun_s : float
        By how much a paced slot, or a link in either mode, ended too late [s]; 0 within the declared
        slack.
    late_steps : int
        Steps that ended after their own slot [1].
    step_s : tuple of tuple of float
        Begin and end of each step that was made in a batch with other chains [s]; empty for other stages.
    wire_byte : int
        Bytes that the sender's interface has sent meanwhile, headers and the connection's other bytes included [byte];
        0 where it is not counted.
    signals : int
        Other actors who were told that the stage has ended, and got nothing else of it [1].
    signalling_byte : int
        Bytes of these signals, and of envelope, header and acknowledgement of a payload, as they are encoded [byte].
    copies : int
        Copies of the payload that the transport carried [1]: it has no multicast, so one for each receiver.
    shared : bool
        Whether several users wait for the stage; it counts among no user's own.
    fallback : bool
        Whether the stage belongs to what a device made by itself after its user was cut off; its prediction counts from
        there, and `index` in a program of its own.
    """

    user: str
    index: int
    label: str
    actor: str
    kind: str
    predicted_start_s: float
    predicted_duration_s: float
    start_s: float
    end_s: float
    busy_s: float = 0.0
    cpu_s: float = 0.0
    waiting_s: float = 0.0
    serialise_s: float = 0.0
    payload_byte: int = 0
    overrun_s: float = 0.0
    late_steps: int = 0
    step_s: tuple[tuple[float, float], ...] = ()
    wire_byte: int = 0
    signals: int = 0
    signalling_byte: int = 0
    copies: int = 1
    shared: bool = False
    fallback: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "step_s", tuple((float(begin), float(end)) for begin, end in self.step_s))


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What cut a user off from the program that was planned for it.

    Parameters
    ----------
    user : str
    cause : str
        The actor that was lost or the stage that failed, and how.
    at_s : float
        When the user was cut off, after the common start [s].
    fell_back : bool
        Whether its device then made the whole picture by itself; else the user has none.

    Examples
    --------
    >>> from megdt_opt.execution import Fault
    >>> Fault(user="tablet", cause="the process of hall-2 ended", at_s=1.25, fell_back=True).words
    'tablet was cut off after 1.25 s, and its device made the whole picture by itself: the process of hall-2 ended.'
    """

    user: str
    cause: str
    at_s: float
    fell_back: bool

    @property
    def words(self) -> str:
        """What happened, in a sentence."""
        end = "its device made the whole picture by itself" if self.fell_back else "it has no picture"
        return f"{self.user} was cut off after {self.at_s:.3g} s, and {end}: {self.cause}."


@dataclass(frozen=True, kw_only=True)
class Execution:
    """A run.

    Parameters
    ----------
    rows : tuple of StageRow
        Every stage of every user, in program order.
    mode : str
        "paced", "raw" or "kernel".
    stretch : mapping of str to float
        Declared stretch of each actor's compute [1]; an actor that is not named has 1.
    environment : mapping
        Processor, cores, threads, versions.
    cpu_s : mapping of str to float
        Processor seconds of each actor's process during the run [s], overheads included.
    images : mapping of str to array
        Each user's picture, uint8 (1, rows, columns, 3), where it is decoded.
    latents : mapping of str to array
        Each user's final latent, float32, where it is whole.
    programs : mapping of str to (mapping of str to str)
        Digest of each program that each actor executed (`digest.program_digest`), by actor and program.
    faults : tuple of Fault
        Users who were cut off from what was planned for them. Rows of stages that did not end are missing, and those of
        a process that was lost may be.
    world : mapping
        What was set outside the executor, as it was read back, and what was counted there; empty where nothing was.

    Examples
    --------
    >>> from megdt_opt import Execution
    >>> Execution(rows=(), mode="paced", stretch={}, environment={}).mode
    'paced'
    """

    rows: tuple[StageRow, ...]
    mode: str
    stretch: Mapping[str, float]
    environment: Mapping[str, Any]
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    images: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    latents: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    programs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    world: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Execution: {self.mode}, {len(self.users)} users, {len(self.rows)} stages, {self.wall_s:.3g} s>"

    @property
    def users(self) -> tuple[str, ...]:
        """Users with a picture, in the order of the run."""
        return tuple(dict.fromkeys(row.user for row in self.rows if not row.shared and row.user not in self.lost))

    @property
    def lost(self) -> tuple[str, ...]:
        """Users without a picture."""
        return tuple(fault.user for fault in self.faults if not fault.fell_back)

    @property
    def predicted_s(self) -> dict[str, float]:
        """Predicted end-to-end latency of each user [s]; of one who was cut off, as predicted from there."""
        alone = {fault.user for fault in self.faults}
        return {
            user: max(
                row.predicted_start_s + row.predicted_duration_s
                for row in self.rows
                if row.user == user and row.fallback == (user in alone)
            )
            for user in self.users
        }

    @property
    def measured_s(self) -> dict[str, float]:
        """Measured end-to-end latency of each user [s]."""
        return {user: max(r.end_s for r in self.rows if r.user == user) for user in self.users}

    @property
    def error_percent(self) -> dict[str, float]:
        """End-to-end error of each user, measured against predicted [%]."""
        measured = self.measured_s
        return {user: _percent(measured[user], p) for user, p in self.predicted_s.items()}

    @property
    def wall_s(self) -> float:
        """Time from the common start to the end of the last stage [s]."""
        return max(row.end_s for row in self.rows)

    @property
    def busy_fraction(self) -> float:
        """Busy compute seconds over wall seconds times cores [1]."""
        return sum(row.busy_s for row in self.rows) / (self.wall_s * float(self.environment["cores"]))

    @property
    def overruns(self) -> tuple[StageRow, ...]:
        """Stages that ended after their slot."""
        return tuple(row for row in self.rows if row.overrun_s > 0)

    def compare(self) -> pd.DataFrame:
        """Predicted and measured, one line a stage.

        Returns
        -------
        pandas.DataFrame
            The fields of `StageRow` with `predicted_end_s`, `duration_s`, `start_error_s`, `end_error_s`
            and `duration_error_s` [s] and `duration_error_percent` [%], each measured less predicted.
        """
        import pandas as pd

        frame = pd.DataFrame([asdict(row) for row in self.rows])
        frame["predicted_end_s"] = frame["predicted_start_s"] + frame["predicted_duration_s"]
        frame["duration_s"] = frame["end_s"] - frame["start_s"]
        frame["start_error_s"] = frame["start_s"] - frame["predicted_start_s"]
        frame["end_error_s"] = frame["end_s"] - frame["predicted_end_s"]
        frame["duration_error_s"] = frame["duration_s"] - frame["predicted_duration_s"]
        frame["duration_error_percent"] = [
            _percent(m, p) for m, p in zip(frame["duration_s"], frame["predicted_duration_s"], strict=True)
        ]
        return frame

    def summary(self) -> dict[str, Any]:
        """The run in a few numbers, as plain data."""
        measured, predicted, error = self.measured_s, self.predicted_s, self.error_percent
        return {
            "mode": self.mode,
            "stretch": dict(self.stretch),
            "users": {
                user: {
                    "predicted_s": predicted[user],
                    "measured_s": measured[user],
                    "error_percent": error[user],
                    "waiting_s": sum(r.waiting_s for r in self.rows if r.user == user),
                    "serialise_s": sum(r.serialise_s for r in self.rows if r.user == user),
                    "overrun_s": sum(r.overrun_s for r in self.rows if r.user == user),
                }
                for user in self.users
            },
            "overruns": len(self.overruns),
            "late_steps": sum(row.late_steps for row in self.rows),
            "busy_fraction": self.busy_fraction,
            "wall_s": self.wall_s,
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back, pictures included."""
        return {
            "format": FORMAT,
            "mode": self.mode,
            "stretch": dict(self.stretch),
            "environment": dict(self.environment),
            "cpu_s": dict(self.cpu_s),
            "programs": {actor: dict(found) for actor, found in self.programs.items()},
            "summary": self.summary(),
            "rows": [asdict(row) for row in self.rows],
            "images": {user: array_to_plain(image) for user, image in self.images.items()},
            "latents": {user: array_to_plain(latent) for user, latent in self.latents.items()},
            "faults": [asdict(fault) for fault in self.faults],
            "world": dict(self.world),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Execution:
        """Build from plain data.

        Raises
        ------
        InvalidInput
            If the data are not an execution's.
        """
        try:
            if data["format"] != FORMAT:
                raise ValueError(f"format {data['format']!r}")
            names = {f.name for f in fields(StageRow)}
            rows = tuple(StageRow(**{k: v for k, v in row.items() if k in names}) for row in data["rows"])
            return cls(
                rows=rows,
                mode=str(data["mode"]),
                stretch={str(k): float(v) for k, v in data["stretch"].items()},
                environment=dict(data["environment"]),
                cpu_s={str(k): float(v) for k, v in data["cpu_s"].items()},
                images={str(k): array_from_plain(v) for k, v in data["images"].items()},
                latents={str(k): array_from_plain(v) for k, v in data["latents"].items()},
                faults=tuple(Fault(**fault) for fault in data.get("faults", ())),
                programs={str(k): dict(v) for k, v in data.get("programs", {}).items()},
                world=dict(data.get("world", {})),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, InvalidInput):
                raise
            raise InvalidInput(
                "execution", type(data).__name__, f"a record of format {FORMAT!r}", f"Look at its field {error}."
            ) from error

    def save(self, path: str | Path) -> None:
        """Write the record as JSON, whole or not at all."""
        write_text(path, json.dumps(self.to_dict(), allow_nan=False))

    @classmethod
    def load(cls, path: str | Path) -> Execution:
        """Read a record.

        Raises
        ------
        InvalidInput
            If the file holds no record.
        """
        data = read_json(path, "execution file", fmt=FORMAT, remedy="Execute the plan again.")
        try:
            return cls.from_dict(data)
        except InvalidInput as error:
            raise error.within(str(path)) from None


def _percent(measured: float, predicted: float) -> float:
    if predicted == 0:
        return 0.0 if measured == 0 else float("nan")
    return 100 * (measured - predicted) / predicted
