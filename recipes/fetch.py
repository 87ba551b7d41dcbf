"""Puts the files of a corpus into a folder, from the network or from another folder, checked by SHA-256 either way."""

import argparse
import hashlib
import os
import shutil
import sys
import urllib.request
from typing import BinaryIO, Dict


def read_sums(path: str) -> Dict[str, str]:
    """File names and their SHA-256 from a file in ``sha256sum``'s format."""
    with open(path, encoding="utf-8") as file:
        return {name.lstrip("*"): digest for digest, name in (line.split() for line in file if line.strip())}


def sha256(path: str) -> str:
    """The SHA-256 of a file, as hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fetch(name: str, expected: str, source: str, folder: str) -> None:
    """Puts one file into ``folder``, unless it is there already; never leaves a partial or a wrong one there.

    Args:
        name: of the file
        expected: its SHA-256
        source: a folder, or the URL that the name is appended to
        folder: where it goes

    Raises:
        SystemExit: not found or not the expected file, in one line
    """
    target = os.path.join(folder, name)
    if os.path.exists(target) and sha256(target) == expected:
        return
    partial = target + ".part"
    place = f"{source.rstrip('/')}/{name}"
    try:
        opened: BinaryIO = urllib.request.urlopen(place, timeout=60) if "://" in source else open(place, "rb")
        with opened as remote, open(partial, "wb") as local:
            shutil.copyfileobj(remote, local)
    except OSError as error:
        sys.exit(f"fetch.py: {place}: {error}")
    found = sha256(partial)
    if found != expected:
        os.remove(partial)
        sys.exit(f"fetch.py: {place} is damaged or another version: its SHA-256 is {found}, expected {expected}")
    os.replace(partial, target)


def main() -> None:
    """Reads the command line and fetches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sums", required=True, metavar="FILE", help="SHA-256 of every file, as sha256sum prints them")
    parser.add_argument("--source", required=True, help="URL or folder that holds the files")
    parser.add_argument("--dest", required=True, metavar="DIR", help="folder to put them into")
    parser.add_argument("names", nargs="+", metavar="NAME", help="the files")
    args = parser.parse_args()
    sums = read_sums(args.sums)
    for name in args.names:
        if name not in sums:
            sys.exit(f"fetch.py: {args.sums} has no SHA-256 of {name}; it knows {' '.join(sorted(sums))}")
    os.makedirs(args.dest, exist_ok=True)
    for name in args.names:
        fetch(name, sums[name], args.source, args.dest)


if __name__ == "__main__":
    main()
