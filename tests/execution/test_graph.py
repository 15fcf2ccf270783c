"""What each leaf waits for, and who holds the results."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standin_model import SPEC

from megdt_opt.execution.graph import graph, image_holder, latent_holder, regions
from megdt_opt.program.mechanisms import Option, Setting, program
from megdt_opt.program.schedule import predict
from megdt_opt.program.stages import Compute, Kind, Parallel, Series, leaves, series

SETTING = Setting(spec=SPEC, scheduler="ddim", steps=6, device="phone")


def leaf(name):
    return Compute(at=name, kind=Kind.DECODE)


def test_series_and_parallel():
    a, b, c, d = (leaf(x) for x in "abcd")
    nodes = graph(Series((a, Parallel((Series((b, c)), Series(()))), d)))
    assert [sorted(n.before) for n in nodes] == [[], [0], [1], [0, 2]]
    assert [n.actor for n in nodes] == list("abcd")


@st.composite
def programs(draw, depth=3):
    """A random series-parallel program."""
    if depth == 0 or draw(st.booleans()):
        return leaf(draw(st.sampled_from("abc")))
    shape = draw(st.sampled_from((Series, Parallel)))
    return shape(tuple(draw(st.lists(programs(depth=depth - 1), min_size=shape is Parallel, max_size=3))))


@settings(max_examples=200, deadline=None)
@given(stages=programs(), data=st.data())
def test_the_order_that_is_executed_is_the_one_that_is_predicted(stages, data):
    """Each leaf starts when those before it have ended: the same times as the prediction's."""
    nodes = graph(stages)
    seconds = [data.draw(st.integers(0, 9)) for _ in nodes]
    order = iter(seconds)
    predicted = predict(stages, lambda _: next(order)) if nodes else ()
    ends = []
    for node, time in zip(nodes, predicted, strict=True):
        start = max((ends[n] for n in node.before), default=0)
        ends.append(start + seconds[node.index])
        assert (start, ends[-1]) == (time.start_s, time.start_s + time.duration_s)


def test_empty_parallel_is_passed_through():
    nodes = graph(Series((leaf("a"), Parallel(()), leaf("b"))))
    assert [sorted(n.before) for n in nodes] == [[], [0]]


def test_parallel_mechanism_joins_before_fusion():
    nodes = graph(program(Option(mechanism="PEU", share=0.5, precision="fp16"), SETTING))
    kinds = [n.leaf.kind if isinstance(n.leaf, Compute) else "send" for n in nodes]
    assert kinds == ["send", "encode_prompt", "denoise", "send", "encode_prompt", "denoise", "fuse", "decode"]
    assert [sorted(n.before) for n in nodes] == [[], [0], [1], [2], [], [4], [3, 5], [6]]


@pytest.mark.parametrize(
    ("option", "image", "latent"),
    [
        (Option(mechanism="local"), "phone", "phone"),
        (Option(mechanism="centralised", cut=6, codec="raw"), "phone", "edge"),
        (Option(mechanism="centralised", cut=6, codec="png"), "phone", "edge"),
        (Option(mechanism="E2U", cut=6, precision="fp16"), "phone", "edge"),
        (Option(mechanism="SEU", cut=3, precision="fp16"), "phone", "phone"),
        (Option(mechanism="SEU-UE-first", cut=3, precision="fp16"), "phone", "edge"),
        (Option(mechanism="PEU", share=0.5, precision="fp16"), "phone", "phone"),
    ],
)
def test_holders(option, image, latent):
    stages = program(option, SETTING)
    assert (image_holder(leaves(stages)), latent_holder(leaves(stages))) == (image, latent)


def test_no_picture_no_holder():
    stages = series(Compute(at="a", kind=Kind.ENCODE_PROMPT))
    assert image_holder(leaves(stages)) is None
    assert latent_holder(leaves(stages)) is None


def test_regions():
    found = regions(leaves(program(Option(mechanism="PEU", share=0.5, precision="fp16"), SETTING)))
    assert found == {"part_a": (0, 10), "part_b": (6, 16)}
