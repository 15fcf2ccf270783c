"""`import_timings`: a timing profile from a timing file of another program."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import TypeVar

from megdt_opt.errors import InvalidInput
from megdt_opt.files import read_bytes
from megdt_opt.program.stages import Kind
from megdt_opt.timing.borrow import EVERY
from megdt_opt.timing.cells import Cell
from megdt_opt.timing.formats.figures import GENERATION, MODELS, PASS, Figure, TimingFile
from megdt_opt.timing.formats.recognise import READ_LIMIT_BYTE, timing_file
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.timing.provenance import Provenance, utc_now
from megdt_opt.values import integer

_T = TypeVar("_T")

GUIDED = 2
"""Passes of a denoising step with guidance [1], where neither file nor user says how many there are."""


def import_timings(  # wide: each is one fact that a file may leave open, by keyword
    path: str | Path,
    *,
    device: str | None = None,
    model: str | None = None,
    precision: str | None = None,
    variant: str | None = None,
    steps: int | None = None,
    passes_per_step: int | None = None,
    picture: tuple[int, int] | None = None,
    name: str | None = None,
) -> TimingProfile:
    """Make a timing profile of a timing file of another program.

    Read are optimum-benchmark's report (JSON), diffusers' benchmark table (CSV), Qualcomm AI Hub's perf.yaml, and a
    plain table (CSV) with device, stage, batch and seconds. Nothing is filled in: a mean or a single run is a single
    sample, so it has no interval, and a stage that is not in the file is missing in the profile, which says so.

    A denoising step is the file's own step, or else its network pass times the passes of a step, or else a whole
    generation divided by its steps, which then contains encoding and decoding: an upper estimate, said in the
    provenance.

    Parameters
    ----------
    path : str or Path
        The file.
    device, model, precision, variant : str, optional
        Which of the file's devices, models, precisions and variants (a runtime, or how a model was made faster). Where
        the file has one alone it is found; where it does not say, this says it, but for the variant. A model whose
        file name is known is called as scenarios do ("sd15"); naming it another way is the user's word.
    steps : int, optional
        Denoising steps of a generation [1], where the file does not say. What the file says stands: another number is
        refused, here as for passes and picture.
    passes_per_step : int, optional
        Network passes of a denoising step [1]: 2 with guidance, which is assumed where the file does not say, 1
        without.
    picture : tuple of int, optional
        Rows and columns of the pictures [pixel], where they are known and the file does not say; then a scenario of
        another size is refused.
    name : str, optional
        Name of the device in the profile; by default the file's.

    Returns
    -------
    TimingProfile
        Its provenance has source "imported", the file's name and SHA-256, what was assumed, and the stages that are
        missing.

    Raises
    ------
    InvalidInput
        Where the file is of another kind, which the message then says, or holds several devices, models, precisions or
        variants and none is named; lists them. Where two statements of the file, or the file's and the caller's,
        differ; names both.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from megdt_opt import import_timings
    >>> table = "device,stage,batch,seconds\\nbox,denoise,1,0.05\\nbox,denoise,1,0.06\\nbox,decode,1,0.2\\n"
    >>> with TemporaryDirectory() as folder:
    ...     written = Path(folder, "times.csv").write_text(table)
    ...     made = import_timings(Path(folder, "times.csv"), model="sd15", precision="fp16")
    >>> round(made.stage_s("denoise"), 4), made.stage_interval_s("decode"), made.provenance.source
    (0.055, None, 'imported')
    """
    found = timing_file(path)
    asked = {"device": device, "model": model, "precision": precision, "variant": variant}
    figures, facts = _chosen(found, asked, str(path))
    _check("steps", steps)
    _check("passes_per_step", passes_per_step)
    size = _agreed("picture", (f.picture for f in figures), picture, str(path))
    denoise, passes, how = _denoise(figures, steps, passes_per_step, str(path))
    others = [_cell(f, f.stage, f.samples_s) for f in figures if f.stage not in (PASS, GENERATION, Kind.DENOISE)]
    timed = {cell.kind for cell in (*denoise, *others)}
    missing = [str(kind) for kind in EVERY if kind not in timed]
    said = [f"a denoising step is {how}", *([f"not in the file: {', '.join(missing)}"] if missing else [])]
    provenance = Provenance(
        created=utc_now(),
        source="imported",
        hardware={"kind": "unknown", **found.hardware, "processor": facts["device"]},
        software={name: version for figure in figures for name, version in figure.software.items()},
        precision=facts["precision"],
        method=f"{found.method}; {'; '.join(said)}",
        weights="random" if found.random_weights else "published",
        image_shape=None if size is None else (*size, 3),
        passes_per_step=passes,
        texts=_texts(path, found, figures, facts["variant"]),
    )
    return TimingProfile(
        device=name or facts["device"], model=facts["model"], provenance=provenance, cells=(*denoise, *others)
    )


def choices(found: TimingFile) -> tuple[tuple[str, str, str, str], ...]:
    """Device, model, precision and variant of every set of figures in a file that has a denoising time, sorted."""
    denoises = [f for f in found.figures if f.stage in (PASS, GENERATION, Kind.DENOISE)]
    return tuple(sorted({(f.device, _model(f.model), f.precision, f.variant) for f in denoises}))


def _model(text: str) -> str:
    return MODELS.get(text.lower(), text)


def _check(name: str, value: object) -> None:
    number = integer(value)
    if value is not None and (number is None or number < 1):
        raise InvalidInput(name, value, "a whole number of at least 1", "Leave it out where the file says it.")


_READ: dict[str, Callable[[Figure], str]] = {
    "device": lambda figure: figure.device,
    "model": lambda figure: _model(figure.model),
    "variant": lambda figure: figure.variant,
    "precision": lambda figure: figure.precision,
}


def _chosen(found: TimingFile, asked: dict[str, str | None], source: str) -> tuple[list[Figure], dict[str, str]]:
    """The figures of one device, model, variant and precision, and what these are; what is asked for goes first."""
    figures, facts = list(found.figures), {}
    for name in sorted(_READ, key=lambda name: asked[name] is None):
        wanted, read = asked[name], _READ[name]
        there = sorted({read(figure) for figure in figures})
        if wanted is None and there == [""] and name != "variant":
            raise InvalidInput(name, None, f"the {name} that was timed, which {source} does not say", f"State {name}.")
        if wanted is None and len(there) == 1:
            (wanted,) = there
        # what a file does not say, and how it calls its only model, is the user's to say
        free = there == [""] or (name == "model" and len(there) == 1)
        if wanted is None or (wanted not in there and not free):
            raise InvalidInput(name, wanted, f"one of {_listed(there)}, which {source} holds", f"Name the {name}.")
        figures, facts[name] = [f for f in figures if free or read(f) == wanted], wanted
    return figures, facts


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name or "(not said)") for name in names)


def _agreed(name: str, said: Iterable[_T | None], given: _T | None, source: str) -> _T | None:
    """What file and caller say of one fact; None where neither does."""
    stated = [one for one in dict.fromkeys(said) if one is not None]
    if len(stated) > 1:
        expected = "the same in all rows of one device, model, precision and variant"
        raise InvalidInput(f"{source}, {name}", stated, expected, "Put rows that differ into files of their own.")
    if stated and given not in (None, stated[0]):
        raise InvalidInput(name, given, f"{stated[0]}, as {source} states", f"Leave {name} out, or correct the file.")
    return stated[0] if stated else given


def _denoise(
    figures: Sequence[Figure], steps: int | None, passes: int | None, source: str
) -> tuple[list[Cell], int, str]:
    """Cells of the denoising step, passes in it, and in words how they came about."""
    of_stage = {stage: [f for f in figures if f.stage == stage] for stage in (Kind.DENOISE, PASS, GENERATION)}
    for one in of_stage[GENERATION]:
        _agreed("steps", [one.steps], steps, source)
    if steps is not None and not of_stage[GENERATION]:
        raise InvalidInput("steps", steps, f"none, as {source} times no generation", "Leave steps out.")
    of_any = chain.from_iterable(of_stage.values())
    stated = _agreed("passes_per_step", (f.passes_per_step for f in of_any), passes, source)
    several = stated or GUIDED
    assumed = "" if stated else f" ({GUIDED} passes, for guidance, assumed)"
    if of_stage[Kind.DENOISE]:
        cells = [_cell(f, Kind.DENOISE, f.samples_s) for f in of_stage[Kind.DENOISE]]
        return cells, several, f"the file's own{assumed}"
    if of_stage[PASS]:
        assumed = "" if stated else ", for guidance, assumed"
        cells = [_cell(f, Kind.DENOISE, (s * several for s in f.samples_s)) for f in of_stage[PASS]]
        return cells, several, f"{several} pass(es) of the network{assumed}"
    cells, counts = [], set()
    for figure in of_stage[GENERATION]:
        count = figure.steps or steps
        if count is None:
            expected = f"the denoising steps of a generation, which {source} does not say"
            raise InvalidInput("steps", None, expected, "State steps.")
        cells.append(_cell(figure, Kind.DENOISE, (s / count for s in figure.samples_s)))
        counts.add(count)
    if not cells:
        stages = sorted({f.stage for f in figures})
        expected = f"{Kind.DENOISE}, {PASS} or {GENERATION} among the stages of this device, model and variant"
        raise InvalidInput(source, stages, expected, "Name a device and variant whose denoising was timed.")
    how = f"a generation divided by its {'/'.join(map(str, sorted(counts)))} steps"
    return cells, several, f"{how}, so it contains prompt encoding and decoding: an upper estimate{assumed}"


def _cell(figure: Figure, kind: str, samples_s: Iterable[float]) -> Cell:
    return Cell(
        kind=kind,
        batch=figure.batch,
        samples_s=tuple(samples_s),
        rows=figure.rows,
        rows_total=figure.rows_total,
        codec=figure.codec,
    )


def _texts(path: str | Path, found: TimingFile, figures: Sequence[Figure], variant: str) -> tuple[str, ...]:
    digest = hashlib.sha256(read_bytes(path, "timing file", limit_byte=READ_LIMIT_BYTE)).hexdigest()
    file = f"{found.kind}, {Path(path).name}, SHA-256 {digest}" + (f", variant {variant}" if variant else "")
    notes = dict.fromkeys(figure.note for figure in figures if figure.note)
    return (file, "the file does not say when it was measured; the date is that of the import", *notes)
