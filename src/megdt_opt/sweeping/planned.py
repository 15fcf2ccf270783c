"""Planning the cells of a sweep: those of one table of options together, in this process or in others."""

from __future__ import annotations

import sys
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from secrets import token_hex
from typing import Any

from megdt_opt.errors import InvalidInput, MegdtError
from megdt_opt.models.registry import find_spec
from megdt_opt.problem.batch_problem import OBJECTIVES
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.registry import load_plugins, loaded_plugins
from megdt_opt.scenario.machines import find_profiles
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.scenario.varied import can_vary, varied
from megdt_opt.solving.batch.door import prepare_batches
from megdt_opt.solving.closing import prepare_for
from megdt_opt.sweeping.cache import Cache, inputs_of, profile_digest
from megdt_opt.sweeping.cell import Settings, compute, refused
from megdt_opt.sweeping.grid import Cell
from megdt_opt.sweeping.together import LEAST, compute_together, together
from megdt_opt.timing.finding import Profiles
from megdt_opt.timing.profile import TimingProfile

PIECE = 512
"""Most cells that are planned together [1]."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One cell to plan.

    Parameters
    ----------
    key : object
        By which its result is known.
    cell : Cell
    inputs : mapping, optional
        All that the result depends on, where it is kept.
    cache : Cache, optional
        Where to keep it.
    """

    key: Hashable
    cell: Cell
    inputs: Mapping[str, Any] | None = None
    cache: Cache | None = None

    @property
    def where(self) -> str:
        """The cell in a sentence, for messages."""
        return f"The cell of the sweep: {self.cell.label}."


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Cells of one table of options, with all that planning them needs.

    `token` tells one sweep from another, `batch` says whether they are solved together, however they are divided, and
    `ready` that all of them are solved by the same code, compiled before if need be.
    """

    tasks: tuple[Task, ...]
    profiles: Mapping[str, TimingProfile]
    spec: ModelSpec
    settings: Settings
    token: str
    batch: bool
    ready: bool = False
    threads: int | None = None


Result = tuple[Task, dict[str, Any], Exception | None]
"""A cell, its result, and why it could not be planned at all."""


class Sources:
    """Profiles, digests and specifications of the scenarios of a sweep, each looked for once.

    Parameters
    ----------
    known : mapping of str to TimingProfile or path, or None
        As `sweep` takes profiles.
    settings : Settings
    """

    def __init__(self, known: Profiles | None, settings: Settings) -> None:
        self.known, self.settings = known, settings
        self.profiles: dict[str, TimingProfile] = {}
        self.digests: dict[str, str] = {}
        self.specs: dict[tuple[str, float | None, str | None], ModelSpec] = {}
        self.token = token_hex(8)

    def of(self, scenario: Scenario) -> tuple[dict[str, TimingProfile], ModelSpec]:
        """Profiles and specification of a scenario; raises as `find_profiles` and `find_spec` do."""
        names = scenario.profile_names
        if not self.profiles.keys() >= set(names):
            self.profiles |= find_profiles(scenario, {**(self.known or {}), **self.profiles})
        model = (scenario.model, scenario.guidance, scenario.controlnet)
        if model not in self.specs:
            self.specs[model] = find_spec(*model)
        return {name: self.profiles[name] for name in names}, self.specs[model]

    def inputs(self, scenario: Scenario) -> dict[str, Any]:
        """All that a scenario's result depends on, as `inputs_of` has it."""
        profiles, spec = self.of(scenario)
        self.digests |= {n: profile_digest(profile) for n, profile in profiles.items() if n not in self.digests}
        return inputs_of(scenario, {name: self.digests[name] for name in profiles}, spec, self.settings)

    def pieces(self, tasks: Iterable[Task]) -> list[Piece]:
        """The tasks in pieces of at most `PIECE` cells of one table."""
        found = []
        for _, group in groupby(sorted(tasks, key=lambda task: task.cell.kin), key=lambda task: task.cell.kin):
            own = tuple(group)
            profiles, spec = self.of(own[0].cell.scenario)
            found += [
                Piece(
                    tasks=own[i : i + PIECE],
                    profiles=profiles,
                    spec=spec,
                    settings=self.settings,
                    token=self.token,
                    batch=len(own) >= LEAST,
                )
                for i in range(0, len(own), PIECE)
            ]
        return found


def prepare_code(scenarios: Iterable[Scenario]) -> None:
    """Load or compile the code by which scenarios are solved, so that which code it is does not depend on chance."""
    for objective in dict.fromkeys(scenario.objective for scenario in scenarios):
        prepare_for(objective)
        if objective in OBJECTIVES:
            prepare_batches(objective)


def run(
    pieces: Sequence[Piece], jobs: int | None, *, ready: bool = False
) -> Iterator[Iterable[tuple[Task, dict[str, Any], Exception | None]]]:
    """Plan pieces in this process, or as joblib's configuration or `jobs` says, and give each as it is done."""
    wanted = _wanted(jobs)
    if wanted == 1:
        for piece in pieces:
            yield plan_piece(piece)
        return
    from joblib import Parallel, delayed

    workers = Parallel(n_jobs=wanted, return_as="generator_unordered")
    plugins = loaded_plugins()
    yield from workers(
        delayed(_in_process)(replace(piece, threads=1, ready=ready), plugins) for piece in _divided(pieces, wanted)
    )


def _wanted(jobs: int | None) -> int:
    """Number of processes, as joblib takes it: `jobs`, or what `joblib.parallel_config` says, or 1."""
    if "joblib" not in sys.modules:
        return 1 if jobs is None else jobs
    from joblib.parallel import DEFAULT_BACKEND, get_active_backend

    backend, count = get_active_backend()
    elsewhere = type(backend).__name__.lower() != f"{DEFAULT_BACKEND}backend"
    if jobs == 1 and elsewhere:
        expected = "no number, or another one, where joblib.parallel_config names a backend"
        raise InvalidInput("jobs", jobs, expected, "Leave it out, or leave the block of parallel_config.")
    return jobs or count or (-1 if elsewhere else 1)


def _divided(pieces: Sequence[Piece], jobs: int) -> Iterator[Piece]:
    """Pieces small enough for every process to have some."""
    count = sum(len(piece.tasks) for piece in pieces)
    size = max(1, min(PIECE, count // (4 * (jobs if jobs > 0 else 16))))
    for piece in pieces:
        for i in range(0, len(piece.tasks), size):
            yield replace(piece, tasks=piece.tasks[i : i + size])


def _in_process(piece: Piece, plugins: Any) -> list[Result]:
    load_plugins(plugins)
    if piece.ready:
        prepare_code(task.cell.scenario for task in piece.tasks)
    return list(plan_piece(piece))


def plan_piece(piece: Piece) -> Iterator[Result]:
    """Plan a piece's cells, and keep each result at once, in the process that planned it."""
    table = _table(piece)
    results: Sequence[dict[str, Any] | None] = [None] * len(piece.tasks)
    if table is not None and piece.batch:
        results = _together(piece, table)
    for task, found in zip(piece.tasks, results, strict=True):
        error: Exception | None = None
        result = found
        if result is None:
            own = None if table is None else varied(table, task.cell.scenario)
            try:
                result = compute(task.cell.scenario, piece.profiles, piece.spec, piece.settings, own)
            except Exception as caught:  # one bad cell ends no sweep, whatever is wrong with it
                error = _placed(caught, task)
                result = refused(task.cell.scenario, error)
        # a solver's failure may be the machine's, so it is tried again next time
        if task.cache is not None and task.inputs is not None and result["cell"]["status"] != "failed":
            task.cache.store(task.inputs, result)
        yield task, result, error


def _together(piece: Piece, table: OptionTable) -> Sequence[dict[str, Any] | None]:
    """Results of the cells that a batch settles; None for the others."""
    try:
        if together(table, piece.settings):
            scenarios = [task.cell.scenario for task in piece.tasks]
            return compute_together(table, scenarios, piece.settings, piece.threads)
    except MegdtError:  # said of each cell when it is planned alone
        pass
    return [None] * len(piece.tasks)


_TABLES = 8
"""Tables that a process keeps at a time [1]."""

_tables: dict[tuple[str, tuple[int, ...]], OptionTable] = {}


def _table(piece: Piece) -> OptionTable | None:
    """The table that the cells of a piece share; None where they have one each, or it cannot be made."""
    first, key = piece.tasks[0].cell, (piece.token, piece.tasks[0].cell.kin)
    if key in _tables:
        return _tables[key]
    if not (piece.batch or len(piece.tasks) > 1) or not can_vary(first.scenario):
        return None
    try:
        table = OptionTable.build(first.scenario, piece.profiles, spec=piece.spec)
    except MegdtError:
        return None
    if len(_tables) >= _TABLES:
        _tables.pop(next(iter(_tables)))
    _tables[key] = table
    return table


def _placed(error: Exception, task: Task) -> Exception:
    """The error with the cell in which it came up."""
    if isinstance(error, InvalidInput):
        return InvalidInput(error.field, error.value, error.expected, f"{error.remedy} {task.where}")
    return type(error)(f"{error} {task.where}") if isinstance(error, MegdtError) else error
