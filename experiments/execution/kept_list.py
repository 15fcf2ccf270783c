"""What the lists of executions of one discipline of the edge share: their kept rows, and the parts of their pages."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from several import SPOILED_PERCENT, commit, summary_of

from megdt_opt import Plan, Scenario
from megdt_opt.files import write_text
from megdt_opt.machine import environment

HURRY = 5.0
"""How much faster than its list a decision is executed, for all of its rivals are executed too [1]."""


class KeptList:
    """Rows of a list, written after each, so that one that was interrupted goes on where it stopped.

    Parameters
    ----------
    folder : Path
        Where NAME.json and NAME.md lie.
    name : str
        Name of both files.
    page : callable
        Makes the Markdown page of the rows.
    """

    def __init__(self, folder: Path, name: str, page: Callable[[dict[str, Any]], str]) -> None:
        self._folder, self._name, self._page = folder, name, page
        path = folder / f"{name}.json"
        self.data: dict[str, Any] = {"commit": commit(), "machine": environment()}
        self.data |= {part: [] for part in ("rows", "alone", "spoiled", "decisions")}
        if path.exists():
            self.data = json.loads(path.read_text(encoding="utf-8"))

    def add(self, part: str, row: dict[str, Any]) -> None:
        """Keep one more row of "rows", "spoiled" or "decisions"."""
        self.data[part].append(row | ({"load": os.getloadavg()[0]} if part == "rows" else {}))
        self.data["summary"] = summary_of(self.data["rows"], self.data["spoiled"])
        self._folder.mkdir(parents=True, exist_ok=True)
        write_text(self._folder / f"{self._name}.json", json.dumps(self.data, indent=1) + "\n")
        write_text(self._folder / f"{self._name}.md", self._page(self.data))

    def missing(self, spoils: Iterable[str]) -> list[tuple[int, str]]:
        """Spoiled runs that are still to be made, with their places."""
        done = {row["spoiled"] for row in self.data["spoiled"]}
        return [(number, name) for number, name in enumerate(spoils) if name not in done]


def hurried(scenario: Scenario) -> Scenario:
    """The same scenario with all times, but the propagation, shorter: slots and links are faster."""
    data = scenario.model_dump(mode="json", exclude_none=True)
    data["edge"]["stretch"] /= HURRY
    for user in data["users"]:
        user["device"]["stretch"] /= HURRY
    for side in ("downlink", "uplink"):
        data["channel"][f"{side}_hz"] *= HURRY
    return Scenario(**data)


def kept_plan(folder: Path | None, name: str, make: Callable[[], Plan]) -> Plan:
    """The plan of a decision, from a folder if it lies there: planning is no work for a quiet machine."""
    if folder is None:
        return make()
    path = folder / f"{name}.json"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        make().save(path)
    return Plan.load(path)


def head(data: dict[str, Any], title: str, name: str) -> list[str]:
    """Where and on what a list ran, and its errors."""
    s, where = data["summary"], data["machine"]
    total = s["end_to_end_percent"]
    return [
        f"# {title}",
        "",
        f"Commit {data['commit']}; {where['cpu']}, {where['cores']} cores, {where['system']}; load average up to "
        f"{s['load_largest']:.1f}. Made by `{name}.py`; the rows are in `{name}.json`.",
        "",
        f"{s['runs']} paced runs, {total['count']} end-to-end latencies, all counted: error {total['median']:.3g} % "
        f"(median), {total['p95']:.3g} % (95th percentile), {total['worst']:.3g} % (worst); {s['overruns']} stages "
        "overran their slot.",
        "",
    ]


def tail(data: dict[str, Any]) -> list[str]:
    """Spoiled runs and decisions."""
    s = data["summary"]
    lines = ["", f"Spoiled on purpose: {s['spoiled_found']} of {s['spoiled']} are off by more than "
             f"{SPOILED_PERCENT:g} %.", "", "| spoiled | plan | off by [%] |", "|---|---|---|"]  # fmt: skip
    lines += [f"| {r['spoiled']} | {r['run']} | {r['worst_percent']:.3g} |" for r in data["spoiled"]]
    for found in data["decisions"]:
        where = f", {found['machine']}" if "machine" in found else ""
        made = f" (commit {found['commit']}{where})" if "commit" in found else ""
        pace = f", executed {found['hurry']:g} times as fast" if "hurry" in found else ""
        lines += ["", f"Decision of plan {found['run']} against its rivals{made}{pace}: the plan is "
                  f"{'' if found['plan_is_fastest'] else 'not '}the fastest of those that keep every limit, rank "
                  f"correlation {found['rank_correlation']:.3f}.", "",
                  "| set | predicted [s] | measured [s], median | breaks |", "|---|---|---|---|"]  # fmt: skip
        lines += [
            f"| {one['name']} | {one['predicted_s']:.3f} | {np.median(one['measured_s']):.3f} | "
            f"{', '.join(one['breaks'])} |"
            for one in found["sets"]
        ]
    return [*lines, ""]
