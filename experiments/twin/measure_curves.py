"""Measure the twin's quality curves: what mechanism, cut, steps, precision, share, codec and sampler do to pictures.

    PYTHONPATH=src python experiments/twin/measure_curves.py [--scenes 50] [--seconds 240]

Stage programs run in one process as actors run them, payloads packed as they are sent, on held-out scenes, whose seeds
no training script used. Writes twin-quality.json of the package row by row and goes on where it stopped; curves.md
beside this script says what lies in it, with the error of each curve at points that are left out.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from megdt_opt.machine import environment
from megdt_opt.models.registry import find_spec, load_model
from megdt_opt.program.latent_codes import LATENT_CODES
from megdt_opt.program.mechanisms import Option
from megdt_opt.program.sketches import FROM_DEVICE, FROM_EDGE
from megdt_opt.quality.digest import weights_digest
from megdt_opt.quality.factors import Factors
from megdt_opt.quality.measure import DEVICE, Bench, Remembering, measure
from megdt_opt.quality.report import page
from megdt_opt.quality.table import QualityTable

HELD_OUT_SEED = 9_000_000
STEPS = 20
FOLDER = Path(__file__).parents[2] / "src" / "megdt_opt" / "data" / "quality"
SKETCHES = (
    Option(mechanism=FROM_EDGE),
    Option(mechanism=FROM_DEVICE, codec="raw"),
    Option(mechanism=FROM_DEVICE, codec="jpeg"),
)


def cut_options(steps: int, shares: tuple[float, ...], precisions: tuple[str, ...]) -> Iterator[Option]:
    """Hand-overs at shares of the steps, from the device and from the edge."""
    for share in shares:
        cut = min(max(round(share * steps), 1), steps - 1)
        for name in ("SEU-UE-first", "SEU"):
            yield from (Option(mechanism=name, cut=cut, precision=precision) for precision in precisions)


def others(precisions: tuple[str, ...], shares: tuple[float, ...]) -> Iterator[Option]:
    """Mechanisms without a cut."""
    for precision in precisions:
        if precision != "fp32":
            yield Option(mechanism="E2U", precision=precision)
        yield Option(mechanism="U2E", precision=precision, codec="raw")
        yield Option(mechanism="U2E", precision=precision, codec="jpeg")
        for share in shares:
            yield Option(mechanism="PEU", share=share, precision=precision)


def points() -> Iterator[tuple[str, int, str, Option]]:
    """Sampler, steps, decoder of the device and option of every row, what plans need most first."""
    every, plain, merged = ("int8", "fp32", "fp16"), ("int8", "fp16"), tuple(code.name for code in LATENT_CODES)
    whole, ends = (Option(mechanism="local"), Option(mechanism="centralised", codec="jpeg")), (0.1, 0.5, 0.9)
    for steps, options in (
        (20, [*whole, *others(every, (0.25, 0.5, 0.75)), *cut_options(20, (0.5, 0.05, 0.25, 0.75, 0.95), plain[:1])]),
        (20, SKETCHES),
        (20, [*others(merged, ()), *cut_options(20, (0.5, 0.05, 0.95), merged)]),
        (10, [*whole, *others(plain, (0.5,)), *cut_options(10, ends, plain)]),
        (20, cut_options(20, (0.5, 0.05, 0.25, 0.75, 0.95), plain[1:])),
        (20, cut_options(20, (0.25, 0.75), merged)),
        (20, others(merged, (0.25, 0.5, 0.75))),
        (10, [*others(merged, ()), *cut_options(10, ends, merged), *SKETCHES]),
        (5, [*whole, *others(plain, (0.5,)), *cut_options(5, ends, plain), *SKETCHES]),
        (15, whole[:1]),
    ):
        yield from (("ddim", steps, "", option) for option in options)
    for precision in (*plain, *merged):
        yield "ddim", 20, "noisy", Option(mechanism="E2U", precision=precision)
    for option in (whole[0], *cut_options(20, (0.05, 0.5, 0.95), plain)):
        yield "ddim", 20, "noisy", option
    for scheduler in ("dpmpp", "euler"):
        for option in (*whole, *others(plain, (0.5,)), *cut_options(20, (0.05, 0.5, 0.95), plain)):
            yield scheduler, 20, "", option
    for option in (*whole, *others(plain, (0.5,)), *cut_options(40, ends, plain)):
        yield "ddim", 40, "", option


def main() -> None:
    """Measure what is missing, for a while."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=240.0)
    args = parser.parse_args()
    end_s = time.monotonic() + args.seconds
    spec = find_spec("twin")
    by_decoder = {name: Remembering(load_model("twin", decoder=name)) for name in (None, "noisy")}
    subjects = [HELD_OUT_SEED + i for i in range(args.scenes)]
    model = by_decoder[None]
    bench = Bench(spec=spec, models={"": model}, subjects=subjects, whole=model, batch=25)
    noisy = replace(bench, models={"": model, DEVICE: by_decoder["noisy"]})
    file = FOLDER / "twin-quality.json"
    made = {
        "script": "experiments/twin/measure_curves.py", "torch": torch.__version__, "processor": platform.machine(),
        "cpu": environment()["cpu"], "scenes": f"{HELD_OUT_SEED} to {subjects[-1]}",
        "seeds": f"0 to {len(subjects) - 1}", "batch": bench.batch,
    }  # fmt: skip
    table = QualityTable(model="twin", weights=weights_digest(spec) or "", rows=(), provenance=made)
    if file.is_file():
        table = QualityTable.load(file)
    left = 0
    for scheduler, steps, decoder, option in points():
        if Factors.of(option, steps=steps, scheduler=scheduler, decoder=decoder) in table.at:
            continue
        if time.monotonic() > end_s:
            left += 1
            continue
        begin_s = time.process_time()
        of = noisy if decoder else bench
        table = table.with_rows(measure(of, [option], steps=steps, scheduler=scheduler, decoder=decoder))
        table.save(file)
        print(scheduler, steps, decoder, option.name, f"{time.process_time() - begin_s:.1f} s", flush=True)
    Path(__file__).with_name("curves.md").write_text(page(table), encoding="utf-8")
    print(left, "left")


if __name__ == "__main__":
    main()
