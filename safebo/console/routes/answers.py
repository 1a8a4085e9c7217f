"""Deciding: answers to a run's questions, and what became of a trial of which nobody knows."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Request

from safebo.console.access import RefusedError, card_valid
from safebo.console.resolving import resolve
from safebo.console.routes.common import console_of, need_owner, note, reader_of, who
from safebo.runs.page_operator import ANSWERS, REASONS
from safebo.storage.questions import AnswerRefusedError
from safebo.text.printable import one_line

MAX_WORDS = 500
"""Characters of a reason."""

router = APIRouter()


@router.post("/runs/{name}/answer")
def answer(
    request: Request,
    name: str,
    ticket: Annotated[str, Body(max_length=400)],
    answer: Annotated[str, Body(max_length=20)],
    words: Annotated[str, Body(max_length=MAX_WORDS)] = "",
) -> dict[str, str]:
    """Answer the question that a card showed."""
    reader = reader_of(request, name)
    need_owner(request)
    question = reader.question()
    number, hash = console_of(request).access.open_ticket(ticket, card_valid(question))
    if question is None or question.id != number:
        raise AnswerRefusedError("This is not asked any more. Nothing was done.")
    if answer not in ANSWERS[question.kind]:
        raise RefusedError(f"This may be answered: {', '.join(ANSWERS[question.kind])}.", 422)
    if answer in REASONS and not words.strip():
        raise RefusedError("Please say why. Nothing was done.", 422)
    reader.questions.answer(number, hash, answer, one_line(words.strip()), f"page, {who(request)}")
    if question.kind == "prefer":
        return {"text": f"Question {question.card['number']}: {answer}."}
    return {"text": f"Trial {question.trial}: {answer}."}


@router.post("/runs/{name}/resolve")
def resolved(
    request: Request,
    name: str,
    trial: Annotated[int, Body()],
    account: Annotated[str, Body(max_length=20)],
    words: Annotated[str, Body(max_length=MAX_WORDS)] = "",
) -> dict[str, str]:
    """Say what became of a trial."""
    reader = reader_of(request, name)
    need_owner(request)
    said = resolve(reader, trial, account, words, f"page, {who(request)}")
    note(reader, who(request), f"trial {trial} resolved as {account}: {one_line(words.strip())}")
    return {"text": said}
