"""The file of a sweep: what `megdt-opt sweep` takes on its line, in YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator

from megdt_opt.errors import InvalidInput
from megdt_opt.files import JSON, SCENARIO, is_path, read_text
from megdt_opt.scenario.quantities import Quantities
from megdt_opt.sweeping.trace_rows import ROWS
from megdt_opt.timing.finding import PUBLISHED
from megdt_opt.yaml_text import parse_yaml


class SweepFile(Quantities):
    """What a sweep is of.

    Parameters
    ----------
    scenario : str
        Scenario file, or a bundled name. Files that a file of a sweep names are looked for from its own folder.
    over : mapping
        As `sweep` takes it, "rows" with the file of a trace as well; {} plans the scenario alone.
    profiles : mapping of str to str
        Files of timing profiles, or bundled or published ones, by the names that the scenario says.
    seeds : int
        How often to redraw shadowing and scenes; 0 = as they are.
    jobs : int, optional
        Processes [1].
    method, gap, time_limit_s, baselines
        As `sweep` takes them; "time_limit: 10 s", and "baselines" for `compare`.
    chunk : int, optional
        Cells of a chunk [1]: then Parquet files in place of tables and figures.
    shard : str, optional
        "I/N": the I-th of N parts.
    out : str
        Folder for all files.
    figures : str
        "png", "pdf", "svg", separated by commas.

    Examples
    --------
    >>> from megdt_opt.sweeping.sweep_file import SweepFile
    >>> SweepFile(scenario="demo", over={"steps": [10, 20]}, chunk=500).out
    'sweep-output'
    """

    dimensions: ClassVar[dict[str, str]] = {"time_limit_s": "time"}

    scenario: str
    over: dict[str, Any]
    profiles: dict[str, str] = Field(default_factory=dict)
    seeds: int = Field(default=0, ge=0)
    jobs: int | None = None
    method: str = "auto"
    gap: float = Field(default=1e-6, ge=0.0)
    time_limit_s: float | None = Field(default=None, gt=0.0)
    baselines: bool = True
    chunk: int | None = Field(default=None, ge=1)
    shard: str | None = None
    out: str = "sweep-output"
    figures: str = "png"

    @field_validator("over")
    @classmethod
    def _lists(cls, over: dict[str, Any]) -> dict[str, Any]:
        return {path: [values] if isinstance(values, str) else values for path, values in over.items()}

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file; raises InvalidInput with file, line and field where something is wrong."""
        document = parse_yaml(read_text(path, "sweep file"), str(path))
        try:
            return cls(**document.value)._from(Path(path).parent)
        except InvalidInput as error:
            raise error.within(document.place(error.field)) from None

    def _from(self, home: Path) -> Self:
        """The same with the files that it names, but that to be written, as paths from a folder."""

        def found(path: str, ends: tuple[str, ...]) -> str:
            return str(home / path) if is_path(path, ends) and not path.startswith(PUBLISHED) else path

        over, rows = dict(self.over), self.over.get(ROWS)
        if isinstance(rows, list) and len(rows) == 1 and isinstance(rows[0], str):
            over[ROWS] = [str(home / rows[0])]
        return self.model_copy(
            update={
                "scenario": found(self.scenario, SCENARIO),
                "profiles": {name: found(path, JSON) for name, path in self.profiles.items()},
                "over": over,
            }
        )

    @staticmethod
    def names(what: str) -> bool:
        """Whether this names the file of a sweep rather than a scenario: a YAML mapping with a field "over"."""
        if not is_path(what, SCENARIO, folders=False):
            return False
        value = parse_yaml(read_text(what, "file"), what).value
        return isinstance(value, dict) and "over" in value

    @property
    def part(self) -> tuple[int, int]:
        """The shard as `sweep_into` takes it.

        Raises
        ------
        InvalidInput
            Where it is not of the form "I/N".
        """
        index, slash, count = (self.shard or "1/1").partition("/")
        if not (slash and index.isascii() and index.isdigit() and count.isascii() and count.isdigit()):
            raise InvalidInput("shard", self.shard, '"I/N" with whole numbers, I from 1 to N', "Write for example 1/4.")
        return int(index), int(count)
