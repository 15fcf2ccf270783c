"""Results of cells on disk, each under the hash of all that it depends on."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from megdt_opt import formulations
from megdt_opt.errors import InvalidInput
from megdt_opt.files import read_json, write_text
from megdt_opt.problem.outcome import Status
from megdt_opt.program.kinds import own_stage
from megdt_opt.program.mechanisms import MECHANISM_REGISTRY, catalogue, program
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.precisions import PRECISION_REGISTRY, PRECISIONS
from megdt_opt.program.stages import Compute, Payload, Send, leaves
from megdt_opt.program.wire import payload_byte
from megdt_opt.scenario.measured import find_measured
from megdt_opt.scenario.offered import setting_of
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.solving.answers import relative_gap
from megdt_opt.sweeping.cell import Settings, all_columns, mechanisms_of
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.tolerances import EXACT
from megdt_opt.version import __version__

FORMAT = "megdt-opt sweep cell 3"

LIBRARIES = ("numpy", "scipy", "numba", "highspy", "clarabel", "pyscipopt")
"""Libraries whose version may change a result."""


def digest(data: object) -> str:
    """SHA-256 of plain data, in hexadecimal; equal data give equal digests."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


@cache
def code_digest() -> str:
    """Digest of what computes a cell: the package's sources, and the versions of the libraries that they count with."""
    found = hashlib.sha256()
    for folder in (str(Path(__file__).parents[1]), *formulations.__path__):
        for path in sorted(Path(folder).rglob("*.py")):
            found.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    found.update(json.dumps({name: metadata.version(name) for name in LIBRARIES}).encode())
    return found.hexdigest()


def profile_digest(profile: TimingProfile) -> str:
    """Digest of a profile's content, its raw samples included."""
    return digest(profile.to_dict())


def registered_digest(scenario: Scenario, spec: ModelSpec) -> str:
    """Digest of what users registered and this scenario uses: the stages and sizes of every option with it.

    The sources of a plugin may be anywhere; what they amount to for a plan is this.
    """
    found: list[Any] = []
    for k, user in enumerate(scenario.users):
        own = [name for name in user.mechanisms or () if name in MECHANISM_REGISTRY.own]
        precisions = [name for name in user.precisions or () if name in PRECISION_REGISTRY.own]
        if not own and not precisions:
            continue
        setting = setting_of(scenario, spec, k)
        for option in catalogue(setting, own=own, precisions=[*PRECISIONS, *precisions], cuts=scenario.cuts):
            declared = MECHANISM_REGISTRY.require(option.mechanism)
            registered = option.mechanism in own or option.precision in PRECISION_REGISTRY.own
            if registered and user.shown_at in declared.shown_at:
                found.append([option.name, declared.senses, [_leaf(x) for x in leaves(program(option, setting))]])
    return digest(found)


def _leaf(leaf: Compute | Send) -> list[Any]:
    """A stage, and what it weighs on the air or in memory [byte]."""
    if isinstance(leaf, Send):
        known = leaf.codec == "" and leaf.payload is not Payload.IMAGE
        return [repr(leaf), payload_byte(leaf.tensors, leaf.precision) if known else None]
    own = own_stage(leaf.kind)
    return [repr(leaf), None if own is None else own.weight_byte]


def inputs_of(scenario: Scenario, digests: Mapping[str, str], spec: ModelSpec, settings: Settings) -> dict[str, Any]:
    """All that a cell's result depends on, as plain data.

    Parameters
    ----------
    scenario : Scenario
    digests : mapping of str to str
        `profile_digest` of every profile that the scenario names.
    spec : ModelSpec
    settings : Settings
    """
    measured = find_measured(scenario.quality, spec)
    return {
        "version": __version__,
        "code": code_digest(),
        "scenario": scenario.model_dump(mode="json"),
        "mechanisms": list(mechanisms_of([scenario])),
        "registered": registered_digest(scenario, spec),
        "quality": None if measured is None else digest(measured.table.to_json()),
        "profiles": dict(digests),
        "spec": json.loads(json.dumps(spec.to_dict())),
        "settings": asdict(settings),
    }


def fits(result: Any, inputs: Any) -> bool:
    """Whether a result can be that of its inputs: its figures agree with each other and with users and settings."""
    try:
        cell, users, scenario = result["cell"], result["users"], inputs["scenario"]
        if set(cell) != set(all_columns(inputs["mechanisms"])) or cell["objective"] != scenario["objective"]:
            return False
        if cell["status"] == Status.INFEASIBLE:
            return not users and cell["objective_s"] is None and bool(cell["reason"])
        objective_s = Scenario(**scenario).objective_of([user["latency_s"] for user in users]) + cell["cost_part_s"]
        bound_s = -math.inf if cell["lower_bound_s"] is None else cell["lower_bound_s"]
        gap = relative_gap(cell["objective_s"], bound_s)
        return (
            [user["user"] for user in users] == [own["name"] for own in scenario["users"]]
            and abs(cell["objective_s"] - objective_s) <= EXACT * objective_s
            and bound_s <= cell["objective_s"]
            and (cell["gap"] is None if math.isinf(gap) else abs(cell["gap"] - gap) <= EXACT)
            and cell["status"] in (Status.OPTIMAL, Status.FEASIBLE)
            and (cell["status"] != Status.OPTIMAL or gap <= inputs["settings"]["gap"] + EXACT)
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return False


@dataclass(frozen=True)
class Cache:
    """A folder of results, one file a cell; files are written whole or not at all.

    Parameters
    ----------
    folder : Path
        Made when the first result is stored.
    """

    folder: Path

    def path(self, key: str) -> Path:
        """File of a cell's result."""
        return self.folder / key[:2] / f"{key}.json"

    def load(self, key: str) -> dict[str, Any] | None:
        """The result under a key; None where there is none that is whole, unaltered and fits its inputs."""
        try:
            data = read_json(self.path(key), "sweep cell", fmt=FORMAT)
        except InvalidInput:
            return None
        inputs, result = data.get("inputs"), data.get("result")
        if digest(inputs) != key or digest(result) != data.get("digest"):
            return None
        return result if fits(result, inputs) else None

    def store(self, inputs: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Keep a result, beside the inputs that it belongs to."""
        data = {"format": FORMAT, "inputs": dict(inputs), "digest": digest(result), "result": dict(result)}
        write_text(self.path(digest(inputs)), json.dumps(data, indent=1, allow_nan=False))
