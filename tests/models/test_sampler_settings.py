"""Settings of a `scheduler_config.json`: the chain is that of diffusers' own pipeline, or a refusal by name."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from megdt_opt.errors import InvalidInput
from megdt_opt.models.diffusers.architecture import DEFAULT_SCHEDULE
from megdt_opt.models.sampling import Samplers
from megdt_opt.models.sampling.noise import standard_normal

SHAPE = (4, 4, 4)
NOISE = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
DDIM, EULER, DPM, PNDM, SINGLE, ANCESTRAL, LCM, FLOW = (
    "DDIMScheduler",
    "EulerDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "PNDMScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "LCMScheduler",
    "FlowMatchEulerDiscreteScheduler",
)
pytestmark = pytest.mark.filterwarnings("ignore")  # diffusers' own


def predict(latent: Tensor, timestep: Tensor) -> Tensor:
    return torch.tanh(latent) * (0.2 + float(timestep) / 2000)


def of_pipeline(scheduler: Any, pipeline: str) -> Any:
    """A scheduler as diffusers' pipeline has it."""
    if pipeline != "StableDiffusionPipeline":
        return scheduler
    parts: dict[str, Any] = dict.fromkeys(("vae", "text_encoder", "tokenizer", "unet", "safety_checker"))
    made = diffusers.StableDiffusionPipeline(
        **parts, feature_extractor=None, scheduler=scheduler, requires_safety_checker=False
    )
    return made.scheduler


def theirs(file: dict[str, Any], pipeline: str, steps: int, other: str = "", **how: Any) -> Tensor:
    """The chain of diffusers with a file's own scheduler, or with another made from it."""
    own = of_pipeline(getattr(diffusers, file["_class_name"]).from_config(file), pipeline)
    made = getattr(diffusers, other).from_config(own.config) if other else own
    made.set_timesteps(steps, **how)
    generator = torch.Generator().manual_seed(4)
    latent = torch.randn((1, *SHAPE), generator=generator) * getattr(made, "init_noise_sigma", 1.0)
    noisy = {"generator": generator} if "Ancestral" in type(made).__name__ else {}
    for timestep in made.timesteps:
        scaled = made.scale_model_input(latent, timestep) if hasattr(made, "scale_model_input") else latent
        latent = made.step(predict(scaled, timestep), timestep, latent, return_dict=False, **noisy)[0]
    return latent


@cache
def samplers_of(text: str, pipeline: str, tokens: int | None = None) -> Samplers:
    return Samplers(json.loads(text), pipeline=pipeline, tokens=tokens)


def ours(file: dict[str, Any], pipeline: str, sampler: str, steps: int, **how: Any) -> Tensor:
    made = samplers_of(json.dumps(file), pipeline, **how).get(sampler, steps)
    return made.run(made.start(4, SHAPE), predict, first=0, count=steps)["latent"]


HONOURED = {
    "zero terminal SNR, DDIM": (DDIM, {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction",
                                       "timestep_spacing": "trailing"}),
    "zero terminal SNR, Euler": (EULER, {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction",
                                         "timestep_spacing": "trailing"}),
    "zero terminal SNR, ancestral": (ANCESTRAL, {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}),
    "Karras levels, DPM++": (DPM, {"use_karras_sigmas": True}),
    "Karras levels, Euler": (EULER, {"use_karras_sigmas": True}),
    "Karras levels, singlestep": (SINGLE, {"use_karras_sigmas": True}),
    "exponential levels": (DPM, {"use_exponential_sigmas": True}),
    "beta levels": (EULER, {"use_beta_sigmas": True}),
    "Lu levels": (DPM, {"use_lu_lambdas": True}),
    "levels between bounds": (EULER, {"use_karras_sigmas": True, "sigma_min": 0.05, "sigma_max": 12.0}),
    "trained betas, DDIM": (DDIM, {"trained_betas": torch.linspace(0.001, 0.011, 1000).tolist()}),
    "trained betas, Euler": (EULER, {"trained_betas": torch.linspace(0.002, 0.01, 1000).tolist()}),
    "trained betas, DPM++": (DPM, {"trained_betas": torch.linspace(0.0005, 0.013, 1000).tolist()}),
    "the spacing of the class, DDIM": (DDIM, {}),
    "the spacing of the class, Euler": (EULER, {}),
    "the spacing of the class, DPM++": (DPM, {}),
    "an offset that the pipeline overrules": (EULER, {"timestep_spacing": "leading", "steps_offset": 0}),
    "clipping that the pipeline overrules": (DDIM, {"clip_sample": True}),
    "thresholding, DDIM": (DDIM, {"thresholding": True, "sample_max_value": 1.5}),
    "thresholding, DPM++": (DPM, {"thresholding": True}),
    "prediction of the picture": (DDIM, {"prediction_type": "sample"}),
    "a last level above zero": (EULER, {"final_sigmas_type": "sigma_min"}),
    "a last level above zero, DPM++": (DPM, {"final_sigmas_type": "sigma_min"}),
    "a last step of order 1": (DPM, {"euler_at_final": True}),
    "Heun's second order": (DPM, {"solver_type": "heun", "lower_order_final": False}),
    "levels between in logarithms": (EULER, {"interpolation_type": "log_linear"}),
    "fewest levels of the cosine schedule": (DPM, {"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1}),
    "the last alpha": (DDIM, {"set_alpha_to_one": False}),
}  # fmt: skip
NAMES = {DDIM: "ddim", EULER: "euler", DPM: "dpmpp", PNDM: "pndm", SINGLE: "dpmpp_2s", ANCESTRAL: "euler_ancestral"}


@pytest.mark.long_list("setting")
@pytest.mark.parametrize("pipeline", ["StableDiffusionPipeline", "StableDiffusionXLPipeline"])
@pytest.mark.parametrize("setting", HONOURED)
def test_a_setting_is_honoured_as_diffusers_pipeline_does(setting: str, pipeline: str) -> None:
    kind, stated = HONOURED[setting]
    file = {**NOISE, "_class_name": kind, **stated}
    for steps in (5, 8):
        assert torch.equal(ours(file, pipeline, NAMES[kind], steps), theirs(file, pipeline, steps)), steps


@pytest.mark.parametrize(
    ("kind", "other"), [(PNDM, EULER), (DDIM, DPM), (EULER, DDIM), (DPM, ANCESTRAL), (DDIM, EULER)]
)
def test_another_sampler_gets_the_files_settings_as_from_config_gives_them(kind: str, other: str) -> None:
    """Where the file states no spacing or offset, each class takes its own."""
    for stated in ({}, {"timestep_spacing": "trailing"}, {"timestep_spacing": "leading", "steps_offset": 1}):
        file = {**NOISE, "_class_name": kind, "clip_sample": False, "skip_prk_steps": True, **stated}
        found = ours(file, "StableDiffusionPipeline", NAMES[other], 6)
        assert torch.equal(found, theirs(file, "StableDiffusionPipeline", 6, other)), stated


@pytest.mark.parametrize("tokens", [16, 4096, 5000])
def test_levels_that_depend_on_the_pictures_size(tokens: int) -> None:
    file = {"_class_name": FLOW, "num_train_timesteps": 1000, "use_dynamic_shifting": True}
    for pipeline, most in (("StableDiffusion3Pipeline", 1.15), ("FluxPipeline", 1.15)):
        shift = 0.5 + (tokens - 256) * (most - 0.5) / (4096 - 256)
        how: dict[str, Any] = {"mu": shift}
        if pipeline == "FluxPipeline":
            how["sigmas"] = [1.0 - n / 7 for n in range(7)]
        expected = theirs(file, pipeline, 7, **how)
        assert torch.allclose(ours(file, pipeline, "flow_euler", 7, tokens=tokens), expected, rtol=1e-6, atol=1e-6)
    with pytest.raises(InvalidInput, match="use_dynamic_shifting"):
        Samplers(file)


REFUSED = [
    (PNDM, {"skip_prk_steps": False}, "skip_prk_steps"),
    (PNDM, {"skip_prk_steps": True, "rescale_betas_zero_snr": True}, "rescale_betas_zero_snr"),
    (PNDM, {}, "skip_prk_steps"),
    (DPM, {"solver_order": 3}, "solver_order"),
    (DPM, {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}, "algorithm_type"),
    (DPM, {"variance_type": "learned_range"}, "variance_type"),
    (DDIM, {"use_karras_sigmas": True}, "use_karras_sigmas"),
    (EULER, {"thresholding": True}, "thresholding"),
    (ANCESTRAL, {"use_beta_sigmas": True}, "use_beta_sigmas"),
    (LCM, {"use_exponential_sigmas": True}, "use_exponential_sigmas"),
    (EULER, {"a_new_setting": 3}, "a_new_setting"),
    (EULER, {"beta_schedule": "wavy"}, "wavy"),
    (DDIM, {"prediction_type": "colour"}, "colour"),
    (FLOW, {"stochastic_sampling": True}, "stochastic_sampling"),
    (FLOW, {"invert_sigmas": True}, "invert_sigmas"),
    ("HeunDiscreteScheduler", {}, "_class_name"),
    ("UniPCMultistepScheduler", {}, "_class_name"),
    ("MyScheduler", {}, "_class_name"),
]


@pytest.mark.parametrize(("kind", "stated", "named"), REFUSED)
def test_what_the_pipelines_own_scheduler_cannot_honour_is_refused_by_name(
    kind: str, stated: dict[str, Any], named: str
) -> None:
    noise = {"num_train_timesteps": 1000} if kind == FLOW else NOISE
    with pytest.raises(InvalidInput, match=named):
        Samplers({**noise, "_class_name": kind, **stated})


@pytest.mark.parametrize(
    ("stated", "left_out"),
    [
        ({"_class_name": DPM, "use_karras_sigmas": True}, {"ddim", "ddim_eta1", "euler_ancestral", "pndm", "lcm"}),
        ({"_class_name": DDIM, "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
         {"pndm", "dpmpp_2s", "dpmpp_sde"}),
        ({"_class_name": DDIM, "clip_sample": False, "thresholding": True}, {"euler", "euler_ancestral", "pndm"}),
        ({"_class_name": DDIM, "clip_sample": True},
         {"euler", "euler_ancestral", "pndm", "dpmpp", "dpmpp_2m_sde", "dpmpp_2s", "dpmpp_sde"}),
    ],
)  # fmt: skip
def test_a_sampler_that_would_drop_a_setting_is_not_offered(stated: dict[str, Any], left_out: set[str]) -> None:
    samplers = Samplers({**NOISE, **stated})
    every = set(Samplers(DEFAULT_SCHEDULE).names)
    assert every - set(samplers.names) == left_out
    for name in left_out:
        with pytest.raises(InvalidInput, match=f"scheduler {name}.*scheduler_config.json"):
            samplers.get(name, 6)


REFUSED_STEPS = {
    *((name, 1000) for name in ("ddim", "dpmpp", "dpmpp_sde")),  # a timestep that was not trained, steps of no length
    *(("lcm", steps) for steps in (1000, 999, 51)),  # it was distilled for 50
    ("pndm", 2),  # its first step is made twice
}


@pytest.mark.long_list("sampler")
@pytest.mark.parametrize("steps", [1000, 999, 51, 2])
@pytest.mark.parametrize("sampler", ["ddim", "dpmpp", "euler_ancestral", "dpmpp_sde", "pndm", "lcm"])
def test_any_number_of_steps_works_or_is_refused_before_a_step_is_made(sampler: str, steps: int) -> None:
    samplers = Samplers({**NOISE, "_class_name": DDIM, "clip_sample": False}, pipeline="StableDiffusionPipeline")
    if (sampler, steps) in REFUSED_STEPS:
        with pytest.raises(InvalidInput, match="steps"):
            samplers.get(sampler, steps)
        return
    made = samplers.get(sampler, steps)
    latent = made.run(made.start(0, SHAPE), lambda latent, _: 0.1 * latent, first=0, count=steps)["latent"]
    assert torch.isfinite(latent).all()


def test_noise_is_that_of_the_seed() -> None:
    made = Samplers(DEFAULT_SCHEDULE).get("ddim", 3)
    assert torch.equal(made.start(4, SHAPE)["latent"], standard_normal(4, (1, *SHAPE)))
