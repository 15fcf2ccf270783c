"""Case studies: pages and figures are made from the kept rows alone, and the kept pages say what those rows say."""

from __future__ import annotations

from pathlib import Path

import pytest
from case_studies import NAMES, study
from case_studies.study import COLUMN_IN, RESULTS


@pytest.mark.parametrize("name", NAMES)
def test_the_kept_page_says_what_the_kept_rows_say(name: str) -> None:
    """Every number of a page is made again from the table."""
    made = study(name)
    assert (RESULTS / f"{name}.md").read_text(encoding="utf-8") == made.page(made.frame())


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_made_again_at_the_width_of_a_column(name: str, tmp_path: Path) -> None:
    made = study(name)
    (tmp_path / f"{name}.csv").write_bytes((RESULTS / f"{name}.csv").read_bytes())
    made.write(tmp_path)
    assert made.figure(made.frame()).get_figwidth() == COLUMN_IN
    pdf = (tmp_path / f"{name}.pdf").read_bytes()
    assert b"/TrueType" in pdf or b"/CIDFontType2" in pdf
    assert b"/Type3" not in pdf
    assert (tmp_path / f"{name}.md").read_text(encoding="utf-8") == (RESULTS / f"{name}.md").read_text(encoding="utf-8")


def test_every_kept_table_has_a_study() -> None:
    assert {path.stem for path in RESULTS.glob("*.csv")} == set(NAMES)


def test_splitting_rows_are_what_the_package_computes() -> None:
    """One front is computed again; the others belong to the command."""
    from case_studies.generation_splitting import LIMITS, problem

    from megdt_opt import bounds

    frame = study("generation_splitting").frame()
    mine = frame[(frame.exponent == 0.5) & (frame.device_over_edge == 0.6)].closed_form_s.to_numpy()
    assert mine == pytest.approx(bounds.energy_delay_front(problem(0.5, 0.6), LIMITS * 0.6).latency_s, rel=1e-12)
