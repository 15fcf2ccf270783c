"""A timing profile belongs to a model, and what it cannot tell is refused or said."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from megdt_opt import InvalidInput, ProfileError, Scenario, TimingProfile, plan, sweep
from megdt_opt.models.registry import find_spec, load_model
from megdt_opt.program.costs import weight_bits
from megdt_opt.program.stages import Kind
from megdt_opt.scenario.options import OptionTable
from megdt_opt.timing.provenance import Provenance
from megdt_opt.timing.trust import check_model, doubts

PHONE = {"name": "phone", "downlink_efficiency": "3 bit/s/Hz", "uplink_efficiency": "2 bit/s/Hz"}


def scenario(model: str, edge: str | None = None, own: str | None = None, **device: Any) -> Scenario:
    given = {} if own is None else {"profile": own}
    return Scenario(
        model=model, steps=20, cuts=(10,), channel={"downlink": "1 MHz", "uplink": "1 MHz"},
        edge={} if edge is None else {"profile": edge},
        users=[{**PHONE, "device": {**given, **device}}],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("model", "edge", "device", "field"),
    [
        ("sd15", None, "sd15-cpu", r"edge\.profile"),
        ("sdxl", "published: RTX 4090 / SDXL", None, r"users\.0\.device\.profile"),
        ("sd15", None, None, r"edge\.profile"),
    ],
)
def test_only_the_twin_has_a_default_profile(model: str, edge: str | None, device: str | None, field: str) -> None:
    with pytest.raises(InvalidInput, match=rf"{field}.*{model}"):
        scenario(model, edge, device)
    assert scenario("twin").edge.profile == "twin-cpu"


@pytest.mark.parametrize(
    ("model", "edge", "device", "other"),
    [
        ("sd15", "twin-cpu", "sd15-cpu", "the edge.*'twin'.*'sd15'"),
        ("sd15", "sd15-cpu", "twin-cpu", "user phone.*'twin'.*'sd15'"),
        ("sdxl", "sd15-cpu", "sd15-cpu", r"'sd15'.*\(4, 64, 64\).*'sdxl'.*\(4, 128, 128\)"),
        ("twin", "twin-cpu", "sd15-cpu", "'sd15'.*'twin'"),
        ("sd15", "published: RTX 4090 / SDXL", "sd15-cpu", "'SDXL'.*'sd15'"),
    ],
)
def test_a_profile_of_another_model_is_an_error_that_names_both(model: str, edge: str, device: str, other: str) -> None:
    with pytest.raises(ProfileError, match=other):
        plan(scenario(model, edge, device))


def test_a_profile_of_the_model_is_taken() -> None:
    table = OptionTable.build(scenario("sd15", "sd15-cpu", "sd15-cpu"))
    terms = table.terms(0, table.index("local"))
    assert terms is not None
    sd15 = TimingProfile.bundled("sd15-cpu")
    kinds = (Kind.ENCODE_PROMPT, Kind.DECODE, *[Kind.DENOISE] * 20)
    assert terms.fixed_s == pytest.approx(sum(sd15.stage_s(kind) for kind in kinds))
    assert plan(table, compare=False).objective_s > 100
    published = "published: A100 (compiled) / SD1.5"
    assert OptionTable.build(scenario("sd15", published, "sd15-cpu")).machines.edges["edge"].published


@pytest.mark.parametrize(
    "change",
    [{"latent_shape": (4, 32, 32)}, {"image_shape": (128, 128, 3)}, {"passes_per_step": 2}],
    ids=["latent", "picture", "passes"],
)
def test_a_profile_of_another_shape_is_refused(change: dict[str, Any]) -> None:
    twin = TimingProfile.bundled("twin-cpu")
    other = replace(twin, provenance=replace(twin.provenance, **change))
    with pytest.raises(ProfileError, match="timing profile of the edge"):
        plan(scenario("twin", "mine"), {"mine": other})


@pytest.mark.parametrize("name", ["here", "edge", "twin"])
def test_a_profile_that_nothing_uses_is_an_error_that_lists_what_is_used(name: str) -> None:
    twin = TimingProfile.bundled("twin-cpu")
    with pytest.raises(InvalidInput, match=rf"{name}.*\['twin-cpu'\]"):
        plan(scenario("twin"), {name: twin})
    with pytest.raises(InvalidInput, match=rf"{name}.*\['twin-cpu'\]"):
        sweep(scenario("twin"), {"steps": [2, 4]}, profiles={name: twin}, compare=False)
    with pytest.raises(InvalidInput, match=name):
        plan(OptionTable.build(scenario("twin")), {name: twin})


def test_a_sweep_may_name_its_profiles_in_its_cells() -> None:
    twin = TimingProfile.bundled("twin-cpu")
    found = sweep(scenario("twin"), {"edge.profile": ["twin-cpu", "mine"]}, profiles={"mine": twin}, compare=False)
    assert found["objective_s"].nunique() == 1


@pytest.mark.parametrize(
    ("precision", "weights_byte"),
    [("fp32", 4.128e9), ("fp16", 2.064e9), ("w8a16", 1.032e9), ("4-bit", 0.516e9)],
)
def test_memory_counts_the_weights_in_the_profiles_precision(precision: str, weights_byte: float) -> None:
    sd15 = TimingProfile.bundled("sd15-cpu")
    timed = replace(sd15, provenance=replace(sd15.provenance, precision=precision))
    for memory_byte, fits in ((weights_byte * 1.01, True), (weights_byte * 0.99, False)):
        one = scenario("sd15", "mine", "mine", memory_byte=memory_byte)
        accepted = one.model_copy(update={"unmeasured_quality": None if precision == "fp32" else "accept"})
        table = OptionTable.build(accepted, {"mine": timed})
        closed = table.closed_by(0, table.index("local"))
        assert closed == () if fits else "memory" in closed[0]
    assert table.costs(0, table.index("local")).device_byte == pytest.approx(weights_byte)  # type: ignore[union-attr]


def test_sd15_in_fp32_needs_more_than_three_gigabytes() -> None:
    table = OptionTable.build(scenario("sd15", "sd15-cpu", "sd15-cpu", memory="3 GB"))
    assert "memory 3 GB" in table.closed_by(0, table.index("local"))[0]


@pytest.mark.parametrize(
    ("name", "bits"), [("bf16", 16), ("int8", 8), ("w4a16", 4), ("4.04-bit", 4.04), ("half", None)]
)
def test_bits_of_a_weight(name: str, bits: float | None) -> None:
    assert weight_bits(name) == bits


def test_a_precision_that_tells_nothing_is_refused() -> None:
    twin = TimingProfile.bundled("twin-cpu")
    other = replace(twin, provenance=replace(twin.provenance, precision="half"))
    with pytest.raises(InvalidInput, match="precision.*half"):
        plan(scenario("twin", "mine"), {"mine": other})


@pytest.mark.parametrize("asked", [{"precision": "fp16"}, {"precision": "bf16"}, {"device": "cuda"}])
def test_the_twin_is_not_loaded_as_what_it_is_not(asked: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match=f"{next(iter(asked))}.*twin"):
        load_model("twin", **asked)


# ---- what a profile says of itself


def twin_with(**change: Any) -> TimingProfile:
    twin = TimingProfile.bundled("twin-cpu")
    return replace(twin, provenance=replace(twin.provenance, **change))


def notes(profile: TimingProfile) -> str:
    return " ".join(plan(scenario("twin", "mine", "twin-cpu"), {"mine": profile}, compare=False).notes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"threads": 64}, "the edge.*64 threads.*computes with 1"),
        ({"precision": "fp16"}, "the edge.*fp16.*computes in fp32"),
        ({"weights": "random"}, "the edge.*random weights"),
        ({"factor": 1000.0, "stretches": ("a slow device",)}, "the edge.*1000.*emulated"),
    ],
)
def test_what_an_execution_cannot_honour_is_said(change: dict[str, Any], said: str) -> None:
    assert re.search(said, notes(twin_with(**change)))
    assert not re.search("the edge|an execution", notes(TimingProfile.bundled("twin-cpu")))


def test_a_scaled_profile_says_why() -> None:
    with pytest.raises(ProfileError, match="stretches"):
        twin_with(factor=1000.0)


@pytest.mark.parametrize("created", ["2099-01-01T00:00:00+00:00", "2200-12-31T23:59:59+00:00", "9999-01-01T00:00:00Z"])
def test_a_profile_from_the_future_is_refused(created: str) -> None:
    with pytest.raises(ProfileError, match="created.*future"):
        twin_with(created=created)


@pytest.mark.parametrize("sample_s", [1e-12, 1e-300, 9.9e-10])
def test_samples_below_the_resolution_of_clocks_are_refused(sample_s: float) -> None:
    cell = TimingProfile.bundled("twin-cpu").cells[0]
    with pytest.raises(ProfileError, match="resolution"):
        replace(cell, samples_s=(*cell.samples_s[:-1], sample_s))


@pytest.mark.parametrize(("codec", "size"), [("png", 1), ("png", 60), ("jpeg", 100)])
def test_impossible_sizes_of_pictures_are_refused(codec: str, size: int) -> None:
    twin = TimingProfile.bundled("twin-cpu")
    sizes = {**twin.image_byte_samples, codec: (size, *twin.image_byte_samples[codec][1:])}
    with pytest.raises(ProfileError, match=rf"image_byte_samples\['{codec}'\].*{size}.*byte"):
        plan(scenario("twin", "mine"), {"mine": replace(twin, image_byte_samples=sizes)})


@pytest.mark.parametrize("growth", [3.0, 2.0, 0.4])
def test_a_drift_within_the_calibration_is_said(growth: float) -> None:
    twin = TimingProfile.bundled("twin-cpu")

    def drifting(samples: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(s * growth ** (n / (len(samples) - 1)) for n, s in enumerate(samples))

    moved = replace(twin, cells=tuple(replace(c, samples_s=drifting(c.samples_s)) for c in twin.cells))
    assert "changed by a factor" in notes(moved)
    assert doubts(twin) == ()


@pytest.mark.parametrize("rows", [2, 8, 14])
def test_a_region_slower_than_the_whole_is_said(rows: int) -> None:
    twin = TimingProfile.bundled("twin-cpu")
    whole = twin.stage_s(Kind.DENOISE)
    cells = [c.scaled(1.5 * whole / c.median_s) if (c.kind, c.rows) == (Kind.DENOISE, rows) else c for c in twin.cells]
    assert f"rows {rows} of 16 took 1.50 times as long" in notes(replace(twin, cells=tuple(cells)))


@pytest.mark.parametrize("left", [0.25, 0.08, 0.9])
def test_a_busy_calibration_is_said_and_has_wider_intervals(left: float) -> None:
    twin = TimingProfile.bundled("twin-cpu")
    busy = twin_with(idle_share=left)
    low, high = twin.stage_interval_s(Kind.DECODE) or (0.0, 0.0)
    assert busy.stage_interval_s(Kind.DECODE) == pytest.approx((low * left, high))
    assert f"{100 * left:.0f} %" in notes(busy)
    assert TimingProfile.from_dict(busy.to_dict()) == busy


def test_provenance_that_claims_more_than_an_idle_machine() -> None:
    for share in (0.0, 1.5, float("nan")):
        with pytest.raises(ProfileError, match="idle_share"):
            twin_with(idle_share=share)


@pytest.mark.parametrize("name", ["twin-cpu", "sd15-cpu"])
def test_bundled_profiles_are_of_their_models(name: str) -> None:
    profile = TimingProfile.bundled(name)
    check_model(profile, find_spec(profile.model), "the edge")
    assert isinstance(profile.provenance, Provenance)
    assert doubts(profile) == ()
