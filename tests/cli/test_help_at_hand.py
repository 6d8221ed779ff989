"""Help at hand: the glossary's words, and completion in a shell."""

import re
import subprocess
from pathlib import Path

import pytest

from suite.cli.arguments import make_parser
from suite.cli.setup.explain import glossary
from tests.conftest import ROOT, Project


def test_every_word_of_the_page_is_explained_without_markup(project: Project) -> None:
    table = (ROOT / "docs" / "architecture.md").read_text().partition("## Words\n")[2].partition("\n## ")[0]
    words = re.findall(r"^\| ([A-Z].*?) \|", table, re.MULTILINE)
    assert list(glossary()) == words and len(words) > 20
    status, out, _ = project.suite("explain")
    assert status == 0 and all(word in out for word in words) and "`" not in out


@pytest.mark.parametrize("words", [["Key"], ["array", "task"], ["launchspec"], ["worse"]])
def test_a_word_is_found_however_it_is_written(project: Project, words: list[str]) -> None:
    status, out, _ = project.suite("explain", *words)
    assert status == 0
    assert " ".join(words).lower() in out.partition(":")[0].lower() and len(out.splitlines()) == 1


def test_a_word_that_is_not_there_is_refused_with_the_next_one(project: Project) -> None:
    status, out, errors = project.suite("explain", "fingerprnt")
    assert (status, out) == (2, "")
    assert "fingerprnt: is no word of the glossary; did you mean 'Fingerprint'?" in errors


def test_a_shell_completes_commands_and_options(project: Project, tmp_path: Path) -> None:
    status, script, _ = project.suite("completion", "bash")
    assert status == 0
    (tmp_path / "complete.sh").write_text(script)
    completed = {}
    for typed in (("",), ("run", "--prof")):
        ask = f"COMP_WORDS=(suite {' '.join(typed) or chr(39) * 2}); COMP_CWORD={len(typed)}; _shtab_suite"
        command = ["bash", "-c", f'source complete.sh; {ask}; echo "${{COMPREPLY[@]}}"']
        answered = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        completed[typed] = set(answered.stdout.split())
    assert set(make_parser()[1]) <= completed["",]
    assert completed["run", "--prof"] == {"--profile"}
