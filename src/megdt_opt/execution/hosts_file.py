"""The hosts file: where each actor serves, and which certificates are revoked."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from megdt_opt.errors import InvalidInput
from megdt_opt.files import read_text, write_text
from megdt_opt.program.names import actor_name
from megdt_opt.yaml_text import Document, parse_yaml

FILE_BYTE = 2**20
"""Largest hosts file that is read [byte]."""

PORT = 7443
"""Port of an actor where none is given."""

MOST_ACTORS = 1000
"""Most actors of a hosts file."""

_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*")
_KINDS = {dict: "a mapping", list: "a list", str: "text", int: "a whole number"}


@dataclass(frozen=True)
class Place:
    """Where an actor serves.

    Parameters
    ----------
    address : str
        IP address or name of the host.
    port : int
    """

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(frozen=True)
class Hosts:
    """Who is where.

    Parameters
    ----------
    actors : mapping of str to Place
        The edge servers and the users' devices, by name.
    revoked : mapping of str to frozenset of int
        Serial numbers of certificates that no longer hold, by the names of their holders.
    generations : mapping of str to int
        How often the certificates of a name were revoked [1]; a name that is missing: never.
    """

    actors: Mapping[str, Place]
    revoked: Mapping[str, frozenset[int]] = field(default_factory=dict)
    generations: Mapping[str, int] = field(default_factory=dict)

    def generation(self, name: str) -> int:
        """How often the certificates of a name were revoked [1]."""
        return self.generations.get(name, 0)

    def place(self, actor: str) -> Place:
        """Where an actor serves; raises InvalidInput where the file does not say."""
        if actor not in self.actors:
            expected = f"one of {sorted(self.actors)}, the actors of the hosts file"
            raise InvalidInput("actor", actor, expected, "Add it: megdt-opt hosts init.")
        return self.actors[actor]

    @classmethod
    def load(cls, path: str | Path) -> Hosts:
        """Read a hosts file.

        Raises
        ------
        InvalidInput
            Where it is none, has an actor or a place twice, or an actor without a place; names file, line and field.
        """
        return _read(parse_yaml(read_text(path, "hosts file", limit_byte=FILE_BYTE), str(path)))

    @classmethod
    def of(cls, places: Iterable[str]) -> Hosts:
        """Build from texts such as "edge=10.0.0.1:7443"; raises InvalidInput for any other."""
        actors: dict[str, Place] = {}
        for text in places:
            name, equals, where = text.partition("=")
            match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::(\d{1,5}))?", where)
            if not equals or match is None:
                raise InvalidInput("hosts", text, "NAME=ADDRESS:PORT", "Write for example edge=10.0.0.1:7443.")
            name = actor_name(name, "actor")
            if name in actors:
                raise InvalidInput("hosts", text, f"each name once; {name} has a place already", "Leave one out.")
            actors[name] = _place(match[1].strip("[]"), int(match[2] or PORT), f"hosts: {name}")
        made = cls(actors)
        _no_place_twice(made.actors, "hosts")
        return made

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        import yaml

        data: dict[str, Any] = {"actors": {n: {"address": p.address, "port": p.port} for n, p in self.actors.items()}}
        if self.revoked:
            data["revoked"] = {
                name: {"times": self.generation(name), "serials": [f"{serial:#x}" for serial in sorted(serials)]}
                for name, serials in self.revoked.items()
            }
        text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=None, width=10**6)
        write_text(path, "# who serves where, and whose certificates are revoked\n" + text)


def _read(document: Document) -> Hosts:
    def refuse(name: str, value: object, expected: str, remedy: str) -> NoReturn:
        raise InvalidInput(f"{document.place(name)}: {name}" if name else document.source, value, expected, remedy)

    data = document.value
    _fields(data, "", {"actors": dict, "revoked": dict}, ("actors",), refuse)
    if not 1 <= len(data["actors"]) <= MOST_ACTORS:
        refuse("actors", len(data["actors"]), f"1 to {MOST_ACTORS} actors", "Name the edge and the devices.")
    actors: dict[str, Place] = {}
    for name, entry in data["actors"].items():
        where = f"actors.{name}"
        try:
            known = actor_name(name, "actor")
        except InvalidInput as error:
            raise error.within(f"{document.place(where)}: actors") from None
        _fields(entry, where, {"address": str, "port": int}, ("address",), refuse)
        if known in actors:
            refuse(
                where, name, "each actor once", "It stands there already, composed otherwise: remove one of the two."
            )
        actors[known] = _place(entry["address"], entry.get("port", PORT), f"{document.place(where)}: {where}")
    _no_place_twice(actors, document.source)
    revoked, generations = {}, {}
    for name, entry in (data.get("revoked") or {}).items():
        where = f"revoked.{name}"
        _fields(entry, where, {"times": int, "serials": list}, ("times", "serials"), refuse)
        serials = [str(serial) for serial in entry["serials"]]
        if not all(re.fullmatch(r"0x[0-9a-f]{1,40}", serial) for serial in serials):
            refuse(where, serials, "serial numbers in hexadecimal digits", "Write them as megdt-opt hosts revoke does.")
        if not 0 < entry["times"] < 10**6:
            refuse(where, entry["times"], "how often it was revoked, from 1", "Use megdt-opt hosts revoke.")
        revoked[name] = frozenset(int(serial, 16) for serial in serials)
        generations[name] = entry["times"]
    return Hosts(actors, revoked, generations)


def _fields(data: Any, where: str, kinds: Mapping[str, type], needed: Iterable[str], refuse: Any) -> None:
    """Refuse what is no mapping of these fields."""
    if not isinstance(data, dict):
        refuse(where, data, f"a mapping of {', '.join(kinds)}", "Write it as megdt-opt hosts init does.")
    prefix = f"{where}." if where else ""
    for name, value in data.items():
        if name not in kinds:
            refuse(f"{prefix}{name}", name, f"one of {', '.join(kinds)}", "Remove the field.")
        if value is not None and (not isinstance(value, kinds[name]) or isinstance(value, bool)):
            refuse(f"{prefix}{name}", value, _KINDS[kinds[name]], "Write it as megdt-opt hosts init does.")
    for name in needed:
        if data.get(name) is None:
            refuse(f"{prefix}{name}", None, "a value", "Say where the actor serves: address and port.")


def _place(address: str, port: int, field_name: str) -> Place:
    if not _HOST.fullmatch(address):
        try:
            ipaddress.ip_address(address)
        except ValueError:
            expected = "an IP address or the name of a host"
            raise InvalidInput(f"{field_name}.address", address, expected, "Correct it.") from None
    if not 1 <= port <= 65535:
        raise InvalidInput(f"{field_name}.port", port, "a port from 1 to 65535", f"Take {PORT}.")
    return Place(address, port)


def _no_place_twice(actors: Mapping[str, Place], source: str) -> None:
    seen: dict[tuple[str, int], str] = {}
    for name, place in actors.items():
        other = seen.setdefault((place.address.lower(), place.port), name)
        if other != name:
            expected = f"another place than that of {other}"
            remedy = "Two actors on one host have different ports."
            raise InvalidInput(f"{source}: actors.{name}", str(place), expected, remedy)
