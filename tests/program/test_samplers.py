"""What samplers hand over is what plans count: the bits of a hand-over, by sampler, cut, direction and precision."""

from __future__ import annotations

from dataclasses import replace

import pytest

from megdt_opt.errors import InvalidInput
from megdt_opt.program.blocks import latent_tensors, send_latent
from megdt_opt.program.dataflow import check_dataflow
from megdt_opt.program.latency import latency_terms
from megdt_opt.program.mechanisms import Option, Setting, program
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.samplers import is_offered, state_shapes
from megdt_opt.program.stages import TensorSpec
from megdt_opt.program.wire import payload_byte

STEPS = 7
LATENTS = {  # latents in all that the state holds after 1, 2, ... steps
    "ddim": (1, 1, 1, 1, 1, 1),
    "euler_ancestral": (1, 1, 1, 1, 1, 1),
    "lcm": (1, 1, 1, 1, 1, 1),
    "ddim_eta0.5": (1, 1, 1, 1, 1, 1),
    "dpmpp": (2, 2, 2, 2, 2, 2),
    "dpmpp_2m_sde": (2, 2, 2, 2, 2, 2),
    "dpmpp_2s": (3, 1, 3, 1, 3, 1),
    "dpmpp_sde": (3, 1, 3, 1, 3, 1),
    "pndm": (3, 2, 3, 4, 4, 4),
}
RANDOM = {"euler_ancestral", "lcm", "ddim_eta0.5", "dpmpp_2m_sde", "dpmpp_sde"}
OFFERED = ("ddim", "euler_ancestral", "lcm", "ddim_eta1", "dpmpp", "dpmpp_2m_sde", "dpmpp_2s", "dpmpp_sde", "pndm")


@pytest.mark.parametrize("mechanism", ["SEU", "SEU-UE-first"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("sampler", LATENTS)
def test_a_plan_counts_what_the_sampler_hands_over(
    spec: ModelSpec, sampler: str, precision: str, mechanism: str
) -> None:
    setting = Setting(spec=replace(spec, schedulers=OFFERED), scheduler=sampler, steps=STEPS, device="phone")
    channels, rows, columns = spec.latent_shape
    each = channels * rows * columns * {"fp32": 4, "fp16": 2, "int8": 1}[precision]
    scales = 8 * channels if precision == "int8" else 0
    for cut, latents in enumerate(LATENTS[sampler], start=1):
        option = Option(mechanism=mechanism, cut=cut, precision=precision)
        stages = program(option, setting)
        check_dataflow(stages, setting, senses=False, shown_at="device")
        terms = latency_terms(
            stages, compute_s=lambda leaf: 0.0, send_bit=lambda leaf: 8.0 * payload_byte(leaf.tensors, leaf.precision)
        )
        state = latent_tensors(setting, history=True, done=cut)
        data = payload_byte(state, precision) - payload_byte([], precision)
        carried = latents * (each + scales) + (16 if sampler in RANDOM else 0)
        assert carried < data < carried + 100 * 3 * len(state)  # the header names the tensors
        sent = 8.0 * payload_byte(state, precision)
        if mechanism == "SEU":
            assert terms.downlink_bit == sent
        else:
            asked = [TensorSpec(name=f"conditioning.{n}", shape=(1, *shape)) for n, shape in spec.conditioning.items()]
            assert terms.uplink_bit == 8.0 * payload_byte([*state, *asked], precision)


def test_a_chain_from_a_picture_begins_its_history_there() -> None:
    assert [len(state_shapes("pndm", (1, 1, 1), done=done, entered=3)) for done in (4, 5, 6, 7, 8)] == [3, 2, 3, 4, 4]


@pytest.mark.parametrize("sampler", ["pndm", "dpmpp_2s", "dpmpp_sde"])
def test_a_history_that_depends_on_the_step_asks_for_it(spec: ModelSpec, sampler: str) -> None:
    setting = Setting(spec=replace(spec, schedulers=OFFERED), scheduler=sampler, steps=STEPS, device="phone")
    with pytest.raises(InvalidInput, match="done: found None"):
        send_latent(setting, "fp16", history=True)
    assert send_latent(setting, "fp16", history=True, done=3).tensors


def test_one_weight_of_noise_stands_for_all() -> None:
    assert is_offered("ddim_eta0.25", ("ddim", "ddim_eta1"))
    for name, offered in (("ddim_eta0.25", ("ddim",)), ("ddim_eta0", ("ddim_eta1",)), ("ddim_eta1.5", ("ddim_eta1",))):
        assert not is_offered(name, offered)
