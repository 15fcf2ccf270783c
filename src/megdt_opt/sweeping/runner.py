"""Running a sweep: cells to results, from the cache or by planning, then to tables."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from megdt_opt.errors import InvalidInput
from megdt_opt.files import try_folder
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.sweeping.cache import Cache, digest
from megdt_opt.sweeping.cell import COUNTS, TEXTS, Settings, Solving, all_columns, mechanisms_of, users_columns
from megdt_opt.sweeping.grid import Cell, Over, cells_of
from megdt_opt.sweeping.planned import Sources, Task, run
from megdt_opt.timing.finding import Profiles, check_used

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[int, int, str], None]
"""Called with cells done, cells in all, and the cell that was done."""


@dataclass(frozen=True, kw_only=True)
class SweepResult:
    """Tables of a sweep.

    Parameters
    ----------
    cells : pandas.DataFrame
        One row per cell and seed, as `sweep` describes it.
    users : pandas.DataFrame
        One row per cell, seed and user, as `sweep_users` describes it.
    computed, remembered : int
        Cells that were planned now, and cells that came from the cache [1].
    """

    cells: pd.DataFrame
    users: pd.DataFrame
    computed: int
    remembered: int


def sweep(
    scenario: Scenario | str | Path,
    over: Over,
    seeds: Iterable[int] | None = None,
    profiles: Profiles | None = None,
    jobs: int | None = None,
    cache: str | Path | None = None,
    on_progress: Progress | None = None,
    **solving: Unpack[Solving],
) -> pd.DataFrame:
    """Plan a scenario over a grid of its fields and over seeds.

    Parameters
    ----------
    scenario : Scenario, str or Path
        What all cells start from: a scenario, the path of its file or a bundled name.
    over : mapping
        Dotted path of a field -> its values, as a scenario file would state them: {"channel.downlink": ["1 MHz",
        "2 MHz"], "steps": [10, 20], "users.*.deadline": ["2 s", None]}. Behind "users." stands a user's name, or
        "*" for all. The path "users" alone takes numbers of users: the first ones, or copies of all in turn. A tuple
        of paths takes tuples of values, for fields that change together. All combinations are planned. The key "rows"
        takes a measured trace, a CSV whose head names paths or a list of {path: value}: one cell a row, in which values
        may come twice, with the number of the row in the column "row".
    seeds : iterable of int, optional
        For each one, what is random is drawn again: shadowing, and scenes given by a seed. Default: nothing is.
    profiles : mapping of str to TimingProfile or path, optional
        Profiles at hand by name, or their files; they go before bundled ones.
    jobs : int, optional
        Processes [1]; -1 = one for each core. Solve times are only comparable with 1. Default: what
        `joblib.parallel_config` says, such as a Dask cluster, else 1.
    cache : str or Path, optional
        Folder that keeps the result of every cell under the hash of its scenario, profiles, settings and of the code
        that plans it, so that an interrupted or extended sweep plans only what is missing. A kept result that was
        altered, or does not fit its inputs, is planned again. Default: nothing is kept.
    on_progress : callable, optional
        Called with (cells done, cells in all, the cell done in words).
    method, gap, time_limit_s
        As `solve` takes them [-, 1, s].
    compare : bool
        Whether to compute the baselines; default True.

    Returns
    -------
    pandas.DataFrame
        One row per cell and seed, in the order of the grid. Columns: the swept fields with their unit in the name, in
        SI units, then "seed"; "users", "objective"; "status" ("optimal", "feasible", "infeasible" or "failed") and the
        "reason" of the latter two; "objective_s" and "lower_bound_s" (for "missed" weights [1], not seconds),
        "cost_part_s", what weighted costs add to the objective, "gap",
        "build_s" (options and arrays), "solve_s"; "users_MECHANISM", how many users run it (of those that you
        registered, the ones that users name); totals of "edge_s", "device_compute_j" and "messages"; the baselines'
        objectives "all_centralised_s", "all_local_s", "best_single_s" (of the mechanism "best_single"), "best_edge_s"
        (of the server "best_edge" alone, where there are several), "equal_shares_s", of an edge in turns or in batches
        "reserved_shares_s", and in batches "common_batch_s". Single baselines waive users' own limits, so they may be
        below the objective; "..._breaks" counts the users whose limits they break.

    Raises
    ------
    InvalidInput
        Where a path is unknown or a value does not fit, before anything is planned.
    ProfileError
        Where a profile is missing, before anything is planned.

    Examples
    --------
    >>> from megdt_opt import Scenario, sweep
    >>> cell = Scenario.from_yaml('''
    ... name: one phone
    ... channel: {downlink: 2 MHz, uplink: 1 MHz}
    ... users:
    ...   - name: phone
    ...     device: {profile: twin-cpu, stretch: 30}
    ...     downlink_efficiency: 4 bit/s/Hz
    ...     uplink_efficiency: 2 bit/s/Hz
    ... ''')
    >>> table = sweep(cell, {"channel.downlink": ["1 MHz", "2 MHz"]}, compare=False)
    >>> table["channel.downlink_hz"].tolist(), (table["status"] == "optimal").all().item()
    ([1000000.0, 2000000.0], True)
    """
    return run_sweep(scenario, over, seeds, profiles, jobs, cache, on_progress, **solving).cells


def sweep_users(
    scenario: Scenario | str | Path,
    over: Over,
    seeds: Iterable[int] | None = None,
    profiles: Profiles | None = None,
    jobs: int | None = None,
    cache: str | Path | None = None,
    on_progress: Progress | None = None,
    **solving: Unpack[Solving],
) -> pd.DataFrame:
    """Plan as `sweep` does; one row per user of every cell that has a plan.

    Parameters
    ----------
    scenario, over, seeds, profiles, jobs, cache, on_progress
        As for `sweep`.
    method, gap, time_limit_s, compare
        As for `sweep` [-, 1, s, -].

    Returns
    -------
    pandas.DataFrame
        The swept fields and "seed" as in `sweep`, then the columns of `Plan.to_frame`: user, mechanism, cut, shares
        [Hz, 1], latency [s], refresh rate [Hz] and costs.

    Raises
    ------
    InvalidInput, ProfileError
        As `sweep` does.

    Examples
    --------
    >>> from megdt_opt import Scenario, sweep_users
    >>> cell = Scenario.from_yaml('''
    ... name: one phone
    ... channel: {downlink: 2 MHz, uplink: 1 MHz}
    ... users:
    ...   - name: phone
    ...     device: {profile: twin-cpu, stretch: 30}
    ...     downlink_efficiency: 4 bit/s/Hz
    ...     uplink_efficiency: 2 bit/s/Hz
    ... ''')
    >>> table = sweep_users(cell, {"steps": [10, 20]}, compare=False)
    >>> table[["steps", "user"]].values.tolist()
    [[10, 'phone'], [20, 'phone']]
    """
    return run_sweep(scenario, over, seeds, profiles, jobs, cache, on_progress, **solving).users


def run_sweep(
    scenario: Scenario | str | Path,
    over: Over,
    seeds: Iterable[int] | None = None,
    profiles: Profiles | None = None,
    jobs: int | None = None,
    cache: str | Path | None = None,
    on_progress: Progress | None = None,
    **solving: Unpack[Solving],
) -> SweepResult:
    """Plan as `sweep` does, and give both tables."""
    if jobs is not None and (isinstance(jobs, bool) or not isinstance(jobs, int) or jobs == 0):
        raise InvalidInput("jobs", jobs, "a number of processes, or -1 for one a core", "Use 1.")
    settings = Settings(**solving)
    if cache is not None:
        try_folder(cache, "cache")
    kept = None if cache is None else Cache(Path(cache))
    scenario = Scenario.named(scenario)
    cells = cells_of(scenario, over, seeds)
    sources = Sources(profiles, settings)
    kinds = {cell.kin: cell.scenario for cell in cells}
    check_used(profiles, [name for scenario in kinds.values() for name in scenario.profile_names])
    for one in kinds.values():
        sources.of(one)
    keys, tasks = _tasks(cells, sources, kept)
    results: dict[Hashable, dict[str, Any]] = {}
    if kept is not None:
        results = {key: found for key in tasks if (found := kept.load(str(key))) is not None}
    remembered = len(results)
    if on_progress is not None and remembered:
        on_progress(remembered, len(tasks), "found in the cache")
    errors: list[Exception] = []
    for planned in run(sources.pieces([task for key, task in tasks.items() if key not in results]), jobs):
        for task, result, error in planned:
            results[task.key] = result
            errors += [] if error is None else [error]
            if on_progress is not None:
                on_progress(len(results), len(tasks), task.cell.label)
    if errors and len(errors) == len(tasks):  # no cell can be planned, so what is wrong is the sweep
        raise errors[0]
    return SweepResult(
        cells=cell_frame(cells, [results[key] for key in keys]),
        users=user_frame(cells, [results[key] for key in keys]),
        computed=len(tasks) - remembered,
        remembered=remembered,
    )


def _tasks(cells: Sequence[Cell], sources: Sources, cache: Cache | None) -> tuple[list[Hashable], dict[Hashable, Task]]:
    """The key of every cell, and one task per key: cells that do not differ are planned once."""
    keys: list[Hashable] = []
    tasks: dict[Hashable, Task] = {}
    for cell in cells:
        inputs = None if cache is None else sources.inputs(cell.scenario)
        key = cell.key if inputs is None else digest(inputs)
        keys.append(key)
        tasks[key] = Task(
            key=key, cell=cell, inputs=inputs, cache=cache
        )  # fmt: skip
    return keys, tasks


def _head(cell: Cell) -> dict[str, Any]:
    return {**cell.parameters, "seed": cell.seed}


def cell_frame(cells: Sequence[Cell], results: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """One row a cell, typed column by column."""
    import pandas as pd

    rows = [
        {**result["cell"], **_head(cell), "users": len(cell.scenario.users)}
        for cell, result in zip(cells, results, strict=True)
    ]
    swept = [*cells[0].parameters, "seed"]
    mechanisms = mechanisms_of(cell.scenario for cell in cells)
    columns, counts = all_columns(mechanisms), {*COUNTS, *users_columns(mechanisms)}
    order = [*swept, *(name for name in ("users", *columns) if name not in swept)]
    frame = pd.DataFrame(rows, columns=order)
    types: dict[str, Any] = {"seed": "Int64", "users": "int64"}
    types |= {name: "Int64" if name in counts else object if name in TEXTS else "float64" for name in columns}
    return frame.astype(types)


def user_frame(cells: Sequence[Cell], results: Sequence[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    rows = [{**_head(cell), **user} for cell, result in zip(cells, results, strict=True) for user in result["users"]]
    swept = [*cells[0].parameters, "seed"]
    frame = pd.DataFrame(rows) if rows else pd.DataFrame(columns=[*swept, "user"])
    return frame.astype({"seed": "Int64"})
