"""``members`` reads files out of tar archives that come from elsewhere and may be damaged, or hold anything."""

import contextlib
import gzip
import re
import tarfile
import zlib
from typing import IO, Iterator, List, Sequence, Tuple

BLOCK = 1 << 20
KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.DIRTYPE: "a folder",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}


@contextlib.contextmanager
def complaints_of(place: str) -> Iterator[None]:
    """Turns what the libraries say of damaged files into errors that name the file.

    Raises:
        ValueError: in place of all of that
    """
    try:
        yield
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or f"damaged, or no such archive: {error}"
        raise ValueError(f"{place}: {reason}") from error


def blocks(file: IO[bytes], place: str) -> Iterator[bytes]:
    """Yields the content of an open file.

    Raises:
        ValueError: it cannot be read to its end
    """
    with complaints_of(place):
        while block := file.read(BLOCK):
            yield block


def content(archive: str, tar: tarfile.TarFile, info: tarfile.TarInfo, name: str) -> Iterator[bytes]:
    """Returns the content of a member, without the packing of one whose name ends in ``.gz``.

    Raises:
        ValueError: the member is no regular file
    """
    file = tar.extractfile(info) if info.isfile() else None
    if file is None:
        raise ValueError(f"{archive}: {name} is {KINDS.get(info.type, 'of an unknown kind')}, not a file")
    return blocks(gzip.GzipFile(fileobj=file) if name.endswith(".gz") else file, f"{archive}: {name}")


def members(archive: str, names: Sequence[str]) -> Iterator[Tuple[str, Iterator[bytes]]]:
    """Yields the files of these names, each with its content in blocks, as they come in the archive.

    Nothing is written, no link is followed, and no member but these is looked at. The archive is read to its end, where
    gzip has the checksum of all.

    Args:
        archive: a tar archive, packed by gzip or not
        names: of members as they are in it, but for ``./`` at their heads; of which those that end in ``.gz`` are
            unpacked too

    Raises:
        ValueError: no or a damaged archive; or a member that is not there, is there twice, or is no regular file
    """
    missing: List[str] = list(names)
    with complaints_of(archive), open(archive, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        file: IO[bytes] = gzip.GzipFile(fileobj=raw) if packed else raw
        with tarfile.open(fileobj=file, mode="r|") as tar:
            for info in tar:
                name = re.sub(r"^(\./+)+", "", info.name)
                if name in missing:
                    missing.remove(name)
                    yield name, content(archive, tar, info, name)
                elif name in names:
                    raise ValueError(f"{archive} has {name} twice: nobody can say which is meant")
        while file.read(BLOCK):
            pass
    if missing:
        raise ValueError(f"{archive} has no file {' '.join(missing)}")
