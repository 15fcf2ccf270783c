"""Calibration of a real, if tiny, model: what a profile holds and what is refused. No time is asserted."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor

from megdt_opt.calibration import DriftReport, calibrate, environment, recalibrate
from megdt_opt.calibration.drift import _report
from megdt_opt.calibration.environment import OtherLoad
from megdt_opt.calibration.inputs import example_requests, has_real_requests
from megdt_opt.cli.calibrate import calibrate_model
from megdt_opt.errors import InvalidInput, ProfileError
from megdt_opt.models.diffusers.model import DiffusersModel
from megdt_opt.program.stages import Kind
from megdt_opt.report.profile_grids import profile_grid
from megdt_opt.timing.profile import Cell, TimingProfile

pytestmark = pytest.mark.alone  # times of the machine


@pytest.fixture(scope="module")
def profile(model: DiffusersModel) -> TimingProfile:
    return calibrate(
        model,
        batches=(1, 2, 4),
        held_out_batches={Kind.DENOISE: (3,)},
        held_out_rows=(4,),
        samples=6,
        warmup=1,
    )


class Coded(DiffusersModel):
    """The small model, said to be trained, so that its pictures are coded."""

    weights = "trained"
    real_requests = True

    def __init__(self, other: DiffusersModel) -> None:
        self.__dict__.update({**other.__dict__, "weights": "trained"})

    def example_requests(self, count: int, seed: int = 0) -> list[dict[str, Tensor]]:
        return [{"state": torch.full((1, 8), 7.0 + seed)} for _ in range(count)]


def test_all_stages_batches_and_regions_are_there_with_all_samples(profile: TimingProfile) -> None:
    assert profile.kinds == {Kind.ENCODE_PROMPT, Kind.SENSE, Kind.DENOISE, Kind.DECODE, Kind.FUSE}
    for kind in (Kind.ENCODE_PROMPT, Kind.SENSE, Kind.DENOISE, Kind.DECODE):
        assert profile.batches(kind) == (1, 2, 4)
    assert profile.batches(Kind.FUSE) == (1,)
    assert profile.regions(Kind.DENOISE) == (2, 6)
    assert [(c.kind, c.batch, c.rows) for c in profile.held_out] == [
        (Kind.DENOISE, 3, None),
        (Kind.DENOISE, 1, 4),
    ]
    for cell in (*profile.cells, *profile.held_out):
        assert len(cell.samples_s) == len(cell.at_s) == 6
        assert cell.first_s is not None


def test_held_out_cells_are_predicted_by_the_fits(profile: TimingProfile) -> None:
    batch, region = profile.held_out_errors()
    assert batch.predicted_s == profile.fit(Kind.DENOISE).at(3)
    assert region.predicted_s == profile.region_fit(Kind.DENOISE).at(4)
    assert batch.error == batch.predicted_s / batch.measured_s - 1


def test_the_provenance_is_complete(profile: TimingProfile) -> None:
    facts = profile.provenance
    assert facts.source == "measured"
    assert facts.weights == "random"
    assert (facts.threads, facts.warmup, facts.precision) == (1, 1, "fp32")
    assert facts.hardware["kind"] == "cpu"
    assert {"python", "torch", "os", "diffusers"} <= set(facts.software)
    assert facts.passes_per_step == 2
    assert facts.latent_shape == (4, 8, 8)
    assert "ddim" in facts.method


def test_it_survives_a_file(profile: TimingProfile, tmp_path: Path) -> None:
    profile.save(tmp_path / "tiny.json")
    assert TimingProfile.load(tmp_path / "tiny.json") == profile


def test_pictures_of_trained_weights_are_coded_and_sized(model: DiffusersModel) -> None:
    made = calibrate(
        Coded(model),
        kinds=["decode", "compress", "decompress"],
        batches=(1,),
        held_out_batches=(),
        samples=2,
        warmup=1,
    )
    assert made.kinds == {Kind.DECODE, Kind.COMPRESS, Kind.DECOMPRESS}
    assert set(made.image_byte_samples) == {"png", "jpeg"}
    assert len(made.image_byte_samples["png"]) == 16
    assert made.image_byte("raw") == 16 * 16 * 3
    assert made.stage_s(Kind.COMPRESS, codec="jpeg") > 0
    assert made.provenance.weights == "trained"


def test_requests_are_the_models_own_or_zeros(model: DiffusersModel) -> None:
    assert not has_real_requests(model)
    assert len(example_requests(model, 3)) == 3

    class Bare:
        spec = model.spec

    assert torch.equal(example_requests(Bare(), 2)[1]["state"], torch.zeros(1, 8))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"samples": 0}, "samples"),
        ({"warmup": 0}, "warmup"),
        ({"threads": 0}, "threads"),
        ({"threads": True}, "threads"),
        ({"batches": (0,)}, "batches"),
        ({"batches": (1, 3)}, "held_out_batches"),
        ({"kinds": ["dream"]}, "kinds"),
        ({"kinds": []}, "kinds"),
        ({"kinds": ["compress"]}, "kinds"),
        ({"rows": (3,)}, "rows"),
        ({"rows": (8,)}, "rows"),
        ({"held_out_rows": (5,)}, "held_out_rows"),
        ({"scheduler": "lms"}, "scheduler"),
        ({"precision": "fp16"}, "precision"),
        ({"device": "toaster"}, "device"),
        ({"device": "meta"}, "device"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(
    model: DiffusersModel, arguments: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput, match=field) as caught:
        calibrate(model, **arguments)  # type: ignore[arg-type]
    assert "expected" in str(caught.value)


# ---- drift


def test_a_short_calibration_measures_the_same_cells(profile: TimingProfile, model: DiffusersModel) -> None:
    report = recalibrate(profile, model, samples=2)
    assert set(report.by_kind) == profile.kinds
    assert report.interval[0] <= report.factor <= report.interval[1]
    assert {(c.kind, c.batch) for c in report.cells} == {(k, 1) for k in profile.kinds}
    assert report.other_cores is None or report.other_cores >= 0
    only = recalibrate(profile, model, kinds=["denoise"], samples=1)
    assert set(only.by_kind) == {Kind.DENOISE}
    assert only.factor_of(Kind.DECODE) == only.factor


def test_a_known_drift_is_found_and_corrected(profile: TimingProfile) -> None:
    before = [c for c in profile.cells if c.batch == 1 and c.rows is None]
    now = [
        Cell(
            kind=c.kind,
            batch=1,
            samples_s=tuple(t * (2.0 if c.kind is Kind.DECODE else 1.2) for t in c.samples_s),
        )
        for c in before
    ]
    report = _report("2026-01-31T12:00:00+00:00", before, now)
    assert report.factor == pytest.approx(1.2)
    assert report.factor_of(Kind.DECODE) == pytest.approx(2.0)
    fixed = report.corrected(profile)
    for batch in (1, 3):
        assert fixed.stage_s(Kind.DENOISE, batch=batch) == pytest.approx(
            1.2 * profile.stage_s(Kind.DENOISE, batch=batch)
        )
    assert fixed.stage_s(Kind.DECODE) == pytest.approx(2.0 * profile.stage_s(Kind.DECODE))
    assert "drift" in fixed.provenance.stretches[-1]


def test_without_denoising_the_factor_is_that_of_all_stages() -> None:
    old = [Cell(kind=k, batch=1, samples_s=(1.0, 1.0)) for k in (Kind.DECODE, Kind.SENSE)]
    new = [Cell(kind=k, batch=1, samples_s=(f, f)) for k, f in ((Kind.DECODE, 1.0), (Kind.SENSE, 3.0))]
    report = _report("2026-01-31T12:00:00+00:00", old, new)
    assert isinstance(report, DriftReport)
    assert report.factor == 2.0


def test_profiles_that_cannot_drift_are_refused(profile: TimingProfile, model: DiffusersModel) -> None:
    from megdt_opt.timing.published import published_profile

    with pytest.raises(ProfileError, match="published"):
        recalibrate(published_profile("A100", "SDXL"), model)
    with pytest.raises(ProfileError, match="stretch"):
        recalibrate(profile.stretched(2.0, "slow"), model)
    other = TimingProfile(device="cpu", model="other", provenance=profile.provenance, cells=profile.cells)
    with pytest.raises(ProfileError, match="model"):
        recalibrate(other, model)
    with pytest.raises(ProfileError, match="stages"):
        recalibrate(profile, model, kinds=["compress"])
    with pytest.raises(InvalidInput, match="samples"):
        recalibrate(profile, model, samples=0)


def test_where_the_system_does_not_tell_what_else_ran_nothing_is_claimed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("megdt_opt.calibration.environment._busy_s", lambda: None)
    assert OtherLoad().cores() is None
    assert OtherLoad().sentence() == ()


@pytest.mark.parametrize(
    ("used", "cores", "threads", "share"),
    [(1.84, 2, 1, 0.16), (2.0, 2, 1, 0.05), (3.0, 4, 2, 0.5), (0.02, 2, 2, 1.0), (0.5, 2, 1, 1.0), (None, 2, 1, 1.0)],
)
def test_what_a_busy_machine_leaves_to_a_calibration(
    used: float | None, cores: int, threads: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "cores", lambda: cores)
    load = OtherLoad()
    monkeypatch.setattr(load, "cores", lambda: used)
    assert load.idle_share(threads) == pytest.approx(share)


@pytest.mark.parametrize("used", [1.84, 1.5, 2.0])
def test_a_calibration_on_a_busy_machine_warns_and_widens(
    used: float, model: DiffusersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the terminal, in the profile, and in its intervals."""
    monkeypatch.setattr(OtherLoad, "cores", lambda _: used)
    monkeypatch.setattr(environment, "cores", lambda: 2)
    monkeypatch.setattr("megdt_opt.cli.calibrate.load_model", lambda *_, **__: model)
    console = Console(record=True, width=500, file=io.StringIO())
    found = calibrate_model("tiny", samples=3, batches=(1,), console=console)
    assert found.provenance.idle_share == pytest.approx(max(2 - used, 0.05))
    assert "Warning: other processes left" in console.export_text()
    cell = found.cell(Kind.DENOISE)
    assert cell is not None
    assert found.stage_interval_s(Kind.DENOISE) == pytest.approx(
        (cell.interval_s[0] * found.provenance.idle_share, cell.interval_s[1])
    )
    assert any("Doubt: other processes left" in note for note in profile_grid(found).notes)
