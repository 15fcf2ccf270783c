"""Base of the scenario's models: units at the border, clear errors, nothing unknown accepted."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from megdt_opt import units
from megdt_opt.errors import InvalidInput


class Quantities(BaseModel):
    """A model whose physical fields carry their unit in the name.

    A field `band_hz` is given either as `band_hz` with a number in that unit, or as `band` with text such as
    "20 MHz". A bare number for `band` is refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    dimensions: ClassVar[dict[str, str]] = {}
    """Physical fields and their dimension, as `units.parse` names it."""

    def __init__(self, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise _clear(error, type(self).__name__) from None

    @model_validator(mode="before")
    @classmethod
    def _read_units(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        read = dict(data)
        for name, dimension in cls.dimensions.items():
            short = name.rsplit("_", 1)[0]
            if short not in read:
                continue
            if name in read:
                raise InvalidInput(short, read[short], f"either {short} or {name}", "Remove one of the two.")
            text = read.pop(short)
            if text is None:
                continue
            if dimension == "ratio":
                read[name] = units.parse_db(text, short)
            elif dimension == "efficiency":
                read[name] = units.parse_efficiency(text, short)
            else:
                read[name] = units.parse(text, dimension, short)
        return read


def _clear(error: ValidationError, model: str) -> InvalidInput:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InvalidInput):
        field = ".".join(part for part in (where, cause.field) if part)
        return InvalidInput(field, cause.value, cause.expected, cause.remedy)
    shown = first["input"]
    if first["type"] == "extra_forbidden":
        return InvalidInput(where, shown, f"only the fields of {model}", "Mend the name or remove the field.")
    if first["type"] == "missing":
        return InvalidInput(where, None, "a value", "Add the field.")
    return InvalidInput(where or model, shown, first["msg"], "Mend the value.")
