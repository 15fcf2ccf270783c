"""The twin's decoder that was trained with noise: better with noise, near the other without, chosen by its name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from megdt_opt import InvalidInput, Scenario, plan
from megdt_opt.models.decoders import with_own_decoder
from megdt_opt.models.planned import PlannedModel
from megdt_opt.models.registry import load_model
from megdt_opt.models.specs import bundled_spec
from megdt_opt.models.twin.detector import score
from megdt_opt.models.twin.model import TwinModel
from megdt_opt.models.twin.scenes import random_scene, render

SCENES = [random_scene(np.random.default_rng(9_500_000 + i)) for i in range(12)]


def read_and_psnr_db(model: TwinModel, latents: torch.Tensor) -> tuple[float, float]:
    pictures = model.decode(latents).numpy()
    found = [score(picture, scene) for picture, scene in zip(pictures, SCENES, strict=True)]
    error = np.mean((pictures.astype(float) - np.stack([render(scene) for scene in SCENES])) ** 2)
    return sum(f for f, _ in found) / sum(o for _, o in found), float(10 * np.log10(255**2 / error))


def test_it_reads_more_with_noise_and_nearly_as_well_without() -> None:
    bundled, trained = TwinModel.load(), load_model("twin", decoder="noisy")
    latents = bundled.sense(torch.from_numpy(np.stack([render(scene) for scene in SCENES])))
    snr = 10 ** (2.5 / 10)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1)) / snr**0.5
    arrived = (latents + noise) * snr / (1 + snr)
    (read, psnr), (other_read, other_psnr) = (read_and_psnr_db(m, arrived) for m in (trained, bundled))  # type: ignore
    assert read > other_read + 0.1
    assert psnr > other_psnr + 2
    clean_read, clean = read_and_psnr_db(trained, latents)  # type: ignore[arg-type]
    assert clean_read >= 0.95
    assert clean > read_and_psnr_db(bundled, latents)[1] - 5


def test_it_is_planned_with_the_models_own_times_and_loaded_by_the_device_alone() -> None:
    spec = bundled_spec()
    assert with_own_decoder(spec, "noisy") == with_own_decoder(spec, None) == spec
    latent = torch.zeros(1, 4, 16, 16)
    pictures = [PlannedModel(spec=spec, decoder=name).load().decode(latent) for name in (None, "noisy")]
    assert not torch.equal(*pictures)
    made = plan(cell(decoder="noisy"), compare=False)
    assert any("decodes with noisy in place of the model's own decoder" in note for note in made.notes)


@pytest.mark.parametrize("name", ["quiet", "Noisy", "models/taesd"])
def test_another_decoder_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"decoder: .*expected one of \('noisy',\)"):
        plan(cell(decoder=name))


def cell(**device: Any) -> Scenario:
    user = {"name": "phone", "device": {"stretch": 6, **device}, "mechanisms": ["E2U"], "precisions": ["int8+merge50"],
            "downlink_efficiency": "2 bit/s/Hz", "uplink_efficiency": "2 bit/s/Hz"}  # fmt: skip
    return Scenario(
        name="one", steps=4, edge={"stretch": 2}, channel={"downlink": "1 MHz", "uplink": "1 MHz"}, users=[user]
    )
