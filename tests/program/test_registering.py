"""Mechanisms, precisions, stages and models of users: what is taken, what is refused by name, and what they become."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megdt_opt import InvalidInput, register_mechanism, register_model, register_precision, register_stage
from megdt_opt.errors import MegdtError
from megdt_opt.models.registry import find_spec, load_model
from megdt_opt.program import blocks
from megdt_opt.program.costs import program_costs
from megdt_opt.program.mechanisms import MECHANISM_REGISTRY, MECHANISMS, Option, Setting, catalogue, program
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.precisions import PRECISIONS
from megdt_opt.program.registry import Registry, load_plugin
from megdt_opt.program.stages import CODECS, EDGE, Compute, Kind, Parallel, Payload, Send, Stage, TensorSpec, leaves
from megdt_opt.program.wire import payload_byte

Stages = Callable[[Option, Setting], Iterable[Stage]]


def e2u(option: Option, s: Setting) -> tuple[Stage, ...]:
    return (
        blocks.send_request(s),
        blocks.encode_prompt(s.edge),
        blocks.denoise(s.edge, 0, s.steps),
        blocks.send_latent(s, option.precision or "fp16", history=False),
        blocks.decode(s.device),
    )


# --- mechanisms ------------------------------------------------------------


@pytest.mark.parametrize("name", MECHANISMS)
def test_the_packages_own_pass_the_check_of_users(name: str) -> None:
    own = MECHANISM_REGISTRY.require(name)
    declared = {"choices": own.choices, "runs_at": own.runs_at, "shown_at": own.shown_at, "senses": own.senses}
    register_mechanism(f"{name}-again", own.stages, quality="as the package's", replace=True, **declared)


def test_options_follow_the_declared_choices(spec: ModelSpec) -> None:
    register_mechanism(
        "SEU-copy", MECHANISM_REGISTRY.require("SEU").stages, choices=("cut", "precision"), quality="exact",
        precisions=("int8",), replace=True,
    )  # fmt: skip
    setting = Setting(spec=spec, scheduler="ddim", steps=4, device="phone")
    found = [o for o in catalogue(setting, own=["SEU-copy"]) if o.mechanism == "SEU-copy"]
    assert [o.name for o in found] == ["SEU-copy 1 int8", "SEU-copy 2 int8", "SEU-copy 3 int8"]
    for option in found:
        assert program(option, setting) == program(replace(option, mechanism="SEU"), setting)


def test_a_registered_mechanism_is_offered_to_nobody_by_itself(spec: ModelSpec) -> None:
    before = catalogue(Setting(spec=spec, scheduler="ddim", steps=4, device="phone"))
    register_mechanism("E2U-quiet", e2u, choices=("precision",), runs_at="edge", quality="exact", replace=True)
    assert catalogue(Setting(spec=spec, scheduler="ddim", steps=4, device="phone")) == before


def _without(index: int) -> Stages:
    return lambda option, s: [stage for i, stage in enumerate(e2u(option, s)) if i != index]


def _history_left_behind(option: Option, s: Setting) -> tuple[Stage, ...]:
    return (
        blocks.encode_prompt(s.device),
        blocks.send_request(s),
        blocks.encode_prompt(s.edge),
        blocks.denoise(s.edge, 0, option.cut),
        blocks.send_latent(s, option.precision, history=False),
        blocks.denoise(s.device, option.cut, s.steps - option.cut),
        blocks.decode(s.device),
    )


def _steps_twice(option: Option, s: Setting) -> tuple[Stage, ...]:
    request, encode, _, *rest = e2u(option, s)
    return request, encode, blocks.denoise(s.edge, 0, 2), blocks.denoise(s.edge, 1, s.steps - 1), *rest


def _too_many_steps(option: Option, s: Setting) -> tuple[Stage, ...]:
    request, encode, _, *rest = e2u(option, s)
    return request, encode, blocks.denoise(s.edge, 0, s.steps + 1), *rest


def _strange_actor(option: Option, s: Setting) -> tuple[Stage, ...]:
    return (*e2u(option, s)[:-1], blocks.decode("tablet"))


def _two_uplinks(option: Option, s: Setting) -> tuple[Stage, ...]:
    return (Parallel((blocks.send_request(s), blocks.send_request(s))), *e2u(option, s)[1:])


def _device_twice_at_once(option: Option, s: Setting) -> tuple[Stage, ...]:
    return (*e2u(option, s)[:-1], Parallel((blocks.decode(s.device), blocks.encode_prompt(s.device))))


def test_transfers_at_once_are_taken() -> None:
    register_mechanism("E2U-doubled", _two_uplinks, runs_at="edge", quality="exact", replace=True)
    assert "E2U-doubled" in MECHANISM_REGISTRY.own


def _part_of_an_item(option: Option, s: Setting) -> tuple[Stage, ...]:
    half = Send(
        source=s.edge, to=(s.device,), payload=Payload.SEED,
        tensors=(TensorSpec(name="state.half", shape=(1, 4, 8, 16)),), precision="fp16",
    )  # fmt: skip
    return (*e2u(option, s)[:3], half, blocks.decode(s.device))


@pytest.mark.parametrize(
    ("stages", "more", "said"),
    [
        pytest.param(lambda option, s: (), {}, "stages: Compute, Send, Series or Parallel", id="no stage"),
        pytest.param(lambda option, s: ["decode"], {}, "'decode'.*stages: Compute", id="no stages but texts"),
        pytest.param(lambda option, s: s.nowhere, {}, "AttributeError", id="an error of its own"),
        pytest.param(7, {}, "TypeError.*a function from an option", id="no function"),
        pytest.param(_without(0), {}, "encode_prompt at edge.*the item 'request'", id="request not sent"),
        pytest.param(_without(1), {}, "denoise 0..3 at edge.*the item 'conditioning'", id="no conditioning"),
        pytest.param(_without(3), {}, "decode at phone.*the item 'state'", id="latent not sent"),
        pytest.param(_without(4), {}, "phone holds at the end.*the picture's pixels", id="no picture"),
        pytest.param(e2u, {"shown_at": ("edge",)}, "edge holds at the end", id="ends elsewhere"),
        pytest.param(e2u, {"choices": ("cut",)}, "stages that differ between its options", id="choice without use"),
        pytest.param(e2u, {"choices": ("codec",)}, "each of its choices is used", id="codec without use"),
        pytest.param(
            _history_left_behind, {"choices": ("cut", "precision")}, "all tensors of the item 'state'.*previous_x0",
            id="history left behind",
        ),
        pytest.param(_part_of_an_item, {}, "An item travels whole", id="part of an item"),
        pytest.param(_steps_twice, {}, "step 2, where the chain is", id="a step twice"),
        pytest.param(_too_many_steps, {}, "at most 4 denoising steps", id="more steps than there are"),
        pytest.param(_strange_actor, {}, "'tablet'.*an actor out of", id="strange actor"),
        pytest.param(
            _device_twice_at_once, {}, "a device computes one stage at a time.*stages that a user can run",
            id="a device at two stages at once",
        ),
        pytest.param(e2u, {"choices": ("band",)}, "choices.*some of", id="unknown choice"),
        pytest.param(e2u, {"choices": "cut"}, "choices.*some of", id="a text for a list"),
        pytest.param(e2u, {"shown_at": ()}, "shown_at", id="shown nowhere"),
        pytest.param(e2u, {"runs_at": "cloud"}, "runs_at.*'device' or 'edge'", id="runs elsewhere"),
        pytest.param(e2u, {"quality": " "}, "quality.*some words", id="no word on quality"),
        pytest.param(e2u, {"precisions": ("fp16",)}, "'precision' among the choices", id="precisions alone"),
        pytest.param(
            e2u, {"precisions": ("int3",), "choices": ("precision",)}, "int3.*--plugin MODULE", id="unknown precision"
        ),
    ],
)  # fmt: skip
def test_a_mechanism_that_cannot_be_is_refused(stages: Any, more: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match="(?s)" + said) as caught:
        register_mechanism("bad-one", stages, **{"quality": "exact", "runs_at": "edge", **more})
    assert "bad-one" in str(caught.value)
    assert "bad-one" not in MECHANISM_REGISTRY.own


@pytest.mark.parametrize("name", ["SEU", "seu", "PEU", "a b", "", "-x", "x" * 41, "../x", 3])
def test_names_that_are_taken_or_none_are_refused(name: Any) -> None:
    with pytest.raises(InvalidInput, match="name of the mechanism"):
        register_mechanism(name, e2u, choices=("precision",), runs_at="edge", quality="exact")


def test_a_second_registration_must_be_meant() -> None:
    declared: dict[str, Any] = {"choices": ("precision",), "runs_at": "edge", "quality": "exact"}
    register_mechanism("E2U-again-and-again", e2u, **declared, replace=True)
    with pytest.raises(InvalidInput, match="which is registered"):
        register_mechanism("E2U-again-and-again", e2u, **declared)
    register_mechanism("E2U-again-and-again", e2u, **declared, replace=True)
    with pytest.raises(InvalidInput, match="'SEU', which is registered"):
        register_mechanism("SEU", e2u, **declared, replace=True)


# --- precisions ------------------------------------------------------------


def half(values: Any) -> dict[str, Any]:
    return {"": values.astype(np.float16)}


def whole(parts: Any, shape: tuple[int, ...]) -> Any:
    return parts[""].astype(np.float32)


def test_the_size_on_the_air_is_that_of_what_encode_yields() -> None:
    register_precision("half", half, whole, quality="as fp16", replace=True)
    tensors = [TensorSpec(name="state.latent", shape=(1, 4, 16, 16))]
    assert payload_byte(tensors, "half") == payload_byte(tensors, "fp16")


@pytest.mark.parametrize(
    ("encode", "decode", "said"),
    [
        pytest.param(lambda v: {"": v.astype(np.float64)}, whole, "float64.*float32, float16, uint8", id="a wide type"),
        pytest.param(lambda v: {"": v.astype(np.int64)}, whole, "int64", id="another wide type"),
        pytest.param(lambda v: {"": v[v > 0].astype(np.float16)}, whole, "shape.*alone", id="a length by the values"),
        pytest.param(lambda v: {}, whole, "shape.*alone", id="nothing"),
        pytest.param(lambda v: v, whole, "arrays by name", id="no dictionary"),
        pytest.param(lambda v: {"a/b": v}, lambda p, s: p["a/b"], "names of arrays", id="a strange name"),
        pytest.param(half, lambda p, s: p[""], "float32 values of shape", id="another type back"),
        pytest.param(half, lambda p, s: whole(p, s).ravel(), "float32 values of shape", id="another shape back"),
        pytest.param(half, lambda p, s: whole(p, s) * np.nan, "finite values", id="NaN back"),
        pytest.param(half, lambda p, s: p["codes"], "KeyError", id="an array that is not there"),
    ],
)
def test_a_precision_that_cannot_be_is_refused(encode: Any, decode: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match="(?s)precision bad.*" + said):
        register_precision("bad", encode, decode, quality="bad")


@pytest.mark.parametrize("name", [*PRECISIONS, "FP16", *CODECS])
def test_names_of_precisions_and_codecs_are_taken(name: str) -> None:
    with pytest.raises(InvalidInput, match="name of the precision"):
        register_precision(name, half, whole, quality="as fp16")


# --- stages ------------------------------------------------------------


def test_a_stage_is_a_kind_and_counts_its_weights(spec: ModelSpec) -> None:
    register_stage(
        "polish", lambda model, items: items, takes=("image",), makes=("image",), weight_byte=77, replace=True
    )

    def stages(option: Option, s: Setting) -> tuple[Stage, ...]:
        return (*e2u(option, s), Compute(at=s.device, kind="polish", item="image"))

    register_mechanism("E2U-polished", stages, choices=("precision",), runs_at="edge", quality="polished", replace=True)
    setting = Setting(spec=spec, scheduler="ddim", steps=4, device="phone")
    option = Option(mechanism="E2U-polished", cut=4, precision="fp16")
    built = program(option, setting)
    assert list(leaves(built))[-1].label == "polish at phone"
    plain = program_costs(program(replace(option, mechanism="E2U"), setting), spec, compute_s=lambda leaf: 1.0)
    costs = program_costs(built, spec, compute_s=lambda leaf: 1.0)
    assert (costs.device_byte - plain.device_byte, costs.device_s - plain.device_s) == (77, 1.0)


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        pytest.param("denoise", {}, "which is registered", id="a name of the package"),
        pytest.param("polish2", {"takes": ("latent",)}, "takes of the stage polish2.*'state'", id="unknown item"),
        pytest.param("polish2", {"takes": "image"}, "names of items", id="a text for a list"),
        pytest.param("polish2", {"makes": ()}, "makes of the stage polish2", id="makes nothing"),
        pytest.param("polish2", {"weight_byte": -1}, "at least 0 byte", id="negative size"),
        pytest.param("polish2", {"work": "decode"}, "a function of model and items", id="no function"),
    ],
)
def test_a_stage_that_cannot_be_is_refused(name: str, more: dict[str, Any], said: str) -> None:
    given: dict[str, Any] = {"work": lambda model, items: items, "takes": ("image",), "makes": ("image",), **more}
    with pytest.raises(InvalidInput, match="(?s)" + said):
        register_stage(name, **given)


@pytest.mark.parametrize("kind", ["dream", "", "os.path"])
def test_an_unknown_kind_is_refused_with_the_remedy(kind: str) -> None:
    with pytest.raises(InvalidInput, match="kind: found.*'denoise'.*--plugin MODULE"):
        Compute(at="phone", kind=kind)
    assert Compute(at="phone", kind="denoise").kind is Kind.DENOISE


# --- models ------------------------------------------------------------


def test_a_model_is_found_and_loaded_by_its_name() -> None:
    spec = replace(find_spec("twin"), name="my-twin")
    register_model("my-twin", lambda device, precision: load_model("twin"), spec, replace=True)
    assert find_spec("my-twin") == spec
    assert type(load_model("my-twin")).__name__ == "TwinModel"
    with pytest.raises(InvalidInput, match="which is registered"):
        register_model("twin", lambda device, precision: load_model("twin"), find_spec("twin"))
    with pytest.raises(InvalidInput, match="spec of the model other"):
        register_model("other", lambda device, precision: load_model("twin"), spec)


# --- plugins ------------------------------------------------------------

ONE = """
from megdt_opt import register_precision
register_precision("mine", lambda v: {"": v}, lambda parts, shape: parts[""], quality="exact")
"""


def run(code: str, folder: Path, *more: str) -> str:
    """Run a program in a folder, which is on Python's path; what it prints."""
    path = [str(folder), *(str(Path(p).resolve()) for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p)]
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, *more], cwd=folder, env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_plugin_is_loaded_once_by_name_or_by_file(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(ONE)
    code = (
        "from megdt_opt import load_plugin\n"
        "from megdt_opt.program.registry import loaded_plugins\n"
        "from megdt_opt.program.precisions import PRECISION_REGISTRY\n"
        "load_plugin('mine'), load_plugin('mine'), load_plugin('mine.py')\n"
        "print(PRECISION_REGISTRY.own, len(loaded_plugins()))"
    )
    assert run(code, tmp_path) == "('mine',) 2"


@pytest.mark.parametrize(
    ("text", "plugin", "said"),
    [
        (None, "no_such_module", "plugin: found 'no_such_module'.*ModuleNotFoundError"),
        (None, "no_such_file.py", "plugin no_such_file.py.*a Python file"),
        ("1/0", "broken_one.py", "broken_one.py'.*ZeroDivisionError"),
        (ONE.replace('"mine"', '"fp16"'), "taking_one.py", "plugin taking_one.py: name of the precision.*'fp16'"),
        ("", "json.py", "'json', which is loaded"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_refused(
    text: str | None, plugin: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path(plugin).write_text(text)
    with pytest.raises(InvalidInput, match=said):
        load_plugin(plugin)
    assert Path(plugin).stem not in sys.modules or plugin == "json.py"


@pytest.mark.parametrize("plugin", [None, 1, b"mine", ["mine"], Path("mine.py")])
def test_a_plugin_that_is_no_text_is_refused(plugin: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^plugin: found .*as text"):
        load_plugin(plugin)


def installed(folder: Path, group: str, module: str) -> None:
    """What a package with one entry point leaves behind."""
    info = folder / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\nmine = {module}\n")


ASK = """
import sys
from megdt_opt.program.precisions import PRECISION_REGISTRY
assert PRECISION_REGISTRY.find("fp16") and "mine_too" not in sys.modules
try:
    print(PRECISION_REGISTRY.require(sys.argv[1]).quality)
except ValueError as error:
    print(error)
"""


def test_an_installed_package_is_imported_when_a_name_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "mine_too.py").write_text(ONE)
    installed(tmp_path, "megdt_opt.mechanisms", "mine_too")
    assert run(ASK, tmp_path, "mine") == "exact"
    assert "found 'yours'; expected one of ['fp32', 'fp16', 'int8', " in (refusal := run(ASK, tmp_path, "yours"))
    assert "'mine']. Choose one of them" in refusal


def test_an_installed_package_that_is_broken_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine_too.py").write_text("import no_such_module")
    installed(tmp_path, "megdt_opt.mechanisms", "mine_too")
    assert "megdt_opt.mechanisms, entry point mine of mine: found 'mine_too'" in run(ASK, tmp_path, "mine")


def test_a_model_of_an_installed_package(tmp_path: Path) -> None:
    (tmp_path / "mine_too.py").write_text(
        "from dataclasses import replace\n"
        "from megdt_opt import register_model\n"
        "from megdt_opt.models.registry import find_spec\n"
        "register_model('mine', lambda device, precision: None, replace(find_spec('twin'), name='mine'))\n"
    )
    installed(tmp_path, "megdt_opt.models", "mine_too")
    code = "from megdt_opt.models.registry import find_spec\nprint(find_spec('mine').latent_shape)"
    assert run(code, tmp_path) == str(find_spec("twin").latent_shape)


def test_a_registry_says_what_it_knows() -> None:
    registry: Registry[int] = Registry("thing", "no such group")
    registry.add("one", 1, built_in=True)
    registry.add("two", 2)
    assert (registry.built_in, registry.own, registry.names) == (("one",), ("two",), ("one", "two"))
    assert (registry.find("two"), registry.find("three")) == (2, None)
    with pytest.raises(MegdtError, match=r"thing: found 'three'; expected one of \['one', 'two'\]"):
        registry.require("three")


def test_the_edge_is_an_edge_server_in_every_block(spec: ModelSpec) -> None:
    setting = Setting(spec=spec, scheduler="ddim", steps=4, device="phone")
    assert blocks.send_request(setting).to == (EDGE,)
    assert blocks.send_latent(setting, "fp16", history=True).direction == "downlink"


@pytest.mark.parametrize("plugin", ["", ".", "..", ".mine", "mine."])
def test_what_is_no_name_of_a_module_is_refused_without_words_of_python(plugin: str) -> None:
    with pytest.raises(InvalidInput, match="plugin: found .*; expected the name of a module, or the path") as refused:
        load_plugin(plugin)
    assert "Error" not in str(refused.value)


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize(
    ("text", "line"), [("1 / 0\n", 1), ("a = {}\n\na['b']\n", 3), ("\nunknown\n", 2), ("a = 1\nb = (\n", 2)]
)
def test_a_plugin_that_fails_names_its_line(
    tmp_path: Path, text: str, line: int, by_name: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"faulty_{line}_{len(text)}_{by_name}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InvalidInput, match=f"The file fails in line {line}: correct it there"):
        load_plugin(name if by_name else str(tmp_path / f"{name}.py"))


@pytest.mark.parametrize("text", ["", "import json\n", "def register():\n    raise SystemError\n"])
def test_a_plugin_that_registers_nothing_is_refused_each_time(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"silent_{len(text)}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    for plugin in (name, str(tmp_path / f"{name}.py"), name):
        with pytest.raises(InvalidInput, match="a module that registers a mechanism, .* leave the plugin out"):
            load_plugin(plugin)
