"""Mechanisms as stage programs, their latency terms and costs."""

from __future__ import annotations

import pytest

from megdt_opt.errors import InvalidInput, NotRepresentable
from megdt_opt.program.costs import program_costs
from megdt_opt.program.latency import LatencyTerms, latency_terms
from megdt_opt.program.mechanisms import MECHANISMS, Option, Setting, catalogue, program, split_rows
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.schedule import predict
from megdt_opt.program.stages import EDGE, Compute, Kind, Parallel, Payload, Send, Series, TensorSpec, is_edge, leaves
from megdt_opt.program.wire import payload_byte

EDGE_STEP_S, DEVICE_STEP_S, OTHER_S, BIT = 0.01, 0.05, 0.002, 1000.0


def compute_s(leaf: Compute) -> float:
    if leaf.kind is not Kind.DENOISE:
        return OTHER_S
    return leaf.amount * (EDGE_STEP_S if is_edge(leaf.at) else DEVICE_STEP_S)


def terms(option: Option, setting: Setting):  # type: ignore[no-untyped-def]
    return latency_terms(program(option, setting), compute_s=compute_s, send_bit=lambda leaf: BIT, propagation_s=0.001)


@pytest.fixture
def setting(spec: ModelSpec) -> Setting:
    return Setting(spec=spec, scheduler="dpmpp", steps=10, device="phone")


def test_catalogue_offers_every_mechanism_once(setting: Setting) -> None:
    found = catalogue(setting)
    assert {o.mechanism for o in found} == set(MECHANISMS)
    assert len({o.name for o in found}) == len(found)
    # local + 3 centralised + per precision: E2U, 9 SEU, 9 SEU-UE-first, 3 PEU, 3 U2E
    assert len(found) == 1 + 3 + 3 * (1 + 9 + 9 + 3 + 3)


def test_every_program_denoises_each_step_once(setting: Setting) -> None:
    for option in catalogue(setting):
        whole = [x for x in leaves(program(option, setting)) if isinstance(x, Compute) and x.kind is Kind.DENOISE]
        if option.mechanism == "PEU":
            assert {x.amount for x in whole} == {10}
            assert whole[0].rows != whole[1].rows
        elif option.mechanism == "U2E":
            assert (whole[0].first, whole[0].amount) == (4, 6)
        else:
            steps = [n for x in whole for n in range(x.first, x.first + x.amount)]
            assert steps == list(range(10)), option.name


def test_terms_of_the_single_user_mechanisms(setting: Setting) -> None:
    local = terms(Option(mechanism="local"), setting)
    assert not local.shared
    assert local.fixed_s == pytest.approx(10 * DEVICE_STEP_S + 2 * OTHER_S)

    e2u = terms(Option(mechanism="E2U", cut=10, precision="fp16"), setting)
    assert e2u.edge_work_s == pytest.approx(10 * EDGE_STEP_S + OTHER_S)
    assert (e2u.uplink_bit, e2u.downlink_bit) == (BIT, BIT)
    assert e2u.fixed_s == pytest.approx(OTHER_S + 2 * 0.001)

    seu = terms(Option(mechanism="SEU", cut=3, precision="fp16"), setting)
    assert seu.edge_work_s == pytest.approx(3 * EDGE_STEP_S + OTHER_S)
    assert seu.fixed_s == pytest.approx(7 * DEVICE_STEP_S + 2 * OTHER_S + 2 * 0.001)

    private = terms(Option(mechanism="SEU-UE-first", cut=3, precision="fp16"), setting)
    assert private.edge_work_s == pytest.approx(7 * EDGE_STEP_S)
    assert private.fixed_s == pytest.approx(3 * DEVICE_STEP_S + 2 * OTHER_S + 2 * 0.001)

    peu = terms(Option(mechanism="PEU", share=0.5, precision="fp16"), setting)
    # propagation of the edge branch moves the device branch, which runs beside it, forward
    assert peu.device_branch_s == pytest.approx(10 * DEVICE_STEP_S + OTHER_S - 2 * 0.001)
    assert peu.fixed_s == pytest.approx(2 * OTHER_S + 2 * 0.001)


@pytest.mark.parametrize("shown_at", ["device", "edge"])
def test_terms_equal_the_walk_of_the_program(spec: ModelSpec, shown_at: str) -> None:
    setting = Setting(spec=spec, scheduler="euler", steps=6, device="phone", shown_at=shown_at)
    share, up, down = 0.4, 2000.0, 5000.0

    def duration_s(leaf: Compute | Send) -> float:
        if isinstance(leaf, Send):
            return BIT / (down if is_edge(leaf.source) else up) + 0.001
        return compute_s(leaf) / (share if is_edge(leaf.at) else 1.0)

    for option in catalogue(setting):
        t = terms(option, setting)
        edge_branch_s = t.uplink_bit / up + t.edge_work_s / share + t.downlink_bit / down
        formula_s = t.fixed_s + max(t.device_branch_s, edge_branch_s)
        walked_s = max(x.start_s + x.duration_s for x in predict(program(option, setting), duration_s))
        assert walked_s == pytest.approx(formula_s, rel=1e-12), option.name


def test_privacy_sends_no_request(setting: Setting) -> None:
    sends = [x for x in leaves(program(Option(mechanism="SEU-UE-first", cut=3, precision="fp32"), setting))]
    payloads = [x.payload for x in sends if isinstance(x, Send)]
    assert payloads == [Payload.LATENT, Payload.SEED]


def test_history_travels_only_with_interior_cuts_of_multistep_samplers(setting: Setting, spec: ModelSpec) -> None:
    def names(option: Option, used: Setting) -> set[str]:
        return {t.name for x in leaves(program(option, used)) if isinstance(x, Send) for t in x.tensors}

    seu = Option(mechanism="SEU", cut=3, precision="fp16")
    assert "state.previous_x0" in names(seu, setting)
    assert "state.previous_x0" not in names(Option(mechanism="E2U", cut=10, precision="fp16"), setting)
    assert "state.previous_x0" not in names(seu, Setting(spec=spec, scheduler="ddim", steps=10, device="phone"))


def test_costs(setting: Setting, spec: ModelSpec) -> None:
    option = Option(mechanism="E2U", cut=10, precision="fp16")
    costs = program_costs(program(option, setting), spec, compute_s=compute_s, compute_power_w=3.0)
    assert costs.edge_s == pytest.approx(10 * EDGE_STEP_S + OTHER_S)
    assert (costs.edge_byte, costs.device_byte) == (51_000, 20_000)
    assert costs.device_compute_j == pytest.approx(3.0 * OTHER_S)
    assert costs.messages == 2


def test_split_rows_overlap_and_cover(spec: ModelSpec) -> None:
    for share in (0.25, 0.5, 0.75):
        top, bottom = split_rows(spec, share, 4)
        assert top[0] == 0
        assert bottom[1] == 16
        assert top[1] - bottom[0] == 4
    with pytest.raises(InvalidInput, match="share"):
        split_rows(spec, 1.0, 4)


def _send(source: str, to: str) -> Send:
    return Send(source=source, to=(to,), payload=Payload.SEED, tensors=(TensorSpec(name="a.b", shape=(1,)),))


DELAY_S = 0.001


def _fold(stage: Series | Parallel | Send) -> LatencyTerms:
    return latency_terms(stage, compute_s=compute_s, send_bit=lambda leaf: BIT, propagation_s=DELAY_S)


def test_shapes_that_are_no_chain_with_one_branch_are_graphs_of_tasks() -> None:
    at_once = _fold(Parallel((_send("phone", EDGE), _send(EDGE, "phone"))))
    assert [t.waits_for for t in at_once.tasks] == [frozenset(), frozenset()]
    assert (at_once.uplink_bit, at_once.downlink_bit, at_once.fixed_s) == (BIT, BIT, DELAY_S)
    both = Parallel((_send(EDGE, "phone"), Compute(at="phone", kind=Kind.DECODE)))
    joined = _fold(Series((_send("phone", EDGE), both, Compute(at=EDGE, kind=Kind.DECODE))))
    assert [t.waits_for for t in joined.tasks] == [frozenset(), {0}, {0}, {1, 2}]
    assert [t.fixed_s for t in joined.tasks] == [DELAY_S, DELAY_S, OTHER_S, 0.0]
    assert [t.edge_work_s for t in joined.tasks] == [0.0, 0.0, 0.0, OTHER_S]
    # what no share shortens: both propagations, or the device beside the second
    assert joined.fixed_s == DELAY_S + max(DELAY_S, OTHER_S)
    assert joined.device_branch_s == 0.0


def test_chains_with_one_branch_have_no_tasks() -> None:
    both = Parallel((Series((_send("phone", EDGE), _send(EDGE, "phone"))), Compute(at="phone", kind=Kind.DECODE)))
    found = _fold(Series((both, Compute(at="phone", kind=Kind.DECODE))))
    assert found.tasks == ()
    assert (found.fixed_s, found.device_branch_s) == (2 * DELAY_S + OTHER_S, 0.0)


def test_what_no_user_can_run_alone_names_the_stage() -> None:
    with pytest.raises(NotRepresentable, match="send seed.*d2d"):
        _fold(_send("phone", "tablet"))
    two = Parallel((Compute(at="phone", kind=Kind.DECODE), Series((Compute(at="phone", kind=Kind.ENCODE_PROMPT),))))
    with pytest.raises(NotRepresentable, match="'encode_prompt at phone' beside 'decode at phone': a device"):
        _fold(Series((_send("phone", EDGE), two)))
    # the same stages one after another, or at the edge, can be
    assert not _fold(Series(two.branches)).tasks
    edge = Parallel((Compute(at=EDGE, kind=Kind.DECODE), Compute(at=EDGE, kind=Kind.ENCODE_PROMPT)))
    assert len(_fold(Series((edge,))).tasks) == 2


def test_refuses_unknown_names(setting: Setting, spec: ModelSpec) -> None:
    with pytest.raises(InvalidInput, match="mechanism"):
        program(Option(mechanism="E3U"), setting)
    with pytest.raises(InvalidInput, match="cut"):
        program(Option(mechanism="SEU", cut=10, precision="fp16"), setting)
    with pytest.raises(InvalidInput, match="scheduler"):
        Setting(spec=spec, scheduler="heun", steps=10, device="phone")
    with pytest.raises(InvalidInput, match="precision"):
        Send(source="edge", to=("phone",), payload=Payload.SEED, tensors=(), precision="fp8")


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_payload_size_equals_the_serialiser(precision: str) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save

    from megdt_opt.program.wire import stored_tensors

    tensors = (
        TensorSpec(name="state.latent", shape=(1, 4, 16, 16)),
        TensorSpec(name="conditioning.tokens", shape=(1, 5, 24)),
        TensorSpec(name="image.pixels", shape=(1, 8, 8, 3), floating=False),
    )
    kinds = {"F32": torch.float32, "F16": torch.float16, "U8": torch.uint8}
    blob = save({n: torch.zeros(shape, dtype=kinds[d]) for n, d, shape, _ in stored_tensors(tensors, precision)})
    assert payload_byte(tensors, precision) == len(blob)
