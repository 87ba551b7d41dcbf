"""Puts the files of a corpus into a folder, from the network or from another folder, and checks them either way.

A list says what each file must be: ``DIGEST  NAME`` as ``sha256sum`` and ``md5sum`` print it, and behind it the URL
where the file lies, unless --source says where all of them do. Where nobody has published a digest, ``size:BYTES`` or
``-`` stands in its place. An interrupted download goes on from where it was.
"""

import argparse
import gzip
import hashlib
import os
import re
import urllib.error
import urllib.request
import zlib
from http.client import HTTPException
from typing import Dict, List, NamedTuple, Optional

from fairseq_bahdanau.complaints import complaining
from fairseq_bahdanau.text import stream_lines

BLOCK = 1 << 20
DIGEST = re.compile(r"[0-9a-f]{32}|[0-9a-f]{64}|size:[0-9]+|-")


class Entry(NamedTuple):
    """An entry of the list says what a file must be, and where it lies, if that is known."""

    expected: str
    url: Optional[str]


def read_list(path: str) -> Dict[str, Entry]:
    """Reads the list; returns its entries by the names of the files.

    Raises:
        ValueError: the list is not there, or not UTF-8, or has a line of another form
    """
    found: Dict[str, Entry] = {}
    for number, line in enumerate(stream_lines(path), start=1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        digest, name = fields[0].lower(), fields[1].lstrip("*") if len(fields) in (2, 3) else ""
        if not name or not DIGEST.fullmatch(digest):
            raise ValueError(f"{path}:{number}: must be DIGEST NAME, or DIGEST NAME URL, the digest of MD5 or SHA-256")
        if name in found:
            raise ValueError(f"{path}:{number}: {name} is listed twice")
        if name != os.path.basename(name) or name in (".", ".."):
            raise ValueError(f"{path}:{number}: {name} is not the name of a file, without folders")
        found[name] = Entry(digest, fields[2] if len(fields) == 3 else None)
    return found


def describe(path: str, expected: str) -> str:
    """Computes the size of a file or its digest, of the kind that is expected; SHA-256 where none is."""
    if expected.startswith("size:"):
        return f"size:{os.path.getsize(path)}"
    digest = hashlib.new("md5" if len(expected) == 32 else "sha256")
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def download(place: str, partial: str) -> None:
    """Copies an address or a file, from where ``partial`` ends if the server can do that.

    Raises:
        OSError: not found, no connection, or fewer bytes than announced
        HTTPException, ValueError: no address, or a server that does not speak HTTP
    """
    begun = os.path.getsize(partial) if os.path.exists(partial) else 0
    if "://" not in place:
        place = f"file:{urllib.request.pathname2url(os.path.abspath(place))}"
    request = urllib.request.Request(place)
    if begun:
        request.add_header("Range", f"bytes={begun}-")
    with urllib.request.urlopen(request, timeout=60) as remote:
        goes_on = begun and getattr(remote, "status", None) == 206  # a file has no status
        announced = remote.headers.get("Content-Length")
        with open(partial, "ab" if goes_on else "wb") as local:
            before = local.tell()
            while block := remote.read(BLOCK):
                local.write(block)
            received = local.tell() - before
    if announced is not None and received != int(announced):
        raise OSError(f"the connection ended after {received} of {announced} bytes: run it again to go on")


def fetch(name: str, entry: Entry, source: Optional[str], folder: str) -> None:
    """Puts one file into ``folder``, unless it is there already; a partial or a wrong one never has its name.

    Args:
        name: of the file
        entry: what the list says of it
        source: a folder, or the URL that the name is appended to; None: where the list says
        folder: where it goes

    Raises:
        ValueError: not found or not the expected file, in one line
        OSError: a folder stands where a file is to be, or the disk is full
    """
    target = os.path.join(folder, name)
    if os.path.exists(target) and entry.expected in ("-", describe(target, entry.expected)):
        return
    place = entry.url if source is None else f"{source.rstrip('/')}/{name}"
    # Not by part_names: after an interruption this part stays, and the download goes on from its end.
    partial = target + ".part"
    try:
        download(place, partial)
    except urllib.error.HTTPError as error:
        if error.code != 416:  # "range not satisfiable": all of it was there before
            raise ValueError(f"{place}: {error}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise ValueError(f"{place}: {getattr(error, 'reason', error)}") from error
    found = describe(partial, entry.expected)
    if entry.expected == "-" and name.endswith((".gz", ".tgz")):
        require_gzip(partial, place)
    if entry.expected == "-":
        print(f"fetch.py: {name}: nothing is published to check it by; its SHA-256 is {found}")
    elif found != entry.expected:
        os.remove(partial)
        kind = "size" if ":" in found else "MD5" if len(found) == 32 else "SHA-256"
        raise ValueError(
            f"{place} is damaged or another version: its {kind} is {found.replace('size:', '')}, "
            f"expected {entry.expected.replace('size:', '')}"
        )
    os.replace(partial, target)


def require_gzip(path: str, place: str) -> None:
    """Reads an archive that nothing is published to check by to its end, and removes it where it is none.

    Raises:
        ValueError: another file, such as a page that asks for a password, or half an archive
    """
    try:
        with gzip.open(path) as file:
            while file.read(BLOCK):
                pass
    except (OSError, EOFError, zlib.error) as error:
        os.remove(path)
        raise ValueError(f"{place} is no gzip archive, or a damaged one: {error}") from error


def fetch_all(sums: str, names: List[str], source: Optional[str], folder: str) -> None:
    """Fetches files of a list, one after the other; see :func:`fetch`.

    Raises:
        ValueError: the list does not say enough, or a file is not to be had
        OSError: a file cannot be written
    """
    entries = read_list(sums)
    for name in names:
        if name not in entries:
            raise ValueError(f"{sums} has no SHA-256 of {name}; it knows {' '.join(sorted(entries))}")
        if source is None and entries[name].url is None:
            raise ValueError(f"{sums} has no address of {name}: give --source")
    os.makedirs(folder, exist_ok=True)
    for name in names:
        fetch(name, entries[name], source, folder)


def main() -> None:
    """Fetches the files that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sums", required=True, metavar="FILE", help="the list: DIGEST NAME [URL], a line a file")
    parser.add_argument("--source", metavar="PLACE", help="folder or URL that holds the files (default: as listed)")
    parser.add_argument("--dest", required=True, metavar="DIR", help="folder to put them into")
    parser.add_argument("names", nargs="+", metavar="NAME", help="the files")
    args = parser.parse_args()
    with complaining("fetch.py"):
        fetch_all(args.sums, args.names, args.source, args.dest)


if __name__ == "__main__":
    main()
