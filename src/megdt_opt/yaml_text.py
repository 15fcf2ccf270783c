"""YAML as scenarios are written in it: every key once, no tags, no code, bounded, and the line of every field.

Plain values are read by the core schema of YAML 1.2: `null`, `true` and `false`, numbers in decimal digits; whatever
else is text. So what YAML 1.1 takes for a number or a truth value (`yes`, `020`, `0x1F`, `1_000`, `1:30`, a date)
stays text, and a field that wants a number refuses it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

import yaml

from megdt_opt.errors import InvalidInput

DEPTH = 40
"""Most levels of lists and mappings within one another."""

VALUES = 1_000_000
"""Most values in a document, each alias counted as what it stands for."""

DIGITS = 100
"""Most characters of a number."""

Path = tuple[str | int, ...]
"""Where a value is: keys of mappings and positions in lists, from the outermost on."""

_NULL = ("", "~", "null", "Null", "NULL")
_TRUTH = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FRACTION = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TEXT_TAGS = (None, "!", "tag:yaml.org,2002:str")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, kw_only=True)
class Document:
    """A YAML document.

    Parameters
    ----------
    value : object
        Mappings with text keys, lists, text, numbers, truth values, None.
    lines : dict
        Line of each value, from 1, by its path.
    source : str
        Where the text comes from.
    """

    value: Any
    lines: dict[Path, int]
    source: str

    def place(self, field: str) -> str:
        """Source and line of a field such as "users.0.deadline_s"; of what holds it, where it is not in the text."""
        node: Any = self.value
        path: Path = ()
        rest = field
        while rest:
            # the longest first, as a name may be the beginning of another; fields may carry their unit
            children = sorted(_children(node), key=lambda child: -len(child[1]))
            found = ((key, re.match(rf"{re.escape(name)}(_\w+)?(\.|$)", rest)) for key, name in children)
            key, match = next(((key, match) for key, match in found if match), (None, None))
            if key is None or match is None or (*path, key) not in self.lines:
                break
            node, path, rest = node[key], (*path, key), rest[match.end() :]
        return f"{self.source}, line {self.lines[path]}" if path else self.source


def _children(node: Any) -> list[tuple[str | int, str]]:
    """The keys below a node and what a field's text calls them: an entry of a list by its position or its own name."""
    if isinstance(node, dict):
        return [(key, key) for key in node]
    entries = list(enumerate(node)) if isinstance(node, list) else []
    names = [(i, str(entry["name"])) for i, entry in entries if isinstance(entry, dict) and "name" in entry]
    return [*((i, str(i)) for i, _ in entries), *names]


def parse_yaml(text: str, source: str) -> Document:
    """Read one YAML document.

    Parameters
    ----------
    text : str
        The document.
    source : str
        Where it comes from, for messages.

    Raises
    ------
    InvalidInput
        Where it is not YAML, has a key twice, a tag, an alias without its anchor, a second document, or is too deep
        or too large; names source, line and field.
    """
    try:
        return _Reader(text, source).document()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = source if mark is None else f"{source}, line {mark.line + 1}"
        begun = "" if error.context_mark is None else f" ({error.context}, line {error.context_mark.line + 1})"
        remedy = f"{_unquoted(error.problem)}{begun}."
        raise InvalidInput(place, "text that is not YAML", "YAML", remedy) from None
    except yaml.YAMLError as error:
        position = getattr(error, "position", None)
        place = source if position is None else f"{source}, line {text.count(chr(10), 0, position) + 1}"
        remedy = "Remove the character that text cannot have there."
        raise InvalidInput(place, "text that is not YAML", "YAML", remedy) from None


def _unquoted(problem: str | None) -> str:
    said = re.sub(r" ?(['\"]).{2,}\1", "", problem or "it cannot be read")
    return said.capitalize()


class _Reader:
    def __init__(self, text: str, source: str) -> None:
        self.events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self.source = source
        self.lines: dict[Path, int] = {}
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.values = 0

    def document(self) -> Document:
        value = None
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                if self.lines:
                    self.refuse((), event, "a second document", "one document", "Remove it, from the line --- on.")
                value = self.value(next(self.events), ())
        return Document(value=value, lines=self.lines, source=self.source)

    def value(self, event: Any, path: Path) -> Any:
        self.lines[path] = event.start_mark.line + 1
        before, anchor = self.values, str(event.anchor or "")
        if isinstance(event, yaml.AliasEvent):
            if anchor not in self.anchors:
                self.refuse(path, event, "an alias", "an anchor before it", "Set the anchor with & first.")
            found, size = self.anchors[anchor]
            self.count(size, path, event)
            return found
        if event.tag not in _TEXT_TAGS or (event.tag and not isinstance(event, yaml.ScalarEvent)):
            self.refuse(
                path, event, "a tag", "values without tags", "Remove the word that begins with an exclamation mark."
            )
        if len(path) > DEPTH:
            self.refuse(path, event, "more levels", f"at most {DEPTH} levels", "A scenario needs five.")
        self.count(1, path, event)
        if isinstance(event, yaml.ScalarEvent):
            found = self.scalar(event, path) if event.implicit[0] and not event.tag else event.value
        elif isinstance(event, yaml.SequenceStartEvent):
            found = []
            while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
                found.append(self.value(event, (*path, len(found))))
        else:
            found = self.mapping(path)
        if anchor:
            self.anchors[anchor] = (found, self.values - before)
        return found

    def mapping(self, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: list[Any] = []
        event: Any
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            line = event.start_mark.line + 1
            if not isinstance(event, yaml.ScalarEvent) or not event.value or event.tag not in _TEXT_TAGS:
                self.refuse(path, event, "a key that is no name", "a name before each colon", "Write the field's name.")
            key = event.value
            inner = (*path, key)
            if inner in self.lines:
                remedy = f"It stands in line {self.lines[inner]} already: remove one of the two."
                self.refuse(inner, event, key, "each key once", remedy)
            value = self.value(next(self.events), inner)
            self.lines[inner] = line
            if key == "<<":
                merged += value if isinstance(value, list) else [value]
            else:
                found[key] = value
        for more in merged:
            if not isinstance(more, dict):
                self.refuse((*path, "<<"), None, more, "a mapping, or a list of mappings", "Give an alias of one.")
            found = {**more, **found}
        return found

    def scalar(self, event: Any, path: Path) -> Any:
        text: str = event.value
        if text in _NULL:
            return None
        if text in _TRUTH:
            return _TRUTH[text]
        number = int if _WHOLE.fullmatch(text) else float if _FRACTION.fullmatch(text) else None
        if number is None:
            return float(text.replace(".", "")) if _NOT_FINITE.fullmatch(text) else text
        if len(text) > DIGITS:
            self.refuse(path, event, text, f"a number of at most {DIGITS} characters", "Round it.")
        return number(text)

    def count(self, more: int, path: Path, event: Any) -> None:
        self.values += more
        if self.values > VALUES:
            expected = f"at most {VALUES} values, each alias counted as what it stands for"
            self.refuse(path, event, "more", expected, "Use fewer aliases.")

    def refuse(self, path: Path, event: Any, value: object, expected: str, remedy: str) -> NoReturn:
        mark = None if event is None else event.start_mark
        line = self.lines.get(path, 1) if mark is None else mark.line + 1
        field = ".".join(str(part)[:60] for part in path[:8])
        place = f"{self.source}, line {line}"
        raise InvalidInput(f"{place}: {field}" if field else place, value, expected, remedy)
