"""The world of actors that their operators started on hosts of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from megdt_opt.execution.authority import COORDINATOR
from megdt_opt.execution.credentials import Credentials, Identity
from megdt_opt.execution.hosts_file import Hosts
from megdt_opt.execution.job import ExecutionOptions, Run
from megdt_opt.execution.world import Place


def credentials_beside(hosts: str | Path, name: str, key: str | Path | None = None) -> Credentials:
    """What a name proves itself by: keys/NAME.pem and ca.pem beside a hosts file, or the key file that is given."""
    folder = Path(hosts).parent
    return Credentials(folder / "keys" / f"{name}.pem" if key is None else key, folder / "ca.pem", hosts)


class HostsWorld:
    """Actors at the places of a hosts file; no process is started or ended.

    Parameters
    ----------
    hosts : str or Path
        The hosts file; `ca.pem` lies beside it.
    key : str or Path, optional
        Key file of the coordinator; default `keys/coordinator.pem` beside the hosts file.

    Raises
    ------
    InvalidInput
        Where a file is missing or is none of its kind.
    """

    def __init__(self, hosts: str | Path, key: str | Path | None = None) -> None:
        self._hosts = Hosts.load(hosts)
        self._identity = credentials_beside(hosts, COORDINATOR, key)

    def open(self, actors: Sequence[str]) -> None:
        """Find out whether each has its place; raises InvalidInput for the first that has none."""
        for actor in actors:
            self._hosts.place(actor)

    def identities(self, actors: Sequence[str]) -> tuple[Identity, Mapping[str, Identity]]:
        """The coordinator's certificate; the actors have their own."""
        return self._identity, {}

    def place(self, actor: str) -> Place:
        """Where it serves."""
        return Place(serving=str(self._hosts.place(actor)))

    def settle(self, actor: str, pid: int) -> None:
        """Its operator has done so."""

    def fit(self, runs: Sequence[Run], options: ExecutionOptions) -> None:
        """Slots and links are paced by the executor itself, from each run."""

    def evidence(self) -> Mapping[str, Any]:
        """Nothing was set."""
        return {}

    def close(self) -> None:
        """Actors go on serving."""
