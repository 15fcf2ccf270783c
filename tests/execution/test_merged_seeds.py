"""Merged and coded seeds through real processes: bytes are counted as they are, and an honest length is not blamed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from megdt_opt import Scenario, execute, plan
from megdt_opt.execution import Cluster
from megdt_opt.program.stages import Send, leaves
from megdt_opt.program.wire import payload_byte, payload_span_byte
from megdt_opt.scenario.options import OptionTable
from megdt_opt.trials.execute import cluster_of
from megdt_opt.trials.pictures import judge_pictures
from megdt_opt.verdict.figures import model_figures, payload_figures
from megdt_opt.verdict.limits import PSNR_DB
from megdt_opt.verdict.stated import stated_of

MECHANISMS = ("E2U", "SEU", "SEU-UE-first")


def scenario(precision: str) -> Scenario:
    return Scenario(
        name="seeds", steps=4, objective="max", edge={"profile": "twin-cpu", "stretch": 4},
        channel={"downlink": "60 kHz", "uplink": "60 kHz", "propagation": "2 ms"},
        users=[
            {
                "name": f"u{k}", "device": {"profile": "twin-cpu", "stretch": 6}, "downlink_efficiency": "4 bit/s/Hz",
                "uplink_efficiency": "4 bit/s/Hz", "mechanisms": [mechanism], "precisions": [precision],
                "scene": k, "seed": k,
            }
            for k, mechanism in enumerate(MECHANISMS)
        ],
    )  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The edge and three devices, started once for the file."""
    with cluster_of(OptionTable.build(scenario("int8+merge25"))) as running:
        yield running


@pytest.mark.parametrize("precision", ["int8+merge25", "int8+merge50", "int4+coded", "int4+merge50+coded"])
def test_a_plan_with_merged_seeds_is_executed_and_judged(cluster: Cluster, precision: str) -> None:
    made = plan(scenario(precision), compare=False)
    done = execute(made, cluster=cluster)
    coded = precision.endswith("+coded")
    for user in made.users:
        rows = {row.index: row for row in done.rows if row.user == user.name}
        for index, leaf in enumerate(leaves(user.program)):
            if isinstance(leaf, Send) and leaf.precision == precision:
                least, most, _ = payload_span_byte(leaf.tensors, precision)
                assert least <= rows[index].payload_byte <= most
                assert coded or rows[index].payload_byte == payload_byte(leaf.tensors, precision)
    stated = stated_of(made)
    pictures = judge_pictures(made.table, made.users, done.images)
    for figures, _ in (payload_figures(stated, done), model_figures(stated, [done], pictures)):
        assert figures
        assert all(figure.distance <= 1 for figure in figures)
    assert all(picture.psnr_db >= PSNR_DB[precision] for picture in pictures)
    assert sum(p.found for p in pictures) >= 0.95 * sum(p.objects for p in pictures)
