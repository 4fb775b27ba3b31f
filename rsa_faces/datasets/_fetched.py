"""Data sets that are fetched once: from where, checked how, kept where."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rsa_faces._core.errors import InputError
from rsa_faces._core.files import FOLDER, cache_folder, sha256_file
from rsa_faces._core.progress import progress_bar

PIECE = 2**16
TIMEOUT = 60.0
#: Who asks; and bytes as they lie there, since a compressed answer cannot go on in the middle.
AGENT = {"User-Agent": "rsa-faces", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Archive:
    """Files that their makers publish.

    Parameters
    ----------
    name : str
        Of the folder they are kept in.
    title, licence : str
        What is said when they are fetched.
    source : str
        ``doi:…`` (figshare, Zenodo or Dataverse, which tell the hash of each file), or an address
        that ends with a slash.
    files : mapping of str to str or None
        Path below `source` to ``sha256:…``; None where the repository of the DOI tells the hash.
    page : str
        Where a person finds the files.
    """

    name: str
    title: str
    licence: str
    source: str
    files: Mapping[str, str | None]
    page: str

    @property
    def folder(self) -> Path:
        """The folder on this machine."""
        return cache_folder() / self.name

    def fetch(self) -> dict[str, Path]:
        """Return the path of each file, by the end of its name; fetch those that are not there.

        What was fetched in part goes on where it stopped. A file that lies there already is
        checked against its hash where one is known without asking, and never overwritten.

        Raises
        ------
        InputError
            If a file is not there and cannot be fetched (which one belongs where), or is another.
        """
        places = {Path(name).name: self.folder / Path(name).name for name in self.files}
        missing = [name for name in self.files if not places[Path(name).name].is_file()]
        if missing:
            self._fetch(missing)
        for name, known in self.files.items():
            path = places[Path(name).name]
            if known is not None and f"sha256:{sha256_file(path)}" != known:
                raise InputError(
                    f"expected {path} with the hash {known}, got sha256:{sha256_file(path)}: "
                    "remove the file, and it is fetched again."
                )
        return places

    def _fetch(self, names: list[str]) -> None:
        """Fetch files into the folder, or say which belong there."""
        import pooch
        from requests import RequestException

        pooch.get_logger().info(
            "Fetching %s (%s) from %s into %s", self.title, self.licence, self.page, self.folder
        )
        try:
            hashes, addresses = self._published(names)
            for name in names:
                path = self.folder / Path(name).name
                pooch.retrieve(
                    addresses[name],
                    hashes[name],
                    fname=path.name,
                    path=path.parent,
                    downloader=_Resuming(path),
                )
        except (RequestException, OSError, ValueError, LookupError) as err:
            wanted = [Path(name).name for name in names]
            wanted = " and ".join(name for name in wanted if not (self.folder / name).is_file())
            raise InputError(
                f"expected {wanted} in {self.folder}, and could not fetch it "
                f"({type(err).__name__}: {err}): without a network, get it from {self.page} on "
                f"another machine and put it there (the variable {FOLDER} names another folder)."
            ) from err

    def _published(self, names: list[str]) -> tuple[dict[str, str], dict[str, str]]:
        """Return the hash and the address of each file."""
        if not self.source.startswith("doi:"):
            return dict(self.files), {name: self.source + name for name in names}
        import pooch
        from pooch.downloaders import doi_to_repository

        doi = self.source.removeprefix("doi:")
        repository = doi_to_repository(doi, headers=dict(AGENT), timeout=TIMEOUT)
        registry = pooch.create(path=self.folder, base_url=self.source, registry={})
        repository.populate_registry(registry)
        return registry.registry, {name: repository.download_url(name) for name in names}


class _Resuming:
    """A downloader for pooch that goes on where the last one stopped, and shows a bar."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Fetch into a file beside the last one, then hand it over."""
        import requests

        part = self.path.with_name(f".{self.path.name}.part")
        have = part.stat().st_size if part.exists() else 0
        headers = {**AGENT, **({"Range": f"bytes={have}-"} if have else {})}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            # Nothing is left to send where a run was stopped at the very end: the hash will tell.
            if not (have and answer.status_code == requests.codes.range_not_satisfiable):
                answer.raise_for_status()
                # A server that cannot go on sends everything again.
                goes_on = answer.status_code == requests.codes.partial_content
                total = int(answer.headers.get("content-length", 0)) + (have if goes_on else 0)
                with (
                    part.open("ab" if goes_on else "wb") as file,
                    progress_bar(f"Fetching {self.path.name}", total, show=True) as done,
                ):
                    for piece in answer.iter_content(PIECE):
                        file.write(piece)
                        done(file.tell())
                if part.stat().st_size < total:
                    raise requests.ConnectionError(f"the connection ended within {self.path.name}")
        os.replace(part, output_file)
