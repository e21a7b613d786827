"""A commit that adds more than 50 lines says why: the commit-msg hook, called with the file of the message."""

import re
import subprocess
import sys
from pathlib import Path

MOST_LINES = 50
SCISSORS = "# ------------------------ >8 ------------------------"  # git commit --verbose puts the diff below
TRAILER = re.compile(r"[A-Za-z][\w-]*-by: ")
REST = re.compile(r"(fixup|squash|amend)! ")  # git rebase --autosquash folds these into another commit


def body(message: str) -> list[str]:
    """The lines below the subject and the empty line after it, without comments and trailers such as Signed-off-by."""
    lines = message.split(SCISSORS)[0].splitlines()
    kept = "\n".join(line for line in lines if not line.startswith("#")).strip()
    below = kept.partition("\n\n")[2].splitlines()
    return [line for line in below if line.strip() and not TRAILER.match(line)]


def added_lines() -> int:
    """Lines that the staged change adds; a binary file has none."""
    changes = git("diff", "--cached", "--numstat").splitlines()
    return sum(int(added) for added, *_ in (line.split("\t") for line in changes) if added != "-")


def is_merge() -> bool:
    """git writes a merge's message itself."""
    return Path(git("rev-parse", "--git-path", "MERGE_HEAD").strip()).exists()


def git(*words: str) -> str:
    return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout


def main(file: str) -> int:
    """0 if the commit may be made; else 1, and one line that says what is missing."""
    message = Path(file).read_text(encoding="utf-8")
    added = added_lines()
    if added <= MOST_LINES or body(message) or REST.match(message) or is_merge():
        return 0
    print(
        f"This commit adds {added} lines, more than {MOST_LINES}, and its message has no body: say why, and the number "
        f"that shows it, below the subject and an empty line. The draft is in {file}.",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
