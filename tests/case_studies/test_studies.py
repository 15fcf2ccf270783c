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


def test_turns_and_batches_rows_are_what_the_package_computes() -> None:
    """One cell of each is computed again, and no schedule of batches is faster than full batches would be."""
    from case_studies.turns_and_batches import GAP, IN_BATCHES, cell, common_batch_s, least_s, phones

    from megdt_opt import solve

    frame = study("turns_and_batches").frame()
    cells = frame.set_index(["kind", "what", "rho", "seed"])
    turns = cells.loc[("turns", "both sides of the turn", 1.0, 0)]
    table = cell(1.0, 0)
    assert turns.found_s == pytest.approx(solve(table.problem(), gap=GAP).objective_s, rel=2 * GAP)
    assert turns.rival_s == pytest.approx(solve(table.reserved().problem(), gap=1e-4).objective_s, rel=2e-4)
    batches = cells.loc[("batches", "b/a = 1.6", 1.0, 0)]
    assert batches.rival_s == pytest.approx(common_batch_s(phones(1.6, 1.0, 0)), rel=1e-12)
    found = frame[frame.kind == "batches"]
    assert (found.bound_s <= found.found_s * (1 + 1e-9)).all()
    assert all(row.found_s >= least_s(IN_BATCHES, row.rho, "after") for row in found.itertuples())
