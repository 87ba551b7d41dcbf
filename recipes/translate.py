"""Translates raw text with a model that a recipe has trained; ``translate.sh`` calls it.

Every line of the input has its line in the output: lines are cut at ``\\n`` alone, bytes that are not UTF-8 are
replaced, an empty line stays empty, and one that is too long for the model is translated in parts.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

import without_fairseq  # noqa: F401
from moses import detokenize, tokenize
from segment import processor

from fairseq_bahdanau.text import read_lines

LONGEST = 1000  # tokens; fairseq's translation task refuses more than 1,024


class Text(NamedTuple):
    """A text description tells how a recipe treats text: ``text.json`` in the folder of a language pair."""

    source: str
    target: str
    pieces: str
    moses: bool
    lowercase: bool


def find_pair(checkpoint: Path) -> Path:
    """Finds the folder of the language pair in which a checkpoint lies.

    Raises:
        SystemExit: no such file, or one that is not in a recipe's folder
    """
    if not checkpoint.is_file():
        sys.exit(f"translate.py: no such checkpoint: {checkpoint}")
    for folder in checkpoint.resolve().parents:
        if (folder / "text.json").is_file():
            return folder
    sys.exit(f"translate.py: {checkpoint} does not lie where a recipe trained it: no folder above it has a text.json")


def encode(line: str, text: Text, model: Optional[str]) -> List[str]:
    """Turns a line into the tokens of the model."""
    line = " ".join(line.split())
    if text.moses and line:
        line = tokenize(line, text.source)
    if text.lowercase:
        line = line.lower()
    return line.split() if model is None else processor(model).encode(line, out_type=str)


def decode(tokens: str, text: Text, model: Optional[str]) -> str:
    """Turns tokens of the model into text."""
    line = tokens if model is None else processor(model).decode(tokens.split())
    return detokenize(line, text.target) if text.moses else line


def search(tokens: List[str], arguments: List[str]) -> Dict[int, str]:
    """Has fairseq-interactive translate lines of tokens; returns the translations by the number of the line.

    Raises:
        SystemExit: it failed; its last line says why
    """
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{line}\n" for line in tokens)
        file.flush()
        command = [str(Path(sys.executable).with_name("fairseq-interactive")), *arguments, "--input", file.name]
        finished = subprocess.run(command, capture_output=True)
    if finished.returncode:
        complaint = finished.stderr.decode(errors="replace").strip().split("\n")[-1]
        sys.exit(f"translate.py: fairseq-interactive failed: {complaint}")
    found: Dict[int, str] = {}
    for line in finished.stdout.decode().split("\n"):
        if line.startswith("H-"):
            number, _, hypothesis = line[2:].split("\t", 2)
            found.setdefault(int(number), hypothesis)  # the best of an n-best list
    return found


def main() -> None:
    """Translates standard input by the checkpoint that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkpoint", help="a file, or several joined by ':'")
    args, given = parser.parse_known_args()
    pair = find_pair(Path(args.checkpoint.split(":")[0]))
    text = Text(**json.loads((pair / "text.json").read_text(encoding="utf-8")))
    model = str(pair / "spm.model") if text.pieces == "sentencepiece" else None

    lines = read_lines("-", errors="replace")
    # Of every line the numbers of its parts: none, one or, of a long line, several.
    parts: List[str] = []
    of_line: List[range] = []
    for number, line in enumerate(lines, start=1):
        tokens = encode(line, text, model)
        if len(tokens) > LONGEST:
            print(f"translate.py: line {number} has {len(tokens)} tokens: translated in parts", file=sys.stderr)
        cut = [" ".join(tokens[begin : begin + LONGEST]) for begin in range(0, len(tokens), LONGEST)]
        of_line.append(range(len(parts), len(parts) + len(cut)))
        parts += cut
    data = next(folder for folder in (pair / "bin", pair / "bin0") if folder.is_dir())
    arguments = [str(data), "--path", args.checkpoint, "--source-lang", text.source, "--target-lang", text.target,
                 "--buffer-size", "1024", "--batch-size", "64", "--beam", "5", *given]  # fmt: skip
    found = search(parts, arguments) if parts else {}
    for number in range(len(parts)):
        if number not in found:
            sys.exit(f"translate.py: fairseq-interactive has no translation of '{parts[number][:60]}'")
    output = [" ".join(decode(found[number], text, model) for number in numbers) for numbers in of_line]
    sys.stdout.buffer.write("".join(f"{line}\n" for line in output).encode())


if __name__ == "__main__":
    main()
