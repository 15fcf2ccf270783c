"""The certificate authority of a set of hosts: made once, issues keys, renews and revokes them.

A folder holds `hosts.yaml`, `ca.pem` (public), `ca.key` (of the authority alone, 0600), `issued.json` (serial numbers
of all certificates) and `keys/NAME.pem` (private key and certificate, 0600). A host gets `hosts.yaml`, `ca.pem` and the
one key file of its actor; `ca.key` stays with the operator.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from megdt_opt.errors import InvalidInput, MegdtError
from megdt_opt.execution.callers import Role
from megdt_opt.execution.certificates import dns_name, uri
from megdt_opt.execution.credentials import KEY_BYTE, Credentials
from megdt_opt.execution.hosts_file import Hosts
from megdt_opt.files import read_bytes, read_json, write_text

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

COORDINATOR = "coordinator"
"""Name of the coordinator's key."""

DAYS = 90
"""For how long a certificate is valid [d]."""

AUTHORITY_DAYS = 3650
"""For how long an authority's certificate is valid [d]."""

_BEFORE = timedelta(minutes=5)
"""A host's clock may be this far behind that of the authority."""


@dataclass(frozen=True)
class Authority:
    """A folder of keys.

    Parameters
    ----------
    folder : Path
    """

    folder: Path

    @classmethod
    def create(cls, folder: str | Path, hosts: Hosts, *, days: float = DAYS) -> Authority:
        """Make an authority, a key for the coordinator and one for each actor.

        Parameters
        ----------
        folder : str or Path
            Where; nothing in it is overwritten.
        hosts : Hosts
            Who is where.
        days : float
            For how long the certificates are valid [d].

        Raises
        ------
        InvalidInput
            Where there is an authority already, or an actor has the coordinator's name.
        """
        made = cls(Path(folder))
        if COORDINATOR in hosts.actors:
            expected = "another name than that of the coordinator"
            raise InvalidInput("hosts", COORDINATOR, expected, "Rename the actor.")
        for path in (made.hosts_file, made.certificate_file, made._key_file, made._issued_file):
            if path.exists():
                remedy = "Take another folder, or megdt-opt hosts renew and revoke."
                raise InvalidInput("folder", str(folder), f"one without {path.name}", remedy)
        made.folder.mkdir(parents=True, exist_ok=True)
        key = _new_key()
        certificate = made._authority(key)
        _write_secret(made._key_file, _key_pem(key), new=True)
        write_text(made.certificate_file, _pem(certificate))
        write_text(made._issued_file, json.dumps({}))
        hosts.save(made.hosts_file)
        for name in (COORDINATOR, *hosts.actors):
            made.issue(name, days=days)
        return made

    @property
    def hosts_file(self) -> Path:
        """The hosts file."""
        return self.folder / "hosts.yaml"

    @property
    def certificate_file(self) -> Path:
        """Certificate of the authority."""
        return self.folder / "ca.pem"

    @property
    def _key_file(self) -> Path:
        return self.folder / "ca.key"

    @property
    def _issued_file(self) -> Path:
        return self.folder / "issued.json"

    def key_file(self, name: str) -> Path:
        """Key and certificate of an actor or of the coordinator."""
        return self.folder / "keys" / f"{name}.pem"

    def credentials(self, name: str) -> Credentials:
        """What an actor, or the coordinator, proves itself by."""
        return Credentials(self.key_file(name), self.certificate_file, self.hosts_file)

    def issue(self, name: str, *, days: float = DAYS) -> Path:
        """Make a new key and certificate; whoever reads the file next uses it. The one before stays valid.

        Parameters
        ----------
        name : str
            An actor of the hosts file, or "coordinator".
        days : float
            For how long it is valid [d].

        Returns
        -------
        Path
            The file.

        Raises
        ------
        InvalidInput
            Where nobody has this name, or the authority's own files are missing.
        """
        role = self._role(name)
        if not 0 < days <= AUTHORITY_DAYS:
            raise InvalidInput("days", days, f"above 0, at most {AUTHORITY_DAYS} d", f"Take {DAYS}.")
        key = _new_key()
        certificate = self._leaf(key, role, name, timedelta(days=days))
        issued = self._issued()
        issued.setdefault(name, []).append(f"{certificate.serial_number:#x}")
        write_text(self._issued_file, json.dumps(issued, indent=1))
        self.key_file(name).parent.mkdir(mode=0o700, exist_ok=True)
        _write_secret(self.key_file(name), _key_pem(key) + _pem(certificate))
        return self.key_file(name)

    def revoke(self, name: str) -> int:
        """Revoke all certificates that a name has had so far; how many.

        The list stands in the hosts file, which every host has to get; then `issue` makes a new key.
        """
        self._role(name)
        hosts = Hosts.load(self.hosts_file)
        serials = frozenset(int(serial, 16) for serial in self._issued().get(name, ()))
        new = serials - hosts.revoked.get(name, frozenset())
        if not new:
            raise InvalidInput("name", name, "one that has a certificate which holds", "Issue one: hosts renew.")
        revoked = {**hosts.revoked, name: hosts.revoked.get(name, frozenset()) | new}
        generations = {**hosts.generations, name: hosts.generation(name) + 1}
        replace(hosts, revoked=revoked, generations=generations).save(self.hosts_file)
        return len(new)

    def _role(self, name: str) -> Role:
        known = Hosts.load(self.hosts_file).actors
        if name != COORDINATOR and name not in known:
            expected = f"{COORDINATOR!r} or an actor of {self.hosts_file}: {', '.join(known)}"
            raise InvalidInput("name", name, expected, "Add it to the hosts file first.")
        return Role.COORDINATOR if name == COORDINATOR else Role.ACTOR

    def _issued(self) -> dict[str, list[str]]:
        found = read_json(self._issued_file, "list of issued certificates", limit_byte=2**24)
        if not all(isinstance(n, str) and isinstance(s, list) for n, s in found.items()):
            remedy = "Restore it from a copy: a revocation would miss keys."
            raise InvalidInput("list of issued certificates", str(self._issued_file), "serial numbers by name", remedy)
        return found

    def _authority(self, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "megdt-opt authority")])
        builder = _dated(x509.CertificateBuilder(), timedelta(days=AUTHORITY_DAYS))
        builder = builder.subject_name(name).issuer_name(name).public_key(key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(key_cert_sign=True), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return builder.sign(key, hashes.SHA256())

    def _leaf(self, key: ec.EllipticCurvePrivateKey, role: Role, name: str, lasts: timedelta) -> x509.Certificate:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        signer, own = self._signer()
        generation = Hosts.load(self.hosts_file).generation(name)
        # names of any length and script go into the URI; a common name has 64 characters
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"megdt-opt {role}")])
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri(role, name))]
        uses = [x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]
        if role is Role.ACTOR:
            names.append(x509.DNSName(dns_name(name, generation)))
            uses.append(x509.oid.ExtendedKeyUsageOID.SERVER_AUTH)
        builder = _dated(x509.CertificateBuilder(), lasts)
        builder = builder.subject_name(subject).issuer_name(own.subject).public_key(key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(_usage(digital_signature=True), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        return builder.add_extension(identifier, critical=False).sign(signer, hashes.SHA256())

    def _signer(self) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            secret = read_bytes(self._key_file, "authority's key", limit_byte=KEY_BYTE)
            key = serialization.load_pem_private_key(secret, None)
            own = x509.load_pem_x509_certificate(
                read_bytes(self.certificate_file, "authority's certificate", limit_byte=KEY_BYTE)
            )
        except (ValueError, TypeError) as error:
            remedy = "Restore it from a copy, or make a new authority in another folder."
            raise InvalidInput("authority", str(self.folder), "ca.key and ca.pem as they were made", remedy) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or own.public_key() != key.public_key():
            remedy = "Restore both from one copy."
            raise InvalidInput("authority", str(self.folder), "a ca.key that belongs to ca.pem", remedy)
        return key, own


def _new_key() -> ec.EllipticCurvePrivateKey:
    try:
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError as error:
        raise MegdtError(
            f"keys need the package {error.name}: install it with pip install 'megdt-opt[hosts]'"
        ) from error
    return ec.generate_private_key(ec.SECP256R1())


def _dated(builder: x509.CertificateBuilder, lasts: timedelta) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.now(UTC)
    begin = min(now - _BEFORE, now + lasts - timedelta(seconds=1))
    builder = builder.not_valid_before(begin).not_valid_after(now + lasts)
    return builder.serial_number(x509.random_serial_number())


def _usage(**on: bool) -> x509.KeyUsage:
    from cryptography import x509

    names = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
        "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{name: on.get(name, False) for name in names})


def _pem(certificate: x509.Certificate) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.PEM).decode("ascii")


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")


def _write_secret(path: Path, text: str, *, new: bool = False) -> None:
    """Write a file that its owner alone can read, whole or not at all."""
    draft = path.with_name(f".draft-{os.urandom(8).hex()}")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path) if new else os.replace(draft, path)  # a link never replaces what is there
    except OSError as error:
        remedy = "Free it, or take another folder."
        raise InvalidInput("key file", str(path), f"a place that can be written ({error.strerror})", remedy) from None
    finally:
        draft.unlink(missing_ok=True)
