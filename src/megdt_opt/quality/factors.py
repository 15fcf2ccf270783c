"""What the quality of a picture depends on: mechanism, cut, steps, precision, share, codec, decoder, adapter, SNR."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.program.groups import COOPERATIVE, GROUP_MECHANISMS, SHARED_DEVICE
from megdt_opt.program.mechanisms import MECHANISM_REGISTRY, Option
from megdt_opt.program.sketches import SKETCH_MECHANISMS

LOSSLESS = ("raw", "png")
"""Codecs that change no bit, which a table writes as ""."""

WHOLE = "local"
"""Mechanism of a picture that is made in one place."""

SHARED = "shared"
"""Mechanism of pictures whose first steps followed another's request."""

AXES = ("steps", "cut", "share", "snr_db")
"""Factors along which a curve is interpolated; equality is asked of the others."""

HANDED_OVER_LIKE = {"SEU-twice": "SEU-UE-first", SHARED_DEVICE: "SEU", COOPERATIVE: "SEU"}
"""Mechanisms whose features are handed over as another's are: what was measured of that opens them too."""


@dataclass(frozen=True, kw_only=True)
class Factors:
    """What one measured figure is of.

    Parameters
    ----------
    mechanism : str
        Name of the mechanism; `SHARED` for pictures whose first steps followed another's request.
    steps : int
        Denoising steps of the whole chain [1].
    scheduler : str
        Sampler.
    cut : float
        Share of the steps before the hand-over, or that are shared [1]; 0 without one.
    share : float
        Share of the content made at the edge (PEU) [1].
    precision : str
        Of the features sent, "" where none are; merging and bits a value included.
    codec : str
        Lossy codec of a picture sent, "" for none.
    decoder : str
        Decoder in place of the model's own, "" for that.
    adapter : bool
        Whether the steps on the device use an adapter of the user's.
    similarity : float
        Least similarity of the requests of those who share steps [1]; 0 where nothing is shared.
    same_seed : bool
        Whether those who share steps have the same seed.
    snr_db : float or None
        Signal-to-noise ratio of a channel that adds noise to the features [dB]; None without such a channel.
    computed : str
        Precision in which the model computes.
    """

    mechanism: str
    steps: int
    scheduler: str
    cut: float = 0.0
    share: float = 0.0
    precision: str = ""
    codec: str = ""
    decoder: str = ""
    adapter: bool = False
    similarity: float = 0.0
    same_seed: bool = False
    snr_db: float | None = None
    computed: str = "fp32"

    @classmethod
    def of(cls, option: Option, *, steps: int, scheduler: str, **more: Any) -> Factors:
        """Factors of an option in a chain of so many steps; `more` are those that an option does not have.

        Examples
        --------
        >>> from megdt_opt.program.mechanisms import Option
        >>> from megdt_opt.quality.factors import Factors
        >>> Factors.of(Option(mechanism="SEU", cut=5, precision="int8"), steps=20, scheduler="ddim").cut
        0.25
        """
        inside = "cut" in MECHANISM_REGISTRY.require(option.mechanism).choices
        return cls(
            mechanism=option.mechanism,
            steps=steps,
            scheduler=scheduler,
            cut=option.cut / steps if inside or option.mechanism in GROUP_MECHANISMS else 0.0,
            share=option.share,
            precision=option.precision,
            codec="" if option.codec in LOSSLESS else option.codec,
            **more,
        )

    @property
    def curve(self) -> Factors:
        """The curve that it is on: the same with its place on the axes left out."""
        return replace(self, steps=1, cut=0.0, share=0.0, snr_db=None if self.snr_db is None else 0.0)

    @property
    def exact(self) -> bool:
        """Whether the picture is known, without a measurement, to be the one that one place would make."""
        plain = self.precision in ("", "fp32") and not self.codec and not self.decoder and not self.adapter
        same = self.computed == "fp32" and self.snr_db is None and self.mechanism != SHARED and not self.share
        known = self.mechanism in MECHANISM_REGISTRY.built_in
        return plain and same and known and self.mechanism not in (*GROUP_MECHANISMS, *SKETCH_MECHANISMS)

    @property
    def lossy(self) -> tuple[str, ...]:
        """What of it has to be measured before a plan may take it: precision, merging, decoder, adapter, sketch."""
        found = [self.precision] if self.precision not in ("", "fp32") else []
        found += [self.computed] if self.computed != "fp32" else []
        found += [f"decoder {self.decoder}"] if self.decoder else []
        found += ["an adapter"] if self.adapter else []
        return tuple([*found, *([self.mechanism] if self.mechanism in SKETCH_MECHANISMS else [])])

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back; defaults are left out."""
        return {
            f.name: value
            for f in fields(self)
            if (value := getattr(self, f.name)) != f.default or f.name in ("mechanism", "steps", "scheduler")
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Factors:
        """Build from plain data.

        Raises
        ------
        InvalidInput
            Names the field.
        """
        known = {f.name: f for f in fields(cls)}
        for name in ("mechanism", "steps", "scheduler"):
            if name not in data:
                raise InvalidInput(name, None, "a value", "Add the field.")
        for name, value in data.items():
            if name not in known:
                raise InvalidInput(name, value, f"one of {tuple(known)}", "Remove the field.")
            _check(name, value)
        made: dict[str, Any] = {name: float(value) if name in _SHARES else value for name, value in data.items()}
        return cls(**made)


_SHARES = ("cut", "share", "similarity")
_FLAGS = ("adapter", "same_seed")


def _check(name: str, value: Any) -> None:
    """Refuse a factor of another kind, or outside of its range."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in _SHARES:
        if not (number and 0 <= value <= 1):
            raise InvalidInput(name, value, "a share from 0 to 1 [1]", "Correct the row.")
    elif name in _FLAGS:
        if not isinstance(value, bool):
            raise InvalidInput(name, value, "true or false", "Correct the row.")
    elif name == "steps":
        if not isinstance(value, int) or not number or not 1 <= value <= 1000:
            raise InvalidInput(name, value, "a number of steps from 1 to 1000 [1]", "Correct the row.")
    elif name == "snr_db":
        if value is not None and not (number and -100 <= value <= 200):
            raise InvalidInput(name, value, "a ratio from -100 to 200 dB", "Correct the row.")
    elif not isinstance(value, str) or len(value) > 200:
        raise InvalidInput(name, value, "a name", "Correct the row.")
