"""Which decoder a device has: a model's own, another of its own weights, or a small autoencoder's folder."""

from __future__ import annotations

from megdt_opt.errors import InvalidInput
from megdt_opt.models.registry import MODELS
from megdt_opt.program.model_spec import ModelSpec, with_decoder


def with_own_decoder(spec: ModelSpec, decoder: str | None) -> ModelSpec:
    """The spec of a model that decodes with another decoder: itself with one of its own, whose times are the same.

    Raises
    ------
    InvalidInput
        As by `with_decoder`; where the model has decoders to choose from, names them.
    """
    known = None if spec.source else MODELS.find(spec.name)
    own = () if known is None else tuple(known.decoders)
    if decoder in own:
        return spec
    if own and decoder is not None:
        raise InvalidInput("decoder", decoder, f"one of {own}, decoders of the model {spec.name!r}", "Leave it out.")
    return with_decoder(spec, decoder)
