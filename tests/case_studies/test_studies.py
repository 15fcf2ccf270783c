"""Case studies: pages and figures are made from the kept rows alone, and the kept pages say what those rows say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from case_studies import NAMES, index, seconds_of, study
from case_studies.study import RESULTS

from megdt_opt.plot.series import COLUMN_IN, PAGE_IN


@pytest.mark.parametrize("name", NAMES)
def test_the_kept_page_says_what_the_kept_rows_say(name: str) -> None:
    """Every number of a page is made again from the table."""
    made = study(name)
    assert (RESULTS / f"{name}.md").read_text(encoding="utf-8") == made.page(made.frame())


@pytest.mark.long_list(of=3)
@pytest.mark.parametrize("name", NAMES)
def test_figures_are_made_again_without_empty_quarters_or_cut_labels(name: str, tmp_path: Path) -> None:
    """As wide as a column or a page, embedded fonts, every panel with data, and nothing beyond the border."""
    made = study(name)
    (tmp_path / f"{name}.csv").write_bytes((RESULTS / f"{name}.csv").read_bytes())
    figure = made.write(tmp_path)
    assert figure.get_figwidth() == (COLUMN_IN if len(made.panels) <= 2 else PAGE_IN)
    pdf = (tmp_path / f"{name}.pdf").read_bytes()
    assert b"/TrueType" in pdf or b"/CIDFontType2" in pdf
    assert b"/Type3" not in pdf
    assert (tmp_path / f"{name}.md").read_text(encoding="utf-8") == (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    assert len(figure.axes) == len(made.panels)
    assert all(panel.lines or panel.collections or panel.patches for panel in figure.axes)
    outline = figure.bbox.padded(1)
    drawn = [panel.get_tightbbox() for panel in figure.axes]
    assert all(outline.contains(box.x0, box.y0) and outline.contains(box.x1, box.y1) for box in drawn)
    assert sum(box.width * box.height for box in drawn) >= 0.8 * figure.bbox.width * figure.bbox.height


def test_every_kept_table_has_a_study_and_stands_in_the_index() -> None:
    """The index says of every study what was asked, what was found and what it took."""
    assert {path.stem for path in RESULTS.glob("*.csv")} == set(NAMES) == set(seconds_of())
    assert (RESULTS / "README.md").read_text(encoding="utf-8") == index()
    assert sum(seconds_of().values()) <= 2 * 45 * 60


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


def test_noise_and_codes_are_what_theory_says() -> None:
    """The receiver's error is power/(1 + SNR), averaging copies adds to the SNR; the best that fits is taken."""
    from case_studies.quality_against_snr import best_that_fit, capacity_bit, frechet, received

    values = np.random.default_rng(1).standard_normal((50, 4, 16, 16)).astype(np.float32)
    for snr_db, copies in ((-10.0, 1), (0.0, 12), (15.0, 1)):
        error = float(((received(values, snr_db, copies, 3) - values) ** 2).mean())
        assert error == pytest.approx(values.var() / (1 + copies * 10 ** (snr_db / 10)), rel=0.03)
    assert capacity_bit(0.0, 1024) == pytest.approx(512)
    assert capacity_bit(10 * np.log10(3), 10) == pytest.approx(10)
    bits, error = np.array([[8.0, 8.0, 80.0], [4.0, 40.0, 40.0]]), np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]])
    made = [np.full((3, 1, 1, 3), k, np.uint8) for k in (1, 2)]
    pictures, lost = best_that_fit(bits, error, made, 39.0, np.zeros((1, 1, 3), np.uint8))
    assert pictures[:, 0, 0, 0].tolist() == [1, 1, 0]
    assert lost == pytest.approx(1 / 3)
    seen = np.random.default_rng(2).standard_normal((300, 5))
    assert frechet(seen + 2.0, seen) == pytest.approx(20.0)
    assert frechet(3.0 * seen, seen) == pytest.approx(
        4 * np.trace(np.cov(seen, rowvar=False)) + 4 * (seen.mean(0) ** 2).sum()
    )


def test_kept_rows_of_quality_against_snr_hold_together() -> None:
    """Nothing is lost where a code fits, more SNR loses less, and pixels get better without end."""
    from case_studies.quality_against_snr import INDEX_BIT, LATENT, PIXELS, PUBLISHED_SNR_DB

    from megdt_opt.program.token_merging import index_byte

    frame = study("quality_against_snr").frame()
    assert index_byte(16, 16, 0.5) * 8 == INDEX_BIT
    assert set(PUBLISHED_SNR_DB) <= set(frame.snr_db)
    for scheme in ("digital seed", "jpeg"):
        for symbols in (LATENT, PIXELS):
            mine = frame[(frame.scheme == scheme) & (frame.symbols == symbols)].sort_values("snr_db")
            assert mine.lost.is_monotonic_decreasing
    pixels = frame[frame.scheme == "centralised"].sort_values("snr_db")
    assert pixels.psnr_truth_db.is_monotonic_increasing
    assert (frame[frame.symbols == 0].read >= 0.95).all()


def phone_cells() -> Iterable[dict[str, Any]]:
    from case_studies.phone_cell import rows_for, settings_of
    from case_studies.phones import LCM, SD15

    for pair in (SD15, LCM):
        yield from rows_for(pair, 5, next(iter(settings_of(pair))), (0,))


def leads() -> Iterable[dict[str, Any]]:
    from case_studies.phone_leads import batching_rows, decode_rows

    yield from decode_rows()
    yield from batching_rows()


def mechanism_cells() -> Iterable[dict[str, Any]]:
    from case_studies.mechanisms import random_cell, ranges

    small = [seed for seed in range(100) if ranges(seed)["users"] == 2 and ranges(seed)["steps"] == 5]
    for seed in small[:2]:
        yield {"kind": "random"} | random_cell(seed)


def shared_cells() -> Iterable[dict[str, Any]]:
    from case_studies.shared_steps import rows

    return islice(rows(), 1)


def searched_cells() -> Iterable[dict[str, Any]]:
    from case_studies.heuristics import rows

    return rows(0, 2)


def refreshed_cells() -> Iterable[dict[str, Any]]:
    from case_studies.refresh import BAND_HZ, cell

    return cell(1, BAND_HZ, 0)


def batched_cells() -> Iterable[dict[str, Any]]:
    from case_studies.batch_quality import rows

    return islice(rows((3,), (0,)), 1)


COMPUTED: dict[str, tuple[Callable[[], Iterable[dict[str, Any]]], list[str]]] = {
    "phone_cell": (
        phone_cells,
        ["kind", "model", "phones", "seed", "codec", "band_hz", "passes", "batches", "objective"],
    ),
    "phone_leads": (leads, ["kind", "device", "model"]),
    "mechanisms": (mechanism_cells, ["kind", "seed"]),
    "heuristics": (searched_cells, ["seed"]),
    "shared_steps": (shared_cells, ["processors", "band_mhz", "quality_weight", "seed"]),
    "refresh": (refreshed_cells, ["users", "band_hz", "seed", "mechanism"]),
    "batch_quality": (batched_cells, ["users", "machine", "deadlines", "seed"]),
}


@pytest.mark.parametrize("name", COMPUTED)
def test_rows_are_what_the_package_computes(name: str) -> None:
    """A few rows of each table are computed again: numbers agree within what the plans are proven to.

    How near a bound comes within a time limit depends on the machine: it must stay below the plan of the table.
    """
    make, keys = COMPUTED[name]
    kept = study(name).frame()
    for row in make():
        mine = kept
        for key in keys:
            mine = mine[mine[key] == row[key]]
        assert len(mine) == 1, row
        for column, value in row.items():
            if column == "bound_s" and "found_s" in row:
                assert value <= mine["found_s"].item() * (1 + 1e-9)
            elif isinstance(value, float) and value == value:
                assert mine[column].item() == pytest.approx(value, rel=2e-3), column


def test_proofs_and_plans_of_every_table_are_in_order() -> None:
    """No plan is below its bound, no heuristic below the optimum, and a mix is no worse than what it may choose."""
    from case_studies.mechanisms import MECHANISMS

    cells = study("phone_cell").frame().query("kind == 'cell'")
    assert (cells.bound_s <= cells.found_s * (1 + 1e-9)).all()
    plans = study("mechanisms").frame()
    for mechanism in MECHANISMS:
        assert (plans.bound_s <= plans[f"all_{mechanism}_s"] * (1 + 1e-9)).all(), mechanism
    searched = study("heuristics").frame()
    for name in ("random", "greedy", "genetic_0", "genetic_1", "genetic_2", "equal", "afterwards"):
        assert (searched.bound <= searched[name] * (1 + 1e-9)).all(), name
    refreshed = study("refresh").frame()
    mix = refreshed[refreshed.mechanism == "mix"].set_index(["users", "band_hz", "seed"]).period_bound_s
    for key, own in refreshed.groupby(["users", "band_hz", "seed"]):
        assert mix[key] <= own.period_s.min() * (1 + 1e-9)
        assert own[own.mechanism == "mix"].age_peak_s.item() == own.age_peak_s.min()
    shared = study("shared_steps").frame()
    assert (shared.optimum_s <= shared.held_s * (1 + 1e-9)).all()
    assert (shared.tuned_s <= shared.optimum_s * (1 + 1e-9)).all()
    batched = study("batch_quality").frame()
    assert (batched[["plan", "equal_bands", "swarm"]].max(axis=1) <= batched.bound * (1 + 1e-6)).all()
