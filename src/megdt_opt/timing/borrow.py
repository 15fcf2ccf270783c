"""Stages that a profile lacks, borrowed from another one: each named with a factor, and said wherever it is used."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from megdt_opt.errors import InvalidInput
from megdt_opt.files import JSON, is_path
from megdt_opt.program import kinds
from megdt_opt.program.stages import Kind
from megdt_opt.timing.cells import Cell
from megdt_opt.timing.finding import PUBLISHED
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.timing.provenance import refuse
from megdt_opt.timing.published import PublishedTimings
from megdt_opt.timing.trust import PUBLISHED_MODELS

EVERY = (Kind.ENCODE_PROMPT, Kind.DENOISE, Kind.DECODE)
"""Stages that every generation of a picture from text has."""

_NUMBER = r"[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?"
_PASSES = re.compile(rf"({_NUMBER})\s+pass(?:es)?")
_SOURCE = re.compile(rf"(.+?)(?:\s+[x\u00d7]\s*({_NUMBER}))?")
_PUBLISHED_STAGES = {Kind.ENCODE_PROMPT: "encode_prompt", Kind.DECODE: "decode"}


@dataclass(frozen=True, kw_only=True)
class Borrowed:
    """One stage of an actor whose time is another profile's.

    Parameters
    ----------
    stage : str
        The stage.
    source : str
        Name of the profile that lends it; "" where the time follows from the actor's own denoising.
    factor : float
        By which the lender's times are multiplied [1]; without a lender, passes of the own denoising network [1].
    """

    stage: str
    source: str
    factor: float

    @property
    def words(self) -> str:
        """Where the time is from: "published: V100 / SD1.5 x 0.5" or "2.5 passes"."""
        if not self.source:
            return f"{self.factor:g} passes of its own denoising network"
        return self.source if self.factor == 1.0 else f"{self.source} x {self.factor:g}"


def read_borrowed(given: Mapping[str, str] | None) -> tuple[Borrowed, ...]:
    """What a scenario's `borrow` says: {stage: "NAME x FACTOR"}, or {stage: "N passes"} of the own denoising network.

    NAME is a profile as scenarios name them, or "DEVICE / MODEL" of the published ones; x FACTOR may be left out.

    Raises
    ------
    InvalidInput
        Where a stage or a text is none.
    """
    return tuple(_read(str(stage), text) for stage, text in (given or {}).items())


def _read(stage: str, text: object) -> Borrowed:
    remedy = 'Write for example "V100 / SD1.5 x 0.5", "sd15-cpu x 0.01" or "2.5 passes".'
    expected = "a profile's name or DEVICE / MODEL, then x FACTOR; or a number of passes"
    try:
        known = kinds.stage_kind(stage)
    except InvalidInput as error:
        raise InvalidInput(stage, stage, f"a stage: {error.expected}", "Name the stage that is borrowed.") from None
    stripped = text.strip() if isinstance(text, str) else ""
    passes, source = _PASSES.fullmatch(stripped), _SOURCE.fullmatch(stripped)
    if passes is not None:
        name, factor = "", float(passes[1])
        if known == Kind.DENOISE:
            raise InvalidInput(stage, text, "a profile for the stage that passes are counted in", remedy)
    elif source is not None:
        name, factor = source[1], float(source[2] or 1.0)
        if " / " in name and not name.startswith(PUBLISHED) and not is_path(name, JSON, folders=False):
            name = f"{PUBLISHED} {name}"
    else:
        raise InvalidInput(stage, text, expected, remedy)
    if not 0.0 < factor < math.inf:
        raise InvalidInput(stage, text, f"{expected}, both above 0", remedy)
    return Borrowed(stage=known, source=name, factor=factor)


def with_borrowed(
    profile: TimingProfile, borrowed: Sequence[Borrowed], lenders: Mapping[str, TimingProfile]
) -> TimingProfile:
    """A profile with some stages of others in place of its own; its provenance says which.

    Parameters
    ----------
    profile : TimingProfile
        Of the actor.
    borrowed : sequence of Borrowed
        What it borrows.
    lenders : mapping of str to TimingProfile
        By the names of `borrowed`.

    Raises
    ------
    ProfileError
        Where a lender has no time of the stage, or codes pictures whose sizes neither profile has.
    """
    if not borrowed:
        return profile
    stages = {one.stage for one in borrowed}
    cells = [cell for cell in profile.cells if cell.kind not in stages]
    said, texts, sizes = [], list(profile.provenance.texts), dict(profile.image_byte_samples)
    references = dict(profile.image_reference_byte_samples)
    for one in borrowed:
        lent = _lent(profile, one, lenders)
        cells += lent
        lender = lenders.get(one.source, profile)
        for codec in _lent_sizes(one, profile, lender):
            sizes[codec] = lender.image_byte_samples[codec]
            references |= {k: v for k, v in lender.image_reference_byte_samples.items() if k == codec}
        said.append(f"{one.stage} is borrowed from {words(one, profile, lender)}, not timed on {profile.device}")
        if one.source:
            texts += lenders[one.source].provenance.texts
    provenance = replace(
        profile.provenance,
        stretches=(*profile.provenance.stretches, *said),
        texts=tuple(dict.fromkeys(texts)),
    )
    return replace(
        profile,
        provenance=provenance,
        cells=tuple(cells),
        held_out=(),
        image_byte_samples=sizes,
        image_reference_byte_samples=references,
    )


def words(one: Borrowed, profile: TimingProfile, lender: TimingProfile) -> str:
    """Where a time is from, that a step of other passes is taken by the pass, and whose sizes coded pictures have.

    `profile` is the actor's own, before anything is borrowed.
    """
    codecs = _lent_sizes(one, profile, lender)
    if codecs:
        return f"{one.words}, with the sizes of {lender.model}'s pictures in {' and '.join(codecs)}"
    own, lent = profile.provenance.passes_per_step, lender.provenance.passes_per_step
    if one.stage != Kind.DENOISE or own == lent:
        return one.words
    return f"{one.words}, a step of {lent} pass(es) there times {own / lent:g} for the {own} here"


def _lent(profile: TimingProfile, one: Borrowed, lenders: Mapping[str, TimingProfile]) -> list[Cell]:
    """The lender's cells, scaled, a step by its passes too; regions only of the same latent."""
    lender, kind, factor = lenders.get(one.source, profile), one.stage, one.factor
    if kind == Kind.DENOISE:
        factor *= profile.provenance.passes_per_step / lender.provenance.passes_per_step
    if not one.source:
        kind, factor = Kind.DENOISE, one.factor / profile.provenance.passes_per_step
    same = bool(one.source) and lender.provenance.latent_shape == profile.provenance.latent_shape
    cells = [cell for cell in lender.cells if cell.kind == kind and (same or cell.rows is None)]
    if not cells:
        refuse(
            f"{one.stage} borrowed from {one.words}",
            sorted({str(cell.kind) for cell in lender.cells}),
            f"a time of {kind}",
            "Borrow it from a profile that has it.",
        )
    return [replace(cell.scaled(factor), kind=one.stage) for cell in cells]


def _lent_sizes(one: Borrowed, profile: TimingProfile, lender: TimingProfile) -> tuple[str, ...]:
    """Codecs whose sizes of pictures come with a borrowed stage that codes them, where the own profile has none.

    Raises
    ------
    ProfileError
        Where the lender has none either, or of pictures of another shape.
    """
    if one.stage != Kind.COMPRESS or not one.source:
        return ()
    codecs = tuple(sorted({c.codec for c in lender.cells if c.kind == one.stage} - set(profile.image_byte_samples)))
    shape, same = profile.provenance.image_shape, lender.provenance.image_shape == profile.provenance.image_shape
    for codec in codecs:
        if not same or codec not in lender.image_byte_samples:
            refuse(
                f"{one.stage} borrowed from {one.words}",
                f"no sizes of pictures of {shape} in {codec!r}",
                "the sizes of coded pictures beside the times",
                "Borrow it from a profile that has them, or measure the codec on generated pictures.",
            )
    return codecs


def missing_stages(profile: TimingProfile) -> tuple[str, ...]:
    """Stages of every generation that a profile has no time of."""
    return tuple(str(kind) for kind in EVERY if kind not in profile.kinds)


def lender_of(stage: str, model: str, kind: object) -> str | None:
    """Whose published figures have a stage of a model, "DEVICE / MODEL", on such hardware if there are; else None."""
    named = _PUBLISHED_STAGES.get(stage)  # type: ignore[call-overload]
    rows = [r for r in PublishedTimings.load().rows if r.stage == named and PUBLISHED_MODELS.get(r.model) == model]
    rows.sort(key=lambda r: (r.device_kind != kind, r.device))
    if not rows:
        return None
    first = rows[0]
    of_pair = {r.resolution for r in rows if (r.device, r.model) == (first.device, first.model)}
    return f"{first.device} / {first.model}" + (f" / {min(of_pair)}" if len(of_pair) > 1 else "")
