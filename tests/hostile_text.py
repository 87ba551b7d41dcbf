"""Text that breaks programs: every sort of character, words that mean something to a program, bytes that are none."""

import random
import unicodedata
from typing import Dict, List

ALPHABETS = ["Lu", "Ll", "Lo", "Lm", "Mn", "Nd", "No", "Pd", "Po", "Sc", "Sm", "So", "Zs", "Cc", "Cf", "Co", "Cn"]
SPELT = ["<s>", "</s>", "<pad>", "<unk>", "▁", "@@", "<0x0A>", "__en__", "madeupword0000", "|||", "&#10;", "-1", "NaN"]


# Lines of which each is odd in its own way, for a model of the words a0 to a7.
ODD = [
    b"a1 a2 a3",
    b"",
    b"  \t ",
    b"a4\ra5",
    "a0\u2028a6 \x0ca7\x00".encode(),
    b"\xff\xfe a1",
    b"</s> <pad> unknown",
    b"a2 " * 1001,
    b"a3",
]


def hostile_lines(count: int, longest: int, seed: int) -> List[bytes]:
    """So many lines, without their ends; a word or a sign is repeated up to ``longest`` times."""
    numbers = random.Random(seed)
    by_kind: Dict[str, List[str]] = {}
    for code in (*range(0x3000), *range(0x4E00, 0x4F00), *range(0xE000, 0xE020), *range(0x1F300, 0x1F600)):
        by_kind.setdefault(unicodedata.category(chr(code)), []).append(chr(code))
    lines = []
    for _ in range(count):
        kind = numbers.randrange(6)
        words = numbers.choices(SPELT + ["a1", "a2", "b3"], k=numbers.randrange(1, 30))
        if kind == 0:
            characters = [c for name in numbers.sample(ALPHABETS, 3) for c in by_kind[name]]
            text = "".join(numbers.choices(characters, k=numbers.randrange(1, 200))).encode()
        elif kind == 1:
            text = bytes(numbers.randrange(256) for _ in range(numbers.randrange(1, 100)))
        elif kind == 2:
            text = numbers.choice(["x", "天", " ", "\u200b", ".", "a1 "]).encode() * numbers.randrange(1, longest)
        else:
            text = numbers.choice([" ", "\t", "\u00a0", "\u2028", "\r", ""]).join(words).encode()
        lines.append(text.replace(b"\n", b" "))
    return lines
