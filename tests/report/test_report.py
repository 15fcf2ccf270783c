"""The record, the page and the folder: strict, self-contained, whole or not at all."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megdt_opt import InvalidInput
from megdt_opt.execution.record import Execution
from megdt_opt.planning.plan import Plan
from megdt_opt.report import write_report
from megdt_opt.report.page import page_text
from megdt_opt.report.result import result_text, strict
from megdt_opt.trials.pictures import Picture
from megdt_opt.trials.raw_check import RawCheck
from megdt_opt.trials.verification import Verification

RAW = RawCheck(user="wall", option="PEU 0.50 int8", profile_s=0.5, before_s=0.51, after_s=0.53, measured_s=0.54)


def parsed(text: str) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no strict JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture(scope="module")
def data(made: Plan, execution: Execution, verification: Verification, pictures: tuple[Picture, ...]) -> dict[str, Any]:
    found: dict[str, Any] = parsed(result_text(made, execution, verification, pictures, [RAW]))
    return found


def test_the_record_holds_plan_bound_and_baselines(data: dict[str, Any], made: Plan) -> None:
    assert data["objective_s"] == made.objective_s
    assert data["lower_bound_s"] <= data["objective_s"]
    assert data["gap"] == made.gap
    assert (data["status"], data["bound_source"]) == ("optimal", "certificate")
    assert [u["latency_s"] for u in data["users"]] == [u.latency_s for u in made.users]
    assert [b["name"] for b in data["baselines"]] == [b.name for b in made.baselines]
    for user in data["users"]:
        ends = [s["start_s"] + s["duration_s"] for s in user["stages"]]
        assert max(ends) == pytest.approx(user["latency_s"])


def test_the_record_joins_predicted_and_measured(data: dict[str, Any], execution: Execution) -> None:
    run = data["execution"]
    assert len(run["stages"]) == len(execution.rows)
    assert run["measured_s"] == execution.measured_s
    assert run["overruns"] == 1
    for stage, row in zip(run["stages"], execution.rows, strict=True):
        assert stage["measured_s"] == pytest.approx(row.end_s - row.start_s)
        assert stage["predicted_s"] == row.predicted_duration_s
    assert data["raw"][0]["composition_error"] == pytest.approx(0.54 / 0.52 - 1)
    assert data["provenance"]["edge"]["hardware"]["processor"] == "Example CPU"
    assert [d["user"] for d in data["provenance"]["devices"]] == [u["name"] for u in data["users"]]


def test_what_is_infinite_is_null(data: dict[str, Any]) -> None:
    assert data["pictures"][0]["psnr_db"] is None
    assert data["pictures"][0]["identical_to_unsplit"] is True
    assert strict({"a": (math.nan, np.float64(2.5), np.int64(3), np.bool_(True), np.array([1.0, math.inf]))}) == {
        "a": [None, 2.5, 3, True, [1.0, None]]
    }
    with pytest.raises(TypeError, match="cannot hold a object"):
        strict(object())


def test_a_record_of_a_plan_alone(made: Plan) -> None:
    alone = parsed(result_text(made))
    assert alone["execution"] is None
    assert alone["verification"] is None
    assert alone["pictures"] == alone["raw"] == []


class Checker(HTMLParser):
    """Balanced tags, and every address that the page would load."""

    void = ("meta", "img", "br", "hr", "link", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.alts: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in self.void:
            self.open.append(tag)
        known = dict(attrs)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "data", "srcset")]
        if tag == "img":
            self.alts.append(known.get("alt"))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    assert not checker.open
    assert all(address.startswith("data:image/") for address in checker.loads)
    assert all(checker.alts)
    assert not {"script", "link", "iframe", "object"} & set(checker.tags)
    visible = re.sub(r'src="data:[^"]*"', "", page)
    assert "http" not in visible
    assert "url(" not in visible
    assert "$" not in visible
    return checker


def test_the_page_is_self_contained_and_says_everything(
    made: Plan, execution: Execution, verification: Verification, pictures: tuple[Picture, ...]
) -> None:
    figures = {"timeline": b"<svg/>", "comparison": b"<svg/>"}
    page = page_text(made, execution, verification, pictures, [RAW], figures)
    checker = check(page)
    assert checker.tags.count("img") == 2 + 3 * len(pictures)
    for text in (
        "proven gap",
        "best single mechanism",
        "Every stage",
        "Spearman",
        "objects read",
        "Why options were ruled out",
        "privacy",
        "Example CPU",
        "Paced mode",
        "stretch",
        "no energy was metered",
    ):
        assert text in page, text


def test_the_page_says_how_far_clocks_of_other_hosts_are_off(made: Plan, execution: Execution) -> None:
    far = replace(execution, environment={**execution.environment, "clock_offset_s": {"<b>edge</b>": [1.5, 1.5004]}})
    shown = page_text(made, far, None, (), [], {})
    assert "&lt;b&gt;edge&lt;/b&gt; 1500.000 to 1500.400 ms" in shown
    assert "brought to the coordinator" not in page_text(made, execution, None, (), [], {})


def test_a_page_of_a_plan_alone_has_no_empty_sections(made: Plan) -> None:
    page = page_text(made)
    check(page)
    for title in ("Predicted and measured", "Pictures", "raw runs", "and execution"):
        assert title not in page


def test_texts_are_escaped(made: Plan) -> None:
    hostile = made.scenario.model_copy(update={"name": "<script>alert('x')</script> & $title"})
    page = page_text(replace(made, table=replace(made.table, scenario=hostile)))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def names(folder: Path) -> Sequence[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_write_report_returns_what_it_wrote(
    tmp_path: Path, made: Plan, execution: Execution, verification: Verification, pictures: tuple[Picture, ...]
) -> None:
    written = write_report(tmp_path / "out", made, execution, verification, pictures, [RAW])
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in written.values()) == names(tmp_path / "out")
    assert {"page", "result", "timeline", "timeline_svg", "comparison", "comparison_svg", "pictures"} <= set(written)
    assert written["pictures/wall-executed"].is_file()
    assert parsed(written["result"].read_text(encoding="utf-8"))["verification"]["plan_is_fastest"] in (True, False)
    check(written["page"].read_text(encoding="utf-8"))


def test_a_plan_alone_can_be_reported(tmp_path: Path, made: Plan) -> None:
    written = write_report(str(tmp_path), replace(made, baselines=()))
    assert set(written) == {"page", "result", "timeline", "timeline_svg"}


def test_an_error_while_making_writes_nothing(tmp_path: Path, made: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> str:
        raise RuntimeError("no page")

    monkeypatch.setattr("megdt_opt.report.page.page_text", broken)
    with pytest.raises(RuntimeError, match="no page"):
        write_report(tmp_path / "out", made)
    assert not (tmp_path / "out").exists()


def test_an_error_while_writing_leaves_whole_files_only(
    tmp_path: Path, made: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    import megdt_opt.files

    (tmp_path / "result.json").write_text("old")

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(megdt_opt.files.os, "replace", full)
    with pytest.raises(InvalidInput, match="No space left"):
        write_report(tmp_path, made)
    assert names(tmp_path) == ["result.json"]
    assert (tmp_path / "result.json").read_text() == "old"


def test_importing_the_report_loads_no_heavy_package() -> None:
    code = (
        "import sys, megdt_opt.report, megdt_opt.report.tables\n"
        "print([m for m in ('matplotlib', 'torch', 'pyomo', 'cvxpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
