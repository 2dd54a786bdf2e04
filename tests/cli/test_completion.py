"""The script of `gpt2 completion` completes commands, options and analyses, in bash itself."""

import os
import shutil
import subprocess

import pytest

from gpt2.cli.main import COMMANDS, main

ASKED = r"""
source /dev/stdin <<< "$SCRIPT"
function=$(complete -p gpt2 | sed 's/.*-F \([^ ]*\).*/\1/')
for line in "$@"; do
    COMP_LINE=$line COMP_POINT=${#line} COMPREPLY=()
    read -ra COMP_WORDS <<< "$line"
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    $function
    echo "${COMPREPLY[*]}"
done
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    lines = {
        "gpt2 gen": "generate",
        "gpt2 generate --temp": "--temperature",
        "gpt2 explain attri": "attribution",
        "gpt2 explain off --ki": "--kind",
        "gpt2 ablate rep": "report",
        "gpt2 train --optim.sch": "--optim.schedule",
    }
    variables = os.environ | {"SCRIPT": script}
    done = subprocess.run(["bash", "-c", ASKED, "bash", *lines], env=variables, capture_output=True, text=True)
    assert done.stdout.splitlines() == list(lines.values()), done.stderr
    assert all(f" {name}" in script or f'"{name}"' in script or f"'{name}'" in script for name in COMMANDS)


@pytest.mark.parametrize(("shell", "sign"), [("zsh", "#compdef gpt2"), ("fish", "--command 'gpt2'")])
def test_other_shells_have_theirs(shell: str, sign: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert sign in capsys.readouterr().out


def test_a_shell_that_has_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "csh"]) == 2
    assert capsys.readouterr().err == "gpt2: SHELL is 'csh': did you mean zsh?\n"
