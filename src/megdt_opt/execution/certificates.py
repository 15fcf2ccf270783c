"""What a certificate says of its holder: role, name, serial number, dates."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from megdt_opt.errors import MegdtError
from megdt_opt.execution.callers import Role

_SCHEME = "megdt-opt"


@dataclass(frozen=True)
class Facts:
    """What is read of a certificate.

    Parameters
    ----------
    role : Role
    name : str
        Of the actor, or of the coordinator.
    serial : int
    begin_s, end_s : float
        From when until when it is valid [s since 1970].
    """

    role: Role
    name: str
    serial: int
    begin_s: float
    end_s: float

    @property
    def begin(self) -> str:
        """From when, in words."""
        return _date(self.begin_s)

    @property
    def end(self) -> str:
        """Until when, in words."""
        return _date(self.end_s)


def uri(role: Role, name: str) -> str:
    """How a certificate states role and name, as a subject alternative name."""
    return f"{_SCHEME}://{role}/{quote(name, safe='')}"


def dns_name(name: str, generation: int) -> str:
    """The name under which an actor serves: made of its own name, and of how often its keys were revoked.

    After a revocation nobody takes an earlier key for this actor's, as its certificate has another DNS name.
    """
    digest = hashlib.sha256(name.encode("utf-8")).hexdigest()[:32]
    return f"g{generation}.{digest}.actor.megdt-opt.internal"


def facts_of(pem: bytes) -> Facts | None:
    """What the first certificate of a PEM file says; None where there is none, or it names no role.

    Raises
    ------
    MegdtError
        Where the packages of the extra `hosts` are missing.
    """
    try:
        from cryptography import x509
    except ImportError as error:
        raise MegdtError(
            f"certificates need the package {error.name}: install it with pip install 'megdt-opt[hosts]'"
        ) from error
    try:
        certificate = x509.load_pem_x509_certificates(pem)[0]
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (found,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        scheme, _, rest = found.partition("://")
        role, _, name = rest.partition("/")
        if scheme != _SCHEME or not name:
            return None
        return Facts(
            role=Role(role),
            name=unquote(name, errors="strict"),
            serial=certificate.serial_number,
            begin_s=certificate.not_valid_before_utc.timestamp(),
            end_s=certificate.not_valid_after_utc.timestamp(),
        )
    except (ValueError, x509.ExtensionNotFound, IndexError):
        return None


def _date(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
