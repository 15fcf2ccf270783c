"""Results of cells on disk, each under the hash of all that it depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.files import read_json, write_text
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.sweeping.cell import COLUMNS, Settings
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.version import __version__

FORMAT = "megdt-opt sweep cell 1"


def digest(data: object) -> str:
    """SHA-256 of plain data, in hexadecimal; equal data give equal digests."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def profile_digest(profile: TimingProfile) -> str:
    """Digest of a profile's content, its raw samples included."""
    return digest(profile.to_dict())


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
    return {
        "version": __version__,
        "scenario": scenario.model_dump(mode="json"),
        "profiles": dict(digests),
        "spec": json.loads(json.dumps(spec.to_dict())),
        "settings": asdict(settings),
    }


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
        """The result under a key; None where there is none, or where the file is not a whole result of that key."""
        try:
            data = read_json(self.path(key), "sweep cell", fmt=FORMAT)
        except InvalidInput:
            return None
        if digest(data.get("inputs")) != key:
            return None
        result = data.get("result")
        whole = isinstance(result, dict) and set(result.get("cell", ())) == set(COLUMNS) and "users" in result
        return result if whole else None

    def store(self, inputs: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Keep a result, beside the inputs that it belongs to."""
        data = {"format": FORMAT, "inputs": dict(inputs), "result": dict(result)}
        write_text(self.path(digest(inputs)), json.dumps(data, indent=1, allow_nan=False))
