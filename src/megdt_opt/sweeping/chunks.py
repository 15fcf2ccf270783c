"""A sweep in chunks on disk: each is planned, written and forgotten, found again after a kill, and merged at the end.

Beside the rows of a chunk, which are the same bytes whenever and wherever it was planned, stands a file of what is not:
what the clock measured, and by which versions. It is written last and holds the digests of the rows, so that a chunk
is there whole or is planned again.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from megdt_opt.errors import InvalidInput
from megdt_opt.files import read_bytes, read_json, try_folder, write_bytes, write_text
from megdt_opt.program.registry import loaded_plugins
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.sweeping.cache import LIBRARIES, code_digest, digest, profile_digest, registered_digest
from megdt_opt.sweeping.cell import Settings, Solving, refused
from megdt_opt.sweeping.grid import Cell, Grid, Over
from megdt_opt.sweeping.parquet import CLOCKS, Kinds, columns_of, parquet, pyarrow, writer
from megdt_opt.sweeping.planned import Sources, Task, prepare_code, run
from megdt_opt.sweeping.runner import Progress
from megdt_opt.timing.finding import Profiles, check_used
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.version import __version__

FORMAT = "megdt-opt sweep chunk 1"

CHUNK = 1000
"""Cells of a chunk, unless another number is asked for [1]."""

TABLES = ("cells", "users")
"""Tables of a chunk."""


@dataclass(frozen=True, kw_only=True)
class SweepFolder:
    """What a sweep left in a folder.

    Parameters
    ----------
    folder : Path
    cells : int
        Cells of this sweep, or of its shard [1].
    computed, remembered : int
        Of these, those that were planned now, and those that were there [1].
    states : mapping of str to int
        How many cells have each status [1].
    """

    folder: Path
    cells: int
    computed: int
    remembered: int
    states: Mapping[str, int]


def sweep_into(
    folder: str | Path,
    scenario: Scenario | str | Path,
    over: Over,
    seeds: Iterable[int] | None = None,
    profiles: Profiles | None = None,
    jobs: int | None = None,
    on_progress: Progress | None = None,
    *,
    chunk: int = CHUNK,
    shard: tuple[int, int] = (1, 1),
    **solving: Unpack[Solving],
) -> SweepFolder:
    """Plan a scenario over a grid as `sweep` does, chunk by chunk into a folder, in memory that does not grow.

    For each chunk the folder gets cells-N.parquet (a row a cell, as `sweep` has it, without what the clock makes),
    users-N.parquet (a row a user of each cell, as `sweep_users` has it), and chunk-N.json with versions, digests and
    seconds. A run that was killed goes on where it was; its files are the same bytes as those of an undisturbed one,
    unless a time limit cuts solutions short. A cell whose values do not go together, or that cannot be planned, is a
    row with the status "failed" and the reason.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there; of one sweep alone.
    scenario, over, seeds, profiles, jobs, on_progress
        As for `sweep`.
    chunk : int
        Cells of a chunk [1].
    shard : tuple of int
        (i, n): the i-th of n parts of the chunks, i from 1, for several machines; `merge_sweep` joins them.
    method, gap, time_limit_s, compare
        As `sweep` takes them [-, 1, s, -].

    Returns
    -------
    SweepFolder

    Raises
    ------
    InvalidInput
        Where a path is unknown or a value fits no cell, pyarrow is not installed, or the folder holds another sweep.
    ProfileError
        Where a profile is missing.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from megdt_opt import Scenario, sweep_into
    >>> cell = Scenario.from_yaml('''
    ... name: one phone
    ... channel: {downlink: 2 MHz, uplink: 1 MHz}
    ... users:
    ...   - name: phone
    ...     device: {profile: twin-cpu, stretch: 30}
    ...     downlink_efficiency: 4 bit/s/Hz
    ...     uplink_efficiency: 2 bit/s/Hz
    ... ''')
    >>> over = {"channel.downlink": ["1 MHz", "2 MHz"]}
    >>> with TemporaryDirectory() as folder:
    ...     first = sweep_into(folder, cell, over, compare=False, chunk=1)
    ...     again = sweep_into(folder, cell, over, compare=False, chunk=1)
    >>> (first.computed, again.computed, again.remembered)
    (2, 0, 2)
    """
    pyarrow()
    index, count = _shard(shard)
    if isinstance(chunk, bool) or not isinstance(chunk, int) or chunk < 1:
        raise InvalidInput("chunk", chunk, "a number of cells of at least 1", "Write for example 1000.")
    settings, grid = Settings(**solving), Grid(Scenario.named(scenario), over, seeds)
    sources = Sources(profiles, settings)
    check_used(profiles, [name for kind in grid.kinds for name in kind.profile_names])
    key = _sweep_key(grid, sources, settings, chunk)
    home = Path(folder)
    try_folder(home)
    _require_same_sweep(home, key)
    if count == 1:
        for draft in home.glob(".draft-*"):  # of a run that was killed
            draft.unlink(missing_ok=True)
    columns = columns_of(grid)
    own = range(index - 1, -(-len(grid) // chunk), count)
    sizes = {number: min(chunk, len(grid) - number * chunk) for number in own}
    done = computed = 0
    states: dict[str, int] = {}
    for number in own:
        beside = _kept(home, number, key)
        if beside is None:
            prepare_code(grid.kinds)
            beside = _planned(home, grid, sources, number, chunk, key, columns, jobs)
            computed += sizes[number]
        done += sizes[number]
        for status, cells in beside["states"].items():
            states[status] = states.get(status, 0) + cells
        if on_progress is not None:
            on_progress(done, sum(sizes.values()), f"chunk {number}")
    return SweepFolder(folder=home, cells=done, computed=computed, remembered=done - computed, states=states)


def merge_sweep(folders: Iterable[str | Path], out: str | Path) -> SweepFolder:
    """Join the chunks of a sweep, from one folder or several shards, into cells.parquet and users.parquet.

    Rows stand in the order of the grid. What the chunks' files beside say is listed in sweep.json.

    Parameters
    ----------
    folders : iterable of str or Path
        Folders of `sweep_into`.
    out : str or Path
        Folder for the three files.

    Raises
    ------
    InvalidInput
        Where chunks are missing, damaged, there twice with other rows, or of different sweeps.

    Returns
    -------
    SweepFolder
        The folder, how many cells it holds, and how many of them have which status.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from megdt_opt import Scenario, merge_sweep, sweep_into
    >>> cell = Scenario.from_yaml('''
    ... name: one phone
    ... channel: {downlink: 2 MHz, uplink: 1 MHz}
    ... users:
    ...   - name: phone
    ...     device: {profile: twin-cpu, stretch: 30}
    ...     downlink_efficiency: 4 bit/s/Hz
    ...     uplink_efficiency: 2 bit/s/Hz
    ... ''')
    >>> over = {"channel.downlink": ["1 MHz", "2 MHz"]}
    >>> with TemporaryDirectory() as home:
    ...     parts = [f"{home}/{i}" for i in (1, 2)]  # on two machines, say
    ...     for i, part in enumerate(parts, start=1):
    ...         made = sweep_into(part, cell, over, compare=False, chunk=1, shard=(i, 2))
    ...     merge_sweep(parts, f"{home}/whole").cells
    2
    """
    pyarrow()
    from pyarrow import parquet as files

    found = _all_chunks([Path(folder) for folder in folders])
    home = Path(out)
    try_folder(home)
    home.mkdir(parents=True, exist_ok=True)
    for table in TABLES:
        draft = home / f".draft-{table}"
        schema = files.read_schema(found[0][0].with_name(_name(table, 0)))
        with writer(str(draft), schema) as merged:
            for number, (beside, _) in enumerate(found):
                merged.write_table(files.read_table(beside.with_name(_name(table, number))))
        draft.replace(home / f"{table}.parquet")
    states: dict[str, int] = {}
    for _, said in found:
        for status, cells in said["states"].items():
            states[status] = states.get(status, 0) + cells
    whole = {"format": "megdt-opt sweep 1", "states": states, "chunks": [said for _, said in found]}
    write_text(home / "sweep.json", json.dumps(whole, indent=1, sort_keys=True, allow_nan=False))
    cells = int(found[0][1]["of"])
    return SweepFolder(folder=home, cells=cells, computed=0, remembered=cells, states=states)


def _shard(shard: tuple[int, int]) -> tuple[int, int]:
    try:
        index, count = shard
        good = all(isinstance(n, int) and not isinstance(n, bool) for n in shard) and 1 <= index <= count
    except (TypeError, ValueError):
        good = False
    if not good:
        raise InvalidInput("shard", shard, "(i, n) with i in 1 to n", "Write for example (1, 4), on the command 1/4.")
    return shard


def _sweep_key(grid: Grid, sources: Sources, settings: Settings, chunk: int) -> str:
    """Digest of all that the rows depend on."""
    specs: dict[str, Any] = {}
    profiles: dict[str, TimingProfile] = {}
    registered: list[str] = []
    for kind in grid.kinds:
        own, spec = sources.of(kind)
        specs[spec.name] = json.loads(json.dumps(spec.to_dict()))
        profiles |= {name: profile for name, profile in own.items() if name not in profiles}
        registered.append(registered_digest(kind, spec))
    return digest(
        {
            "version": __version__, "code": code_digest(), "scenario": grid.base, "over": grid.stated,
            "seeds": grid.draws, "chunk": chunk, "settings": {**settings.__dict__}, "specs": specs,
            "profiles": {name: profile_digest(profile) for name, profile in profiles.items()},
            "registered": registered, "plugins": list(loaded_plugins()),
            "pyarrow": metadata.version("pyarrow"),
        }
    )  # fmt: skip


def _name(table: str, number: int, kind: str = "parquet") -> str:
    return f"{table}-{number:06d}.{kind}"


def _require_same_sweep(home: Path, key: str) -> None:
    """Refuse a folder with chunks of another sweep, or of another state of the code."""
    for beside in sorted(home.glob("chunk-*.json"))[:1]:
        if _said(beside).get("sweep", key) != key:
            expected = "an empty folder, or one of the same sweep by the same versions"
            raise InvalidInput("folder", str(home), expected, "Give another folder, or remove what is in this one.")


def _said(beside: Path) -> dict[str, Any]:
    try:
        return read_json(beside, "sweep chunk", fmt=FORMAT)
    except InvalidInput:
        return {}


def _kept(home: Path, number: int, key: str) -> dict[str, Any] | None:
    """What stands beside a chunk that is there whole; None where it is to be planned."""
    said = _said(home / _name("chunk", number, "json"))
    if said.get("sweep") != key or said.get("chunk") != number:
        return None
    try:
        for table in TABLES:
            if _sha256(read_bytes(home / _name(table, number), "sweep chunk")) != said["sha256"][table]:
                return None
    except (InvalidInput, KeyError, TypeError):
        return None
    return said


def _planned(
    home: Path, grid: Grid, sources: Sources, number: int, chunk: int, key: str,
    columns: tuple[Kinds, Kinds], jobs: int | None,
) -> dict[str, Any]:  # fmt: skip
    """Plan a chunk, write it, and give what stands beside it."""
    cells = range(number * chunk, min((number + 1) * chunk, len(grid)))
    begin, created = time.perf_counter(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    results: dict[int, tuple[Cell | None, dict[str, Any]]] = {}
    tasks = []
    for i in cells:
        try:
            tasks.append(Task(key=i, cell=grid[i]))
        except InvalidInput as error:
            results[i] = None, refused(grid.kinds[0], error)
    places = {task.key: i for i, task in zip((i for i in cells if i not in results), tasks, strict=True)}
    for planned in run(sources.pieces(tasks), jobs, ready=True):
        for task, result, _ in planned:
            results[places[task.key]] = task.cell, result
    rows: tuple[list[dict[str, Any]], list[dict[str, Any]]] = ([], [])
    clock_s = dict.fromkeys(CLOCKS, 0.0)
    states: dict[str, int] = {}
    for i in cells:
        cell, result = results[i]
        place = tuple(int(n) for n in np.unravel_index(i, grid.shape))
        head = {**grid.parameters(place), "seed": grid.draws[place[-1]]}
        row = {**result["cell"], "users": None if cell is None else len(cell.scenario.users), **head}
        for name in CLOCKS:
            clock_s[name] += row.pop(name) or 0.0
        states[row["status"]] = states.get(row["status"], 0) + 1
        rows[0].append(row)
        rows[1].extend({**head, **user} for user in result["users"])
    contents = {table: parquet(own, kinds) for table, own, kinds in zip(TABLES, rows, columns, strict=True)}
    beside = {
        "format": FORMAT, "sweep": key, "chunk": number, "first": cells.start, "cells": len(cells), "of": len(grid),
        "chunks": -(-len(grid) // chunk), "states": states,
        "sha256": {table: _sha256(data) for table, data in contents.items()},
        "measured": {**clock_s, "clock_s": time.perf_counter() - begin, "created": created},
        "provenance": {
            "megdt_opt": __version__, "code": code_digest(), "python": platform.python_version(),
            "machine": platform.platform(), **{name: metadata.version(name) for name in (*LIBRARIES, "pyarrow")},
        },
    }  # fmt: skip
    for table, data in contents.items():
        write_bytes(home / _name(table, number), data)
    write_text(home / _name("chunk", number, "json"), json.dumps(beside, indent=1, sort_keys=True, allow_nan=False))
    return beside


def _all_chunks(homes: Sequence[Path]) -> list[tuple[Path, dict[str, Any]]]:
    """Every chunk of a sweep once, in order: its file beside, and what that says."""
    found: dict[int, tuple[Path, dict[str, Any]]] = {}
    keys: set[str] = set()
    remedy = "Run the shards to their end, each with the same arguments, and name all of their folders."
    for home, number, said in _chunks(homes):
        keys.add(str(said["sweep"]))
        if len(keys) > 1:
            raise InvalidInput("folder", str(home), "chunks of one sweep by one state of the code", remedy)
        if _kept(home, number, str(said["sweep"])) is None:
            raise InvalidInput("folder", str(home / _name("chunk", number, "json")), "a chunk that is whole", remedy)
        if number in found and found[number][1]["sha256"] != said["sha256"]:
            raise InvalidInput("folder", str(home), f"the same rows of chunk {number} as in the others", remedy)
        found[number] = home / _name("chunk", number, "json"), said
    if not found:
        raise InvalidInput("folder", [str(home) for home in homes], "folders with chunks of a sweep", remedy)
    wanted = int(next(iter(found.values()))[1]["chunks"])
    missing = sorted(set(range(wanted)) - set(found))
    if missing:
        some = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise InvalidInput("folder", f"chunks {some} missing", f"all {wanted} chunks", remedy)
    return [found[number] for number in range(wanted)]


def _chunks(homes: Sequence[Path]) -> Iterator[tuple[Path, int, dict[str, Any]]]:
    for home in homes:
        for beside in sorted(home.glob("chunk-*.json")):
            said = _said(beside)
            if said:
                yield home, int(said["chunk"]), said


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
