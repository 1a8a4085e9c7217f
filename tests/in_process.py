"""The command `safebo` in this process: as its own process prints and ends, without loading everything anew."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass

import pytest

from safebo.cli.main import main


@dataclass
class CommandOutput:
    code: int
    out: str
    err: str


def in_process(capfd: pytest.CaptureFixture[str], *arguments: object) -> CommandOutput:
    """How a command ended; a printed traceback fails the test."""
    capfd.readouterr()
    with warnings.catch_warnings():
        try:
            main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    logging.captureWarnings(False)
    out, err = capfd.readouterr()
    assert "Traceback" not in out + err
    return CommandOutput(code, out, err)
