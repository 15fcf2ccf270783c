"""How two processes prove to each other who they are: tokens on one machine, certificates between hosts.

Between hosts every connection is TLS 1.3 with a certificate on both sides. A certificate names its holder and the
holder's role; its DNS name is made of the actor's name, so that whoever connects to "edge" reaches the holder of edge's
key or nobody, whatever the address. Files are looked at again before each call and each handshake: keys are renewed
and revoked while both sides go on.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, Self

# TLS 1.2 would need a cipher for the ECDSA certificates that all of us have; this one is for RSA, so 1.3 alone is left
os.environ.setdefault("GRPC_SSL_CIPHER_SUITES", "ECDHE-RSA-AES256-GCM-SHA384")

import grpc as grpc

from megdt_opt.errors import InvalidInput, MegdtError, NotAuthorised
from megdt_opt.execution.callers import Caller, Role
from megdt_opt.execution.certificates import Facts, dns_name, facts_of
from megdt_opt.execution.hosts_file import Hosts
from megdt_opt.files import read_bytes

TOKEN_KEY = "megdt-token"
"""Where a call carries the token."""

KEY_BYTE = 2**16
"""Largest key or certificate file that is read [byte]."""

_log = logging.getLogger(__name__)

Metadata = tuple[tuple[str, str], ...]


class Identity(Protocol):
    """How a process proves itself, and knows who calls it."""

    @property
    def metadata(self) -> Metadata:
        """What each call carries."""

    def version(self, name: str) -> object:
        """Changes when a connection to this actor has to be made anew."""

    def channel(self, name: str, address: str, options: list[tuple[str, Any]]) -> grpc.Channel:
        """A connection to this actor and nobody else."""

    def listen(self, server: grpc.Server, address: str) -> int:
        """Have a server listen at "host:port"; the port."""

    def caller(self, context: grpc.ServicerContext) -> Caller:
        """Who calls; raises NotAuthorised for those who may not."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data of which `identity_from_dict` makes the same."""


class Tokens:
    """A secret for each process of one machine, on its loopback.

    Parameters
    ----------
    own : str
        Secret of this process.
    callers : mapping of str to (str, str)
        Role and name of who may call, by the SHA-256 of the secrets: a process cannot speak in another's name.
    """

    def __init__(self, own: str, callers: Mapping[str, tuple[str, str]]) -> None:
        self._own = own
        self._callers = {digest: Caller(Role(role), name) for digest, (role, name) in callers.items()}

    @classmethod
    def of_cluster(cls, actors: Iterable[str]) -> tuple[Self, dict[str, Self]]:
        """New tokens for a coordinator and for each actor."""
        names = {(Role.COORDINATOR, "coordinator"): secrets.token_hex(16)}
        names |= {(Role.ACTOR, actor): secrets.token_hex(16) for actor in actors}
        callers = {_digest(token): (str(role), name) for (role, name), token in names.items()}
        made = {key: cls(token, callers) for key, token in names.items()}
        return made.pop((Role.COORDINATOR, "coordinator")), {name: tokens for (_, name), tokens in made.items()}

    @property
    def metadata(self) -> Metadata:
        return ((TOKEN_KEY, self._own),)

    def version(self, name: str) -> object:
        return None

    def channel(self, name: str, address: str, options: list[tuple[str, Any]]) -> grpc.Channel:
        return grpc.insecure_channel(address, options=options)

    def listen(self, server: grpc.Server, address: str) -> int:
        return server.add_insecure_port(address)

    def caller(self, context: grpc.ServicerContext) -> Caller:
        sent = [str(value) for key, value in context.invocation_metadata() if key == TOKEN_KEY]
        digest = _digest(sent[0]) if len(sent) == 1 else ""
        # digests of secrets are compared, so that the time taken tells nothing of a secret
        found = [caller for known, caller in self._callers.items() if hmac.compare_digest(known, digest)]
        if not found:
            raise NotAuthorised("a call without a token of this cluster")
        return found[0]

    def to_dict(self) -> dict[str, Any]:
        return {"own": self._own, "callers": {d: [str(c.role), c.name] for d, c in self._callers.items()}}


class Credentials:
    """A certificate with its key, and the authority that both sides trust.

    Parameters
    ----------
    identity : str or Path
        PEM file with private key and certificate, which nobody but its owner can read.
    authority : str or Path
        PEM file with the certificate of the authority.
    hosts : str or Path, optional
        Hosts file whose list of revoked serial numbers holds; default none are.

    Raises
    ------
    InvalidInput
        Where a file is missing, is none of this kind, can be read by others, or the certificate has expired.
    MegdtError
        Where the packages of the extra `hosts` are missing.
    """

    def __init__(self, identity: str | Path, authority: str | Path, hosts: str | Path | None = None) -> None:
        self._paths = tuple(None if path is None else Path(path) for path in (identity, authority, hosts))
        self._seen = self._signature()
        self._identity, self._authority, self._facts, self._hosts = self._read()
        if self._facts.end_s <= time.time():
            remedy = f"Renew it: megdt-opt hosts renew {self._facts.name}."
            raise InvalidInput(f"certificate in {identity}", self._facts.end, "one that has not expired", remedy)

    @property
    def name(self) -> str:
        """Whose certificate it is."""
        return self._facts.name

    @property
    def role(self) -> Role:
        """Its holder's role."""
        return self._facts.role

    @property
    def end(self) -> str:
        """When the certificate expires, in words."""
        return self._facts.end

    @property
    def end_s(self) -> float:
        """When the certificate expires [s since 1970]."""
        return self._facts.end_s

    @property
    def serial(self) -> int:
        """Serial number of the certificate."""
        return self._facts.serial

    @property
    def metadata(self) -> Metadata:
        return ()

    def version(self, name: str) -> object:
        self.refresh()
        return self._identity, self._authority, self._generation(name)

    def channel(self, name: str, address: str, options: list[tuple[str, Any]]) -> grpc.Channel:
        self.refresh()
        if self._facts.end_s <= time.time():
            raise NotAuthorised(
                f"the certificate of {self.name} expired on {self._facts.end}: megdt-opt hosts renew {self.name}"
            )
        shown = dns_name(name, self._generation(name))
        names = [("grpc.ssl_target_name_override", shown), ("grpc.default_authority", shown)]
        secured = grpc.ssl_channel_credentials(self._authority, self._identity, self._identity)
        return grpc.secure_channel(address, secured, options=[*options, *names])

    def listen(self, server: grpc.Server, address: str) -> int:
        def configuration() -> grpc.ServerCertificateConfiguration:
            self.refresh()
            return grpc.ssl_server_certificate_configuration([(self._identity, self._identity)], self._authority)

        # the configuration is fetched anew for every handshake
        secured = grpc.dynamic_ssl_server_credentials(
            configuration(), configuration, require_client_authentication=True
        )
        return server.add_secure_port(address, secured)

    def caller(self, context: grpc.ServicerContext) -> Caller:
        self.refresh()
        found = context.auth_context().get("x509_pem_cert")
        if not found:
            raise NotAuthorised("a call without a certificate")
        facts = _facts(bytes(found[0]))
        if facts is None:
            raise NotAuthorised("a call with a certificate that names no role: megdt-opt hosts renew makes one")
        if facts.serial in self._revoked(facts.name):
            raise NotAuthorised(f"the certificate of {facts.name} with serial number {facts.serial:x} is revoked")
        # a handshake looks at the dates once, and a connection may last for days
        if not facts.begin_s <= time.time() < facts.end_s:
            raise NotAuthorised(f"the certificate of {facts.name} is valid from {facts.begin} to {facts.end}")
        return Caller(facts.role, facts.name, facts.serial)

    def to_dict(self) -> dict[str, Any]:
        identity, authority, hosts = (None if path is None else str(path.resolve()) for path in self._paths)
        return {"identity": identity, "authority": authority, "hosts": hosts}

    def refresh(self) -> None:
        """Read the files again where they have changed; what cannot be read leaves the earlier ones, and is logged."""
        seen = self._signature()
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._identity, self._authority, self._facts, self._hosts = self._read()
        except MegdtError as error:
            _log.error("credentials stay as they were: %s", error)
        else:
            _log.info("credentials of %s read again: serial number %x", self.name, self.serial)

    def _revoked(self, name: str) -> frozenset[int]:
        return frozenset() if self._hosts is None else self._hosts.revoked.get(name, frozenset())

    def _generation(self, name: str) -> int:
        return 0 if self._hosts is None else self._hosts.generation(name)

    def _signature(self) -> tuple[object, ...]:
        return tuple(None if path is None else _state(path) for path in self._paths)

    def _read(self) -> tuple[bytes, bytes, Facts, Hosts | None]:
        identity, authority, hosts = self._paths
        assert identity is not None
        assert authority is not None
        secret = read_bytes(identity, "key file", limit_byte=KEY_BYTE)
        if identity.stat().st_mode & 0o077:
            remedy = f"Run chmod 600 {identity}."
            raise InvalidInput("key file", str(identity), "a file that its owner alone can read", remedy)
        facts = facts_of(secret)
        if facts is None or b"PRIVATE KEY" not in secret:
            remedy = "Take a file out of the folder keys that megdt-opt hosts init makes."
            raise InvalidInput("key file", str(identity), "a private key and a certificate that names a role", remedy)
        trusted = read_bytes(authority, "authority's certificate", limit_byte=KEY_BYTE)
        if b"BEGIN CERTIFICATE" not in trusted:
            remedy = "Take the ca.pem that megdt-opt hosts init makes."
            raise InvalidInput("authority's certificate", str(authority), "a certificate in PEM", remedy)
        return secret, trusted, facts, None if hosts is None else Hosts.load(hosts)


def identity_from_dict(data: Mapping[str, Any]) -> Identity:
    """Inverse of `Identity.to_dict`, in the process that is told who it is."""
    if "own" in data:
        return Tokens(str(data["own"]), {d: (str(role), str(name)) for d, (role, name) in data["callers"].items()})
    return Credentials(data["identity"], data["authority"], data["hosts"])


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


@lru_cache(1024)
def _facts(pem: bytes) -> Facts | None:
    return facts_of(pem)
