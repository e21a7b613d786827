"""The commit-msg hook, in real commits: a large change without a body is refused, in one line, and nothing else is."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
HOOK = ROOT / "tools" / "commit_message.py"


@pytest.fixture
def git(tmp_path):
    """A function that calls git in a repository with the hook; it returns what subprocess.run returns."""
    me = {"GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@example.org", "GIT_CONFIG_GLOBAL": os.devnull}
    me |= {"GIT_COMMITTER_NAME": "A", "GIT_COMMITTER_EMAIL": "a@example.org", "GIT_CONFIG_SYSTEM": os.devnull}
    outer = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}

    def call(*words):
        return subprocess.run(["git", *words], cwd=tmp_path, env=outer | me, capture_output=True, text=True)

    call("init", "-q", "-b", "main")
    hook = tmp_path / ".git" / "hooks" / "commit-msg"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(HOOK))} "$1"\n')
    hook.chmod(0o755)
    (tmp_path / "first").write_text("1\n")
    call("add", ".")
    call("commit", "-q", "-m", "First")
    return call


def stage(git, folder, lines, name="new.txt"):
    (folder / name).write_text("x\n" * lines)
    git("add", name)


def commits(git) -> int:
    return int(git("rev-list", "--count", "HEAD").stdout)


@pytest.mark.parametrize(
    ("lines", "message", "passes"),
    [
        (50, "Subject", True),
        (51, "Subject", False),
        (51, "Subject\n\nWhy: 51 lines.", True),
        (51, "Subject\nits second line", False),
        (51, "Subject\n\n   \n", False),
        (51, "Subject\n\n# a comment of the template", False),
        (51, "Subject\n\nSigned-off-by: A <a@example.org>", False),
        (51, "Subject\n\nWhy.\n\nSigned-off-by: A <a@example.org>", True),
        (51, "fixup! Subject", True),
    ],
)
def test_a_large_commit_needs_a_body(git, tmp_path, lines, message, passes):
    stage(git, tmp_path, lines)
    (tmp_path / "message").write_text(message)
    done = git("commit", "-F", "message", "--cleanup=strip")
    assert (done.returncode == 0, commits(git)) == (passes, 2 if passes else 1), done.stderr
    if not passes:
        assert f"adds {lines} lines, more than 50" in done.stderr and "Traceback" not in done.stderr


def test_the_diff_below_the_scissors_is_no_body(git, tmp_path):
    stage(git, tmp_path, 51)
    (tmp_path / "editor").write_text('#!/bin/sh\n{ echo Subject; cat "$1"; } >draft\nmv draft "$1"\n')
    (tmp_path / "editor").chmod(0o755)
    done = git("-c", f"core.editor={tmp_path / 'editor'}", "commit", "--verbose")
    assert done.returncode and "adds 51 lines" in done.stderr


def test_removed_lines_and_binary_files_count_for_nothing(git, tmp_path):
    stage(git, tmp_path, 200)
    assert git("commit", "-q", "-m", "Subject\n\nWhy.").returncode == 0
    stage(git, tmp_path, 2)
    (tmp_path / "b.bin").write_bytes(b"\0\n" * 500)
    git("add", "b.bin")
    assert git("commit", "-q", "-m", "Fewer lines, and a binary file").returncode == 0


def test_a_merge_keeps_the_message_that_git_writes(git, tmp_path):
    git("checkout", "-q", "-b", "side")
    stage(git, tmp_path, 60, "side.txt")
    git("commit", "-q", "-m", "Side\n\nWhy.")
    git("checkout", "-q", "main")
    stage(git, tmp_path, 1, "main.txt")
    git("commit", "-q", "-m", "Main")
    done = git("merge", "--no-edit", "side")
    assert done.returncode == 0 and commits(git) == 4, done.stderr


def test_the_template_alone_is_no_body(git, tmp_path):
    stage(git, tmp_path, 51)
    (tmp_path / "message").write_text("Subject\n" + (ROOT / ".gitmessage").read_text(encoding="utf-8"))
    done = git("commit", "-F", "message", "--cleanup=strip")
    assert done.returncode and "has no body" in done.stderr


def test_pre_commit_runs_the_hook_for_the_message():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = {hook["id"]: hook for repo in config["repos"] for hook in repo["hooks"]}
    assert hooks["message"]["entry"] == f"python {HOOK.relative_to(ROOT).as_posix()}"
    assert hooks["message"]["stages"] == ["commit-msg"] and "commit-msg" in config["default_install_hook_types"]
    assert hooks["report"]["entry"] == "covidseg report --check" and not hooks["report"]["pass_filenames"]
