"""The law of batches: what is fitted, and profiles whose batches follow none."""

from __future__ import annotations

from dataclasses import replace

import pytest

from megdt_opt import TimingProfile
from megdt_opt.errors import ProfileError
from megdt_opt.timing.batch_law import batch_law
from megdt_opt.timing.profile import Cell
from megdt_opt.timing.published import PublishedTimings


def timed(medians_s: dict[int, float], held_out: dict[int, float] | None = None) -> TimingProfile:
    def cells(of: dict[int, float]) -> tuple[Cell, ...]:
        return tuple(Cell(kind="denoise", batch=n, samples_s=(t, t, t)) for n, t in of.items())

    return replace(TimingProfile.bundled("twin-cpu"), cells=cells(medians_s), held_out=cells(held_out or {}))


def test_a_law_is_recovered_with_its_errors() -> None:
    law = batch_law(timed({1: 0.3, 2: 0.5, 8: 1.7}, {4: 1.0}))
    assert (law.slope_s, law.base_s) == pytest.approx((0.2, 0.1), rel=1e-12)
    assert law.sizes == (1, 2, 8)
    assert law.misfit < 1e-12
    assert law.held_out == pytest.approx(0.1, rel=1e-9)  # the law says 0.9
    assert "0.2 s X + 0.1 s" in law.words.replace("200 ms", "0.2 s").replace("100 ms", "0.1 s")
    assert "10.0 % off those that were not fitted" in law.words
    assert law.at(5) == pytest.approx(1.1, rel=1e-12)


def test_the_bundled_profile_has_batches() -> None:
    law = batch_law(TimingProfile.bundled("twin-cpu"))
    assert law.sizes == (1, 2, 4, 8)
    assert law.misfit < 0.1
    assert law.held_out is not None
    assert law.held_out < 0.15


def test_published_batches_have_a_law() -> None:
    law = batch_law(PublishedTimings.load().profile("NVIDIA A100 80GB PCIe", "SD1.4", precision="fp16"))
    assert len(law.sizes) >= 7
    assert law.held_out is None


@pytest.mark.parametrize(
    ("medians_s", "said"),
    [
        (
            {1: 1.0, 2: 2.5},
            r"intercept of the denoise batches of the edge \(twin on .*\): found -0\.5.*at least 0 \[s\]",
        ),
        ({1: 0.1, 2: 0.5, 4: 1.9}, "intercept of the denoise batches"),
        ({1: 2.0, 2: 1.5}, r"slope of the denoise batches.*found -0\.5.*at least 0 \[s\]"),
        ({4: 1.0}, r"sizes of denoise batches.*found \(4,\); expected at least 2 batch sizes"),
    ],
    ids=["dearer together", "dearer and dearer", "cheaper the more there are", "one size alone"],
)
def test_batches_without_a_law_are_refused(medians_s: dict[int, float], said: str) -> None:
    with pytest.raises(ProfileError, match=said) as caught:
        batch_law(timed(medians_s))
    assert "megdt-opt calibrate --batches 1,2,4,8" in str(caught.value)


def test_a_measured_profile_that_gains_nothing_from_batches_is_refused() -> None:
    with pytest.raises(ProfileError, match="intercept of the denoise batches of hall"):
        batch_law(TimingProfile.bundled("sd15-cpu"), "hall")
