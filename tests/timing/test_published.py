"""Profiles from published figures: what they take from the tables, and what they refuse."""

from __future__ import annotations

import pytest

from megdt_opt.errors import ProfileError
from megdt_opt.program.stages import Kind
from megdt_opt.timing.published import PublishedTimings, published_profile


def test_every_listed_pair_gives_a_profile() -> None:
    table = PublishedTimings.load()
    assert len(table.devices()) > 40
    for device, model in table.devices():
        rows = [r for r in table.rows if (r.device, r.model) == (device, model)]
        for precision in {r.precision for r in rows}:
            profile = table.profile(device, model, precision=precision)
            assert profile.published
            assert profile.provenance.texts
            assert profile.stage_s(Kind.DENOISE) > 0
            assert profile.stage_interval_s(Kind.DENOISE) is None
            assert profile.stage_interval_s(Kind.DENOISE, batch=3) is None


def test_a_phone_takes_two_passes_a_step_unless_told() -> None:
    phone = published_profile("Samsung Galaxy S25", "SD1.5")
    assert phone.provenance.passes_per_step == 2
    one = published_profile("Samsung Galaxy S25", "SD1.5", passes_per_step=1)
    assert phone.stage_s(Kind.DENOISE) == pytest.approx(2 * one.stage_s(Kind.DENOISE))
    assert {Kind.ENCODE_PROMPT, Kind.DECODE} <= phone.kinds
    assert phone.provenance.latent_shape == (4, 64, 64)
    assert phone.image_byte("raw") == 512 * 512 * 3


def test_models_without_guidance_take_one_pass() -> None:
    profile = published_profile("A100", "SDXL-LCM")
    assert profile.provenance.passes_per_step == 1
    assert profile.stage_s(Kind.DENOISE) == pytest.approx(0.048)


def test_published_steps_at_several_batches_are_fitted() -> None:
    profile = published_profile("A100", "SDXL")
    assert profile.batches(Kind.DENOISE) == (1, 4, 16)
    assert profile.stage_s(Kind.DENOISE, batch=4) == pytest.approx(0.4098)
    fit = profile.fit(Kind.DENOISE)
    assert (fit.a_s + fit.b_s) / fit.a_s == pytest.approx(1.2, abs=0.05)


def test_a_whole_generation_is_divided_by_its_steps_and_says_so() -> None:
    profile = published_profile("NVIDIA A10", "SD1.4", precision="fp16")
    assert profile.stage_s(Kind.DENOISE) == pytest.approx(2.01 / 30)
    assert "upper estimate" in profile.provenance.method


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"device": "Toaster", "model": "SD1.5"}, "Toaster"),
        ({"device": "A100", "model": "SD9"}, "SD9"),
        ({"device": "NVIDIA A10", "model": "SD1.4"}, "precision"),
        ({"device": "A100", "model": "SDXL", "precision": "fp8"}, "precision"),
        ({"device": "A100", "model": "SDXL", "resolution": 512}, "resolution"),
        ({"device": "A100", "model": "SDXL", "passes_per_step": 1}, "passes_per_step"),
        # the source does not say how many steps, so no time of a step follows
        ({"device": "NVIDIA H100 PCIe MIG 1g.10gb", "model": "SD1.4"}, "H100"),
    ],
)
def test_what_was_not_published_is_refused(arguments: dict[str, object], names: str) -> None:
    with pytest.raises(ProfileError, match=names) as caught:
        published_profile(**arguments)  # type: ignore[arg-type]
    assert "expected" in str(caught.value)


def test_stages_that_were_not_published_are_missing_not_guessed() -> None:
    phone = published_profile("iPhone 14", "SD2.1")
    with pytest.raises(ProfileError, match="decode"):
        phone.stage_s(Kind.DECODE)
    with pytest.raises(ProfileError, match="region"):
        phone.stage_s(Kind.DENOISE, rows=8)
