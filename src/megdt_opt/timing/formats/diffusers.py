"""Benchmark tables of diffusers (CSV), both layouts of its folder `benchmarks/`.

Since 2025 a row is one network: `scenario` (the checkpoint and what was done to it), `model_cls`, `time_plain_s` and
`time_compile_s`, each the mean of one forward pass at batch 1, with an earlier run's in brackets where results were
collated. Before, a row was one generation of a pipeline: `pipeline_cls`, `ckpt_id`, `batch_size`,
`num_inference_steps` and `time (secs)`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from megdt_opt.errors import InvalidInput
from megdt_opt.timing.formats.figures import GENERATION, MODELS, PASS, Figure, TimingFile, count, seconds

KIND = "a benchmark table of diffusers"

NETWORKS = ("scenario", "model_cls", "time_plain_s")
PIPELINES = ("pipeline_cls", "ckpt_id", "batch_size", "num_inference_steps", "time (secs)")
"""Columns by which the two layouts are told."""

_DENOISES = re.compile(r"(UNet2DCondition|\w*Transformer2D)Model")
_TIME = re.compile(r"([0-9.eE+-]+)(?: *\([^()]*\))?")
_PRECISION = re.compile(r"(?:^|-)(fp32|fp16|bf16)(?:-|$)")
_NONE = ("", "nan", "NaN", "None")


def read(rows: Sequence[Mapping[str, str]], source: str) -> TimingFile:
    """Figures of a table.

    Raises
    ------
    InvalidInput
        Where no row is of a network or pipeline that makes pictures, or a value is no time.
    """
    read_row = _network if all(name in rows[0] for name in NETWORKS) else _pipeline
    figures = [figure for line, row in enumerate(rows, start=2) for figure in read_row(row, f"line {line}", source)]
    if not figures:
        classes = sorted({row.get("model_cls") or row.get("pipeline_cls") or "" for row in rows})
        expected = "a U-Net or transformer that denoises pictures, or a text-to-image pipeline"
        raise InvalidInput(f"{source}, {KIND} of", classes, expected, "Benchmark such a model.")
    how = (
        "mean of torch.utils.benchmark over repeated forward passes, rounded to 1 ms by the program"
        if read_row is _network
        else "mean of torch.utils.benchmark over repeated generations, rounded to 1 ms by the program"
    )
    return TimingFile(kind=KIND, figures=tuple(figures), method=how, hardware={"kind": "cuda"})


def _time(text: str, where: str, source: str) -> float | None:
    if text.strip() in _NONE:
        return None
    match = _TIME.fullmatch(text.strip())
    try:
        return seconds(float(match[1]) if match else text, where, source)
    except ValueError:
        return seconds(text, where, source)


def _model(text: str) -> tuple[str, str]:
    """The checkpoint that a scenario's name begins with, and the rest of the name."""
    known = next((name for name in MODELS if text.lower().startswith(name)), None)
    if known is not None:
        return text[: len(known)], text[len(known) :].strip("-")
    owner, slash, rest = text.partition("/")
    name, _, variant = rest.rpartition("-")
    return (f"{owner}/{name}", variant) if slash and name else (text, "")


def _network(row: Mapping[str, str], where: str, source: str) -> list[Figure]:
    if not _DENOISES.fullmatch(row["model_cls"]):
        return []
    model, variant = _model(row["scenario"])
    precision = _PRECISION.search(row["scenario"])
    figures = []
    for column, how in (("time_plain_s", "plain"), ("time_compile_s", "compiled")):
        time_s = _time(row.get(column) or "", f"{where}, {column}", source)
        if time_s is not None:
            figures.append(
                Figure(
                    stage=PASS,
                    samples_s=(time_s,),
                    model=model,
                    precision=precision[1] if precision else "",
                    variant=f"{variant}, {how}" if variant else how,
                    software=_software(row),
                    note=f"{where}, {column}",
                )
            )
    return figures


def _pipeline(row: Mapping[str, str], where: str, source: str) -> list[Figure]:
    if "Inpaint" in row["pipeline_cls"] or "Img2Img" in row["pipeline_cls"] or "ControlNet" in row["pipeline_cls"]:
        return []
    time_s = _time(row["time (secs)"], f"{where}, time (secs)", source)
    compiled = (row.get("run_compile") or "").strip() == "True"
    offloaded = (row.get("model_cpu_offload") or "").strip() == "True"
    if time_s is None:
        return []
    whole = {name: count(_whole(row[name]), f"{where}, {name}", source) for name in PIPELINES[2:4]}
    return [
        Figure(
            stage=GENERATION,
            samples_s=(time_s,),
            batch=whole["batch_size"],
            steps=whole["num_inference_steps"],
            model=row["ckpt_id"],
            variant=("compiled" if compiled else "plain") + (", weights offloaded" if offloaded else ""),
            software=_software(row),
            note=f"{where}, time (secs)",
        )
    ]


def _whole(text: str) -> int | str:
    return int(text) if text.strip().isdecimal() and len(text) < 10 else text


def _software(row: Mapping[str, str]) -> dict[str, str]:
    commit = (row.get("github_sha") or "").strip()
    return {} if commit in _NONE else {"diffusers": f"commit {commit}"}
