"""Mechanisms that send a sketch: their stages, sizes and costs, and who is offered them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from megdt_opt import InvalidInput
from megdt_opt.errors import NotRepresentable
from megdt_opt.execution.graph import entry_of, image_holder, latent_holder
from megdt_opt.execution.plain import program_from_plain, program_to_plain
from megdt_opt.program.batches import check_batched
from megdt_opt.program.costs import program_costs
from megdt_opt.program.dataflow import check_dataflow
from megdt_opt.program.latency import latency_terms
from megdt_opt.program.mechanisms import MECHANISM_REGISTRY, MECHANISMS, Option, Setting, catalogue, program
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.sketches import FROM_DEVICE, FROM_EDGE, SKETCH_MECHANISMS
from megdt_opt.program.stages import Compute, Payload, Send, leaves

STEPS = 5


def setting(spec: ModelSpec, *, sketch: str = "alone", shown_at: str = "device") -> Setting:
    own = replace(spec, sketch=sketch, weight_byte={**spec.weight_byte, "read_sketch": 7})
    return Setting(spec=own, scheduler="ddim", steps=STEPS, device="phone", shown_at=shown_at)


def options(given: Setting) -> list[Option]:
    return [option for option in catalogue(given, own=SKETCH_MECHANISMS) if option.mechanism in SKETCH_MECHANISMS]


@pytest.mark.parametrize("sketch", ["alone", "prompt"])
@pytest.mark.parametrize("shown_at", ["device", "edge"])
@pytest.mark.parametrize("mechanism", SKETCH_MECHANISMS)
def test_every_option_can_run_and_ends_where_it_is_shown(
    spec: ModelSpec, sketch: str, shown_at: str, mechanism: str
) -> None:
    given = setting(spec, sketch=sketch, shown_at=shown_at)
    declared = MECHANISM_REGISTRY.require(mechanism)
    found = [option for option in options(given) if option.mechanism == mechanism]
    assert len(found) == (3 if mechanism == FROM_DEVICE and shown_at == "device" else 1)
    if shown_at not in declared.shown_at:
        return
    for option in found:
        stages = program(option, given)
        check_dataflow(stages, given, senses=declared.senses, shown_at=shown_at)
        assert program_from_plain(program_to_plain(stages)) == stages
        every = tuple(leaves(stages))
        assert image_holder(every) == ("phone" if shown_at == "device" else "edge")
        assert latent_holder(every) == ("phone" if mechanism == FROM_EDGE else "edge")
        assert entry_of(every) == 0
        last = [leaf for leaf in every if isinstance(leaf, Compute) and leaf.kind == "denoise_sketch"]
        assert [(leaf.first, leaf.amount) for leaf in last] == [(0, STEPS)]


def test_the_request_goes_with_the_sketch_where_the_generator_takes_the_prompt(spec: ModelSpec) -> None:
    for sketch, direction, parts in (
        ("alone", FROM_DEVICE, ["sketch.bytes"]),
        ("prompt", FROM_DEVICE, ["sketch.bytes", *(f"request.{name}" for name in spec.request)]),
        ("alone", FROM_EDGE, ["sketch.bytes"]),
        ("prompt", FROM_EDGE, ["sketch.bytes"]),
    ):
        stages = program(Option(mechanism=direction, codec="raw"), setting(spec, sketch=sketch))
        (sent,) = (leaf for leaf in leaves(stages) if isinstance(leaf, Send) and leaf.payload is Payload.SKETCH)
        assert [tensor.name for tensor in sent.tensors] == parts
        assert sent.codec == "sketch"
        assert [tensor.coded for tensor in sent.tensors] == [True] + [False] * (len(parts) - 1)
        encoded = [leaf.at for leaf in leaves(stages) if isinstance(leaf, Compute) and leaf.kind == "encode_prompt"]
        assert encoded == (["edge"] if direction == FROM_EDGE or sketch == "prompt" else []) + (
            ["phone"] if direction == FROM_EDGE and sketch == "prompt" else []
        )


def test_terms_are_those_of_the_stages(spec: ModelSpec) -> None:
    given = setting(spec)
    seconds = {"encode_prompt": 1.0, "denoise": 10.0, "denoise_sketch": 100.0, "decode": 1e3, "sketch": 1e4,
               "read_sketch": 1e5, "compress": 1e6, "decompress": 1e7}  # fmt: skip
    bits = {Payload.REQUEST: 1.0, Payload.SKETCH: 10.0, Payload.IMAGE: 100.0}

    def terms(option: Option):  # type: ignore[no-untyped-def]
        return latency_terms(
            program(option, given),
            compute_s=lambda leaf: leaf.amount * seconds[leaf.kind],
            send_bit=lambda leaf: bits[leaf.payload],
        )

    down = terms(Option(mechanism=FROM_EDGE))
    assert (down.uplink_bit, down.downlink_bit) == (1.0, 10.0)
    assert down.edge_work_s == 1.0 + 50.0 + 1e3 + 1e4
    assert down.fixed_s == 1e5 + 500.0 + 1e3
    up = terms(Option(mechanism=FROM_DEVICE, codec="png"))
    assert (up.uplink_bit, up.downlink_bit) == (10.0, 100.0)
    assert up.edge_work_s == 1e5 + 500.0 + 1e3 + 1e6
    assert up.fixed_s == 1e4 + 1e7


def test_the_side_that_reads_the_sketch_holds_the_generator(spec: ModelSpec) -> None:
    given = setting(spec)
    byte = given.spec.weight_byte
    for mechanism, at in ((FROM_EDGE, "device"), (FROM_DEVICE, "edge")):
        stages = program(Option(mechanism=mechanism, codec="raw"), given)
        costs = program_costs(stages, given.spec, compute_s=lambda leaf: 1.0)
        reads = byte["read_sketch"] + byte["denoise"] + byte["decode"]
        assert getattr(costs, f"{at}_byte") == reads
        other = byte["encode_prompt"] + byte["denoise"] + byte["decode"] if mechanism == FROM_EDGE else 0
        assert getattr(costs, "edge_byte" if at == "device" else "device_byte") == other


def test_they_are_offered_to_those_who_list_them_and_not_in_batches(spec: ModelSpec) -> None:
    assert not set(SKETCH_MECHANISMS) & set(MECHANISMS)
    assert set(SKETCH_MECHANISMS) <= set(MECHANISM_REGISTRY.built_in)
    given = setting(spec)
    assert not set(SKETCH_MECHANISMS) & {option.mechanism for option in catalogue(given)}
    for option in options(given):
        with pytest.raises(NotRepresentable, match="in batches, an edge"):
            check_batched(program(option, given))


@pytest.mark.parametrize("missing", ["sketch", "read_sketch"])
def test_a_program_without_one_of_their_stages_is_refused_by_that_stage(spec: ModelSpec, missing: str) -> None:
    given = setting(spec)
    stages = program(Option(mechanism=FROM_EDGE), given)
    kept = replace(stages, stages=tuple(s for s in stages.stages if getattr(s, "kind", "") != missing))
    with pytest.raises(InvalidInput, match="the item 'sketch'|the item 'guide'"):
        check_dataflow(kept, given, senses=False, shown_at="device")
