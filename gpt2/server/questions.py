"""The questions that the page may ask, by name; their parameters are checked here, with one sentence for a mistake.

In: a name and JSON. Out: the function that answers, and its parameters. Read next: answers/.
"""

import difflib
from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from gpt2.base.errors import UsageError
from gpt2.server.answers import attention, attribution, draw, lens, model, neurons, off, patch, picture, positions
from gpt2.server.body import read_object, short
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
    "attribution": Question(attribution.Why, attribution.answer),
    "neurons": Question(neurons.Neurons, neurons.neurons),
    "contexts": Question(neurons.Contexts, neurons.contexts),
    "importance": Question(off.Importance, off.importance),
    "continuation": Question(off.Continue, off.continuation),
    "patch": Question(patch.Patch, patch.answer),
    "positions": Question(positions.Positions, positions.positions),
    "neighbours": Question(positions.Neighbours, positions.near),
    "draw": Question(draw.Draw, draw.answer),
}


def read_parameters(question: Question, body: bytes | str) -> BaseModel:
    """The parameters in a JSON body. UsageError that names the field, what was given and what would be right."""
    given = read_object(body)
    try:
        return question.parameters.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(short(str(part)) for part in first["loc"]) or "the body"
        known = list(question.parameters.model_fields)
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.3) or known
            mend = f"the nearest is {near[0]!r}" if near else "this question has none, so send {}"
            raise UsageError(f"there is no parameter {name!r}: {mend}.") from None
        raise UsageError(f"{name}: {first['msg'][:1].lower()}{first['msg'][1:]}.") from None
