"""Generation mechanisms as stage programs (Xu et al., arXiv 2407.02804), and how users add their own.

Each mechanism is one function from a `Setting` (who, which model, which sampler) and an `Option` (the cut, the
precision) to the stages that really run, registered with what its options differ in. `catalogue` lists the options of a
setting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from megdt_opt.errors import InvalidInput, MegdtError, NotRepresentable
from megdt_opt.program.blocks import (
    conditioning_tensors,
    decode,
    denoise,
    encode_prompt,
    latent_tensors,
    send_latent,
    send_picture,
    send_request,
    with_adapter,
)
from megdt_opt.program.dataflow import check_dataflow
from megdt_opt.program.latency import latency_terms
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.option import CHOICES, Mechanism
from megdt_opt.program.option import MECHANISM_REGISTRY as MECHANISM_REGISTRY
from megdt_opt.program.option import Option as Option
from megdt_opt.program.option import Setting as Setting
from megdt_opt.program.option import split_rows as split_rows
from megdt_opt.program.precisions import PRECISION_REGISTRY, check_quality
from megdt_opt.program.stages import (
    CODECS,
    PRECISIONS,
    Compute,
    Kind,
    Parallel,
    Payload,
    Send,
    Series,
    Stage,
    series,
)


def program(option: Option, setting: Setting) -> Series:
    """The stages of an option; where the setting says so, the device loads its user's adapter before it denoises.

    Raises
    ------
    InvalidInput
        For an unknown mechanism, or a cut or share outside its range.
    """
    stages = series(*MECHANISM_REGISTRY.require(option.mechanism).stages(option, setting))
    return with_adapter(stages, setting.device) if setting.adapted else stages


def catalogue(
    setting: Setting,
    *,
    own: Sequence[str] = (),
    precisions: Sequence[str] = PRECISIONS,
    codecs: Sequence[str] = CODECS,
    cuts: Sequence[int] | None = None,
    shares: Sequence[float] = (0.25, 0.5, 0.75),
) -> tuple[Option, ...]:
    """All options of a setting, baselines first.

    Parameters
    ----------
    setting : Setting
        The model and sampler.
    own : sequence of str
        Mechanisms that users registered, to be offered behind the package's.
    precisions, codecs : sequence of str
        Those to offer for features and for images.
    cuts : sequence of int, optional
        Steps before the hand-over of mechanisms with a cut, each in 1..N-1; default all.
    shares : sequence of float
        Shares of the content made at the edge in a parallel generation; those that leave a side
        without rows of its own are left out.
    """
    steps = setting.steps
    inner = range(1, steps) if cuts is None else cuts
    for cut in inner:
        if not 0 < cut < steps:
            raise InvalidInput("cuts", cut, f"1..{steps - 1} denoising steps before the hand-over", "Leave it out.")
    offered = [MECHANISM_REGISTRY.require(name) for name in (*MECHANISMS, *own)]
    all_precisions = dict.fromkeys([*precisions, *(p for m in offered for p in m.precisions or ())])
    return tuple(
        option
        for precision in ("", *all_precisions)
        for mechanism in offered
        if precision in _precisions(mechanism, precisions)
        for option in _options(mechanism, setting, precision, codecs, inner, shares)
    )


def _precisions(mechanism: Mechanism, accepted: Sequence[str]) -> Sequence[str]:
    if "precision" not in mechanism.choices:
        return ("",)
    return accepted if mechanism.precisions is None else mechanism.precisions


def _options(
    mechanism: Mechanism,
    setting: Setting,
    precision: str,
    codecs: Sequence[str],
    inner: Sequence[int],
    shares: Sequence[float],
) -> Iterator[Option]:
    choices = mechanism.choices
    # a picture goes down as an image only where the device shows it
    downloads = codecs if "codec" in choices and setting.shown_at == "device" else ("",)
    whole = 0 if "share" in choices or mechanism.runs_at == "device" else setting.steps
    cuts = [(cut, 0) for cut in (inner if "cut" in choices else (whole,))]
    if "back" in choices:
        cuts = [(cut, back) for cut in inner for back in inner if cut < back]
    for cut, back in cuts:
        for share in _valid_shares(setting, shares) if "share" in choices else (0.0,):
            for codec in downloads:
                yield Option(
                    mechanism=mechanism.name, cut=cut, back=back, share=share, precision=precision, codec=codec
                )


def _valid_shares(setting: Setting, shares: Sequence[float]) -> Iterator[float]:
    seen = set()
    for share in shares:
        try:
            rows = split_rows(setting.spec, share, setting.overlap)
        except InvalidInput:
            continue
        if rows not in seen:
            seen.add(rows)
            yield share


# --- mechanisms ------------------------------------------------------------


def _centralised(option: Option, s: Setting) -> tuple[Stage, ...]:
    return (
        send_request(s),
        encode_prompt(s.edge),
        denoise(s.edge, 0, s.steps),
        decode(s.edge),
        *(send_picture(s, option.codec) if s.shown_at == "device" else ()),
    )


def _local(option: Option, s: Setting) -> tuple[Stage, ...]:
    return (encode_prompt(s.device), denoise(s.device, 0, s.steps), decode(s.device))


def _e2u(option: Option, s: Setting) -> tuple[Stage, ...]:
    return (
        send_request(s),
        encode_prompt(s.edge),
        denoise(s.edge, 0, s.steps),
        send_latent(s, option.precision, history=False),
        decode(s.device),
    )


def _check_cut(option: Option, s: Setting) -> None:
    if not 0 < option.cut < s.steps:
        raise InvalidInput(
            "cut",
            option.cut,
            f"1..{s.steps - 1} denoising steps before the hand-over",
            "Move the cut inside the chain.",
        )


def _seu(option: Option, s: Setting) -> tuple[Stage, ...]:
    _check_cut(option, s)
    return (
        # the device has the request and makes its own conditioning: cheaper than sending it
        encode_prompt(s.device),
        send_request(s),
        encode_prompt(s.edge),
        denoise(s.edge, 0, option.cut),
        send_latent(s, option.precision, history=True, done=option.cut),
        denoise(s.device, option.cut, s.steps - option.cut),
        decode(s.device),
    )


def _seu_ue_first(option: Option, s: Setting) -> tuple[Stage, ...]:
    _check_cut(option, s)
    # the request itself never leaves the device: the edge gets the latent and the encoded conditioning
    up = Send(
        source=s.device, to=(s.edge,), payload=Payload.LATENT,
        tensors=(*latent_tensors(s, history=True, done=option.cut), *conditioning_tensors(s)),
        precision=option.precision,
    )  # fmt: skip
    ends: tuple[Stage, ...] = (
        (send_latent(s, option.precision, history=False), decode(s.device))
        if s.shown_at == "device"
        else (decode(s.edge),)
    )
    return (
        encode_prompt(s.device),
        denoise(s.device, 0, option.cut),
        up,
        denoise(s.edge, option.cut, s.steps - option.cut),
        *ends,
    )


def _u2e(option: Option, s: Setting) -> tuple[Stage, ...]:
    first = s.steps - max(1, round(s.sense_strength * s.steps))
    up = Send(
        source=s.device, to=(s.edge,), payload=Payload.FEATURE,
        tensors=(*latent_tensors(s, item="sensed"), *conditioning_tensors(s)), precision=option.precision,
    )  # fmt: skip
    return (
        encode_prompt(s.device),
        Compute(at=s.device, kind=Kind.SENSE, item="sensed"),
        up,
        denoise(s.edge, first, s.steps - first),
        decode(s.edge),
        *(send_picture(s, option.codec) if s.shown_at == "device" else ()),
    )


def _peu(option: Option, s: Setting) -> tuple[Stage, ...]:
    top, bottom = split_rows(s.spec, option.share, s.overlap)
    part = Send(
        source=s.edge, to=(s.device,), payload=Payload.FEATURE,
        tensors=latent_tensors(s, item="part_a", rows=top), precision=option.precision,
    )  # fmt: skip
    at_edge = series(send_request(s), encode_prompt(s.edge), denoise(s.edge, 0, s.steps, rows=top, item="part_a"), part)
    at_device = series(encode_prompt(s.device), denoise(s.device, 0, s.steps, rows=bottom, item="part_b"))
    return (
        Parallel((at_edge, at_device)),
        Compute(at=s.device, kind=Kind.FUSE, item="state"),
        decode(s.device),
    )


for _made in (
    Mechanism(name="local", stages=_local),
    Mechanism(name="centralised", stages=_centralised, choices=("codec",), runs_at="edge", shown_at=("device", "edge")),
    Mechanism(name="E2U", stages=_e2u, choices=("precision",), runs_at="edge"),
    Mechanism(name="SEU", stages=_seu, choices=("cut", "precision")),
    Mechanism(name="SEU-UE-first", stages=_seu_ue_first, choices=("cut", "precision"), shown_at=("device", "edge")),
    Mechanism(name="PEU", stages=_peu, choices=("share", "precision")),
    Mechanism(
        name="U2E",
        stages=_u2e,
        choices=("precision", "codec"),
        runs_at="edge",
        shown_at=("device", "edge"),
        senses=True,
    ),
):
    MECHANISM_REGISTRY.add(_made.name, _made, built_in=True)

MECHANISMS = MECHANISM_REGISTRY.built_in
"""Names of the package's own mechanisms. SEU hands over from the edge to the device, SEU-UE-first the other way."""


# --- those of users ------------------------------------------------------------


def register_mechanism(  # wide: each is one declaration of the mechanism, by keyword
    name: str,
    stages: Callable[[Option, Setting], Iterable[Stage]],
    *,
    quality: str,
    choices: Sequence[str] = (),
    runs_at: str = "device",
    shown_at: Sequence[str] = ("device",),
    senses: bool = False,
    precisions: Sequence[str] | None = None,
    replace: bool = False,
) -> None:
    """Make a mechanism of your own known, for scenarios, plans, sweeps, executions and reports.

    It is offered to the users who list it among their `mechanisms`. The stages of `megdt_opt.program.blocks` are those
    of the package's own mechanisms.

    Parameters
    ----------
    name : str
        What scenarios and plans call it.
    stages : callable
        From an option (its `cut`, `share`, `precision` and `codec`) and a `Setting` (model, sampler, `device` and
        `edge`) to the stages that really run, one after another. Latency, costs, payloads and execution follow from
        them.
    quality : str
        What it does to the pictures, in a few words that plans and reports repeat; "exact" if nothing.
    choices : sequence of str
        What its options differ in: "cut" (step of the hand-over), "back" (step of a second one, behind the first),
        "share" (of the content made at the edge), "precision" (of the features sent) and "codec" (of the picture sent
        to the device).
    runs_at : str
        "device" or "edge": where the denoising steps run, if "cut" is not among the choices.
    shown_at : sequence of str
        Where the picture may end: "device", "edge" or both.
    senses : bool
        Whether it needs a camera on the device.
    precisions : sequence of str, optional
        Precisions that it offers; default those that the users accept.
    replace : bool
        Take the place of a mechanism of yours of the same name, as one does in a notebook.

    Returns
    -------
    None

    Raises
    ------
    InvalidInput
        Where the name is taken, or the stages cannot run or be planned with; names the option and the stage.

    Examples
    --------
    >>> from megdt_opt import register_mechanism
    >>> from megdt_opt.program import blocks
    >>> def stages(option, s):  # the request is encoded on the device
    ...     return (
    ...         blocks.encode_prompt(s.device),
    ...         blocks.send_request(s),
    ...         blocks.encode_prompt(s.edge),
    ...         blocks.denoise(s.edge, 0, s.steps),
    ...         blocks.send_latent(s, option.precision, history=False),
    ...         blocks.decode(s.device),
    ...     )
    >>> register_mechanism("E2U-twice", stages, choices=("precision",), runs_at="edge", quality="as E2U")
    """

    def bad(field: str, value: object, expected: str) -> InvalidInput:
        return InvalidInput(f"{field} of the mechanism {name}", value, expected, "Correct the registration.")

    check_quality(f"the mechanism {name}", quality)
    for field, values, known in (("choices", choices, CHOICES), ("shown_at", shown_at, ("device", "edge"))):
        if isinstance(values, str) or not set(values) <= set(known):
            raise bad(field, values, f"some of {known}")
    if not shown_at:
        raise bad("shown_at", shown_at, "'device', 'edge' or both")
    if runs_at not in ("device", "edge"):
        raise bad("runs_at", runs_at, "'device' or 'edge'")
    if precisions is not None:
        if "precision" not in choices or isinstance(precisions, str) or not precisions:
            raise bad("precisions", precisions, "names of precisions, with 'precision' among the choices")
        for precision in precisions:
            PRECISION_REGISTRY.require(precision, f"precisions of the mechanism {name}")
    made = Mechanism(
        name=name,
        stages=stages,
        choices=tuple(choices),
        runs_at=runs_at,
        shown_at=tuple(shown_at),
        senses=senses,
        precisions=None if precisions is None else tuple(precisions),
        quality=quality,
    )
    _try(made)
    MECHANISM_REGISTRY.add(name, made, replace=replace)


_MODEL = ModelSpec(
    name="a model",
    latent_shape=(4, 16, 16),
    image_shape=(64, 64, 3),
    conditioning={"tokens": (5, 8)},
    request={"state": (7,)},
    passes_per_step=1,
    steps_default=4,
    schedulers=("ddim", "dpmpp"),
    region_multiple=2,
)
"""What mechanisms are tried with when they are registered, with a sampler of one step and one that has a history."""


def _try(made: Mechanism) -> None:
    """Build every option of a small setting, and refuse what could not be planned or run."""
    precisions = _precisions(made, PRECISIONS)
    for scheduler in _MODEL.schedulers:
        for shown_at in made.shown_at:
            setting = Setting(spec=_MODEL, scheduler=scheduler, steps=4, device="phone", shown_at=shown_at)
            programs: dict[Series, Option] = {}
            for precision in precisions:
                for option in _options(made, setting, precision, CODECS, range(1, 4), (0.5,)):
                    _try_option(made, option, setting, programs)


def _try_option(made: Mechanism, option: Option, setting: Setting, programs: dict[Series, Option]) -> None:
    chosen = {name: getattr(option, name) for name in CHOICES}
    where = ", ".join(f"{name} {chosen[name]}" for name in made.choices)
    field = f"mechanism {made.name}" + (f" ({where})" if where else "")
    remedy = "Correct its function of stages."
    try:
        found = tuple(made.stages(option, setting))
        strange = [stage for stage in found if not isinstance(stage, Compute | Send | Series | Parallel)]
        if not found or strange:
            raise InvalidInput(field, strange or found, "stages: Compute, Send, Series or Parallel", remedy)
        program = series(*found)
        check_dataflow(program, setting, senses=made.senses, shown_at=setting.shown_at)
        latency_terms(program, compute_s=lambda leaf: 1.0, send_bit=lambda leaf: 1.0)
    except NotRepresentable as error:
        raise InvalidInput(field, str(error), "stages that a user can run by itself", remedy) from error
    except InvalidInput as error:
        raise error if error.field == field else error.within(field) from None
    except MegdtError:
        raise
    except Exception as error:
        expected = "a function from an option and a setting to stages"
        raise InvalidInput(field, f"{type(error).__name__}: {error}", expected, remedy) from error
    if program in programs:
        expected = "stages that differ between its options: each of its choices is used"
        raise InvalidInput(field, "the stages of another option", expected, "Use the choice, or leave it out.")
    programs[program] = option
