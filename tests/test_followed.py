"""Pages that are followed: every block says what it is for, and what a page says wrongly is noticed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from followed.blocks import NOT_RUN, Kind, blocks
from followed.follow import PageError, Walk, unprinted
from followed.pages import PAGES, TUTORIALS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.stem))
def test_every_block_says_what_it_is_for(page: Path) -> None:
    found = blocks(page)
    assert sum(block.kind is Kind.SHELL for block in found) >= 1
    for block in found:
        if block.kind is Kind.SHOWN:
            assert len(block.title.removeprefix(NOT_RUN)) > 10
    if page not in TUTORIALS:
        return
    # Indented blocks are shown and never run: they are for pages that also tell what is done elsewhere.
    outside = page.read_text().split("```")[::2]
    assert not [line for text in outside for line in text.splitlines() if line.startswith("    ")]


def test_every_tutorial_of_the_sites_menu_is_followed() -> None:
    menu = (Path(__file__).parents[1] / "mkdocs.yml").read_text()
    assert {page.name for page in TUTORIALS} == set(re.findall(r"tutorials/([\w-]+\.md)", menu))
    assert TUTORIALS


def follow(tmp_path: Path, text: str) -> Walk:
    page = tmp_path / "page.md"
    page.write_text(text)
    folder = tmp_path / "folder"
    folder.mkdir()
    walk = Walk(page, folder, lambda line: None)
    walk.follow()
    return walk


def test_a_page_is_followed_in_its_order(tmp_path: Path) -> None:
    walk = follow(
        tmp_path,
        '```python title="a.py"\nVALUE = 7\n```\n\n```bash\nls\n```\n\n'
        '```python\nfrom a import VALUE\nprint("is", VALUE)\n```\n\n```text title="It prints"\nis ...\n```\n\n'
        '```bash title="Not run here: it would end the world"\nexit 1\n```\n',
    )
    assert walk.counts == {Kind.FILE: 1, Kind.SHELL: 1, Kind.SCRIPT: 1, Kind.PRINTED: 1, Kind.SHOWN: 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```bash\ntrue\n```\n\n```bash\necho said; exit 3\n```\n", r"page.md:5: exit code 3\nsaid"),
        ("```bash\nfalse | true\n```\n", "exit code 1"),
        ("```python\n1 / 0\n```\n", "ZeroDivisionError"),
        (
            '```bash\necho one\n```\n\n```text title="It prints"\ntwo\n```\n',
            "page.md:5: this was not printed: two",
        ),
        ('```bash title="Terminal 2"\necho broken\n```\n', "Terminal 2 did not say `ready`:\nbroken"),
    ],
)
def test_a_page_that_is_wrong_is_noticed(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PageError, match=message):
        follow(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```bash title='x'\n```\n```rust\nfn main() {}\n```\n", "page.md:3: what is to be done with 'rust'"),
        ('```bash title="Not run"\ntrue\n```\n', "page.md:1: a block that is not run says why"),
        ('```bash title="Not run here: "\ntrue\n```\n', "says why"),
    ],
)
def test_a_block_of_no_kind_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "page.md").write_text(text)
    with pytest.raises(ValueError, match=message):
        blocks(tmp_path / "page.md")


def test_what_runs_beside_ends_with_its_page(tmp_path: Path) -> None:
    command = (
        f"{sys.executable} -c \"import os, time; print('ready', os.getpid(), flush=True); time.sleep(600)\""
    )
    walk = follow(tmp_path, f'```bash title="Terminal 2"\n{command}\n```\n')
    assert [process.poll() is not None for process in walk.beside] == [True]


def test_printed_lines_are_found_in_their_order() -> None:
    printed = "ok  one: 3 of 4\nnoise\nok two\n"
    assert unprinted("ok one: ... of 4\n...\nok two\n", printed) == ""
    assert unprinted("ok two\nok one\n", printed) == "ok one"
