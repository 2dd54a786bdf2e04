"""The questions that the page may ask, by name; their parameters are checked here, with one sentence for a mistake.

In: a name and JSON. Out: the function that answers, and its parameters. Read next: answers/.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import BaseModel

from gpt2.server.answers import (
    attention,
    attribution,
    calculation,
    draw,
    lens,
    model,
    neurons,
    off,
    patch,
    picture,
    positions,
)
from gpt2.server.body import checked, read_object
from gpt2.server.jobs import Tell
from gpt2.server.session import Session


class Question(NamedTuple):
    """What may be asked: the parameters, and answer(session, parameters, tell) -> a dictionary for wire.pack."""

    parameters: type[BaseModel]
    answer: Callable[[Session, Any, Tell], dict[str, Any]]


QUESTIONS = {
    "model": Question(model.Model, model.answer),
    "picture": Question(picture.Scene, picture.answer),
    "lens": Question(lens.Lens, lens.answer),
    "attention": Question(attention.Block, attention.block),
    "head": Question(attention.Head, attention.head),
    "heads": Question(attention.Report, attention.report),
    "calculation": Question(calculation.Number, calculation.answer),
    "attribution": Question(attribution.Why, attribution.answer),
    "neurons": Question(neurons.Neurons, neurons.neurons),
    "contexts": Question(neurons.Contexts, neurons.contexts),
    "importance": Question(off.Importance, off.importance),
    "leave_one_out": Question(off.LeaveOneOut, off.leave_one_out),
    "continuation": Question(off.Continue, off.continuation),
    "patch": Question(patch.Patch, patch.answer),
    "positions": Question(positions.Positions, positions.positions),
    "neighbours": Question(positions.Neighbours, positions.near),
    "draw": Question(draw.Draw, draw.answer),
}


def read_parameters(question: Question, body: bytes | str) -> BaseModel:
    """The parameters in a JSON body. UsageError that names the field, what was given and what would be right."""
    return checked(question.parameters, read_object(body))
