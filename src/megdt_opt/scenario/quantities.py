"""Base of the scenario's models: units at the border, clear errors, nothing unknown accepted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from types import UnionType
from typing import Any, ClassVar, Union, get_args, get_origin

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

    def __init__(self, /, **data: Any) -> None:
        try:
            super().__init__(**data)
        except ValidationError as error:
            raise _clear(error, type(self), data) from None

    @classmethod
    def short_name(cls, field: str) -> str:
        """A field's name without its unit: "downlink" of "downlink_hz"."""
        if field not in cls.dimensions:
            return field
        long = {"efficiency": "_bit_per_s_per_hz", "loading": "_byte_per_s"}
        long |= {"rate": "_bit_per_s", "density": "_w_per_hz"}
        unit = long.get(cls.dimensions[field], f"_{field.rpartition('_')[2]}")
        return field.removesuffix(unit)

    @model_validator(mode="before")
    @classmethod
    def _read_units(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        read = dict(data)
        for name, dimension in cls.dimensions.items():
            short = cls.short_name(name)
            if short not in read:
                continue
            if name in read:
                raise InvalidInput(short, read[short], f"either {short} or {name}", "Remove one of the two.")
            text = read.pop(short)
            if text is None:
                continue
            if isinstance(text, dict) and _takes_one_by_name(cls.model_fields[name].annotation):
                read[name] = {key: _in_si(each, dimension, f"{short}.{key}") for key, each in text.items()}
            else:
                read[name] = _in_si(text, dimension, short)
        for name, field in cls.model_fields.items():
            if name in read and _takes_numbers_alone(field.annotation):
                value = read[name]
                if not isinstance(value, dict) or _takes_one_by_name(field.annotation):
                    _refuse_words(name, value)
        return read


def _in_si(text: Any, dimension: str, name: str) -> float:
    """Text with a unit as a number in SI units."""
    if dimension == "ratio":
        return units.parse_db(text, name)
    if dimension == "density":
        return units.parse_density(text, name)
    return units.parse_efficiency(text, name) if dimension == "efficiency" else units.parse(text, dimension, name)


def _takes_one_by_name(annotation: Any) -> bool:
    return any(get_origin(kind) is dict and get_args(kind)[1] is float for kind in _kinds(annotation))


def _takes_numbers_alone(annotation: Any) -> bool:
    kinds = set(_kinds(annotation))
    return bool(kinds & {int, float}) and not kinds & {str, bool}


def _kinds(annotation: Any) -> Iterator[Any]:
    """The types that a field takes, those of a list's entries included."""
    if get_origin(annotation) in (Union, UnionType, tuple):
        for part in get_args(annotation):
            yield from _kinds(part)
    else:
        yield annotation


def _refuse_words(name: str, value: Any) -> None:
    """Text and truth values are no numbers, though Python and pydantic would take "020" and True for some."""
    listed = enumerate(value) if isinstance(value, list | tuple) else ((None, value),)
    for number, entry in value.items() if isinstance(value, dict) else listed:
        if isinstance(entry, str | bool):
            field = name if number is None else f"{name}.{number}"
            remedy = "Write decimal digits without quotes, unit, colon, underscore or leading zero."
            raise InvalidInput(field, entry, "a number", remedy)


def _clear(error: ValidationError, model: type[Quantities], data: dict[str, Any]) -> InvalidInput:
    found = error.errors()
    # a field that is missing is often one that was mistyped: the unknown one says more
    first = next((e for e in found if e["type"] == "extra_forbidden"), found[0])
    unit = ""
    head, *rest = first["loc"] or ("",)
    short = model.short_name(str(head))
    shown = first["input"]
    if short != head and short in data:  # the field and its value as they were written
        unit = f" [{_unit_of(str(head).removeprefix(f'{short}_'))}]"
        head, shown = short, data[short]
        for part in rest:
            shown = shown[part]
    where = ".".join(str(part) for part in (head, *rest))
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, InvalidInput):
        field = ".".join(part for part in (where, cause.field) if part)
        return InvalidInput(field, cause.value, cause.expected, cause.remedy)
    if first["type"] == "extra_forbidden":
        return InvalidInput(where, shown, f"only the fields of {_called(model)}", _near(where, model))
    if first["type"] == "missing":
        return InvalidInput(where, None, "a value", "Add the field.")
    expected, remedy = expected_of(first)
    return InvalidInput(where or _called(model), shown, f"{expected}{unit}", remedy)


_LISTS = {"edges": "edges, each with a name", "users": "users, each with a name", "groups": "groups of users"}


def expected_of(error: Mapping[str, Any]) -> tuple[str, str]:
    """What pydantic expected, by the type of its error, and what to do about it."""
    kind, context = error["type"], error.get("ctx", {})
    bounds = {"greater_than_equal": ("of at least", "ge"), "greater_than": ("above", "gt")}
    bounds |= {"less_than_equal": ("of at most", "le"), "less_than": ("below", "lt")}
    if kind in bounds:
        words, key = bounds[kind]
        return f"a number {words} {context[key]:g}", "Give a number within this limit."
    if kind == "literal_error":
        near = get_close_matches(str(error["input"]), re.findall(r"'([^']*)'", context["expected"]), n=1)
        return f"one of {context['expected']}", f"Did you mean {near[0]!r}?" if near else "Choose one of them."
    if kind == "tuple_type":
        what = _LISTS.get(str(error["loc"][-1]) if error["loc"] else "", "values")
        return f"a list of {what}", 'Write one entry a line, each behind "- ", or [one, another].'
    return _EXPECTED.get(kind, (error["msg"].removeprefix("Input should be "), "Give such a value."))


_EXPECTED = {
    "string_type": ("text", "Write it in quotes."),
    "finite_number": ("a finite number", "Write a number in decimal digits."),
    "float_type": ("a number", "Write a number in decimal digits."),
    "int_type": ("a whole number", "Write a number in decimal digits."),
    "int_from_float": ("a whole number", "Write a number without a fraction."),
    "bool_type": ("true or false", "Write one of the two."),
    "bool_parsing": ("true or false", "Write one of the two."),
    "model_type": ("a mapping of fields", 'Write "field: value" lines below it, or {field: value}.'),
    "dict_type": ("a mapping of fields", 'Write "field: value" lines below it, or {field: value}.'),
}
"""What is expected and what to do, by the type of pydantic's error."""


def _unit_of(suffix: str) -> str:
    """The unit that the end of a field's name stands for: "bit/s/Hz" of "bit_per_s_per_hz"."""
    symbols = {"hz": "Hz", "w": "W", "j": "J", "db": "dB"}
    return "/".join(symbols.get(part, part) for part in suffix.split("_per_"))


def _called(model: type[Quantities]) -> str:
    """What users call a model: "an edge" of NamedEdge."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", model.__name__.removeprefix("Named")).lower()
    return f"{'an' if name[0] in 'aeio' else 'a'} {name}"


def _near(where: str, model: type[Quantities]) -> str:
    """What to do about an unknown field: the nearest one of the model."""
    known = [model.short_name(name) for name in model.model_fields]
    near = get_close_matches(where.rpartition(".")[2], known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"They are {', '.join(known)}."
