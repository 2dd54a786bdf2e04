"""The parameters of the two routes that continue texts, as OpenAI's API names them, and ours beside them.

In: the JSON of a request. Out: checked fields, then the `Sampling` that they mean. What OpenAI has and this server has
not is refused by its name; null is as good as absent.
Source: platform.openai.com/docs/api-reference/completions and /chat. Read next: completions.py, chat.py.
"""

import secrets
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, Field, WithJsonSchema

from gpt2.base.errors import UsageError
from gpt2.inference.sampling import Sampling
from gpt2.server.answers.parameters import Parameters
from gpt2.server.body import checked, read_object

PROMPTS = 2048  # of a request, as OpenAI allows
STOPS = 4
SAMPLES = 128
TOP = 5  # alternatives of a token on the completions route, and 20 on the chat route
NOT_HERE: dict[str, tuple[str, tuple[Any, ...]]] = {
    "suffix": ("this model continues a text and fills no gap", ()),
    "tools": ("the model calls no tools", ()),
    "tool_choice": ("the model calls no tools", ("none",)),
    "parallel_tool_calls": ("the model calls no tools", ()),
    "functions": ("the model calls no functions", ()),
    "function_call": ("the model calls no functions", ("none",)),
    "response_format": ("the form of an answer cannot be forced", ({"type": "text"},)),
    "modalities": ("an answer is text", (["text"],)),
    "audio": ("an answer is text", ()),
    "prediction": ("an answer cannot be predicted by the caller", ()),
    "reasoning_effort": ("the model does not reason before it answers", ("none",)),
    "verbosity": ("the length of an answer has no such setting", ()),
    "store": ("nothing is stored", (False,)),
    "metadata": ("nothing is stored", ({},)),
    "service_tier": ("all requests are served alike", ("auto", "default")),
    "web_search_options": ("nothing is searched for", ()),
}
"""OpenAI's parameters that are refused: why, and the values that ask for nothing."""
F = TypeVar("F", bound="Continued")


def _texts(value: Any) -> Any:
    """`stop` as a list."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found) or len(found) > STOPS:
        raise ValueError(f'stop is no text or list of up to {STOPS} texts: give one such as ["\\n"].')
    return found


def _biases(value: Any) -> Any:
    """`logit_bias`, whose keys JSON makes texts."""
    try:
        return {int(token): bias for token, bias in value.items()}
    except (AttributeError, ValueError):
        raise ValueError(
            'logit_bias is no object of token ids and numbers: give one such as {"50256": -100}.'
        ) from None


def _prompts(value: Any) -> Any:
    """`prompt` as a list of texts and lists of ids."""
    found = [value] if isinstance(value, str) else value
    if isinstance(found, list) and found and all(isinstance(i, int) and not isinstance(i, bool) for i in found):
        found = [found]
    if not isinstance(found, list) or not found or not all(map(_is_prompt, found)):
        raise ValueError(
            "prompt is no text, list of texts, list of token ids or list of such lists: give one of these."
        )
    if len(found) > PROMPTS:
        raise ValueError(f"prompt holds {len(found)} prompts: give at most {PROMPTS} in one request.")
    return found


def _is_prompt(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(i, int) and not isinstance(i, bool) for i in value)
    return isinstance(value, str)


IDS = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
TEXTS = {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": PROMPTS}
Prompts = Annotated[
    list[str | list[int]],
    BeforeValidator(_prompts),
    WithJsonSchema({"anyOf": [{"type": "string"}, TEXTS, IDS, {"type": "array", "items": IDS, "minItems": 1}]}),
]
Stops = Annotated[
    list[str],
    BeforeValidator(_texts),
    WithJsonSchema({"anyOf": [{"type": "string"}, {**TEXTS, "minItems": 0, "maxItems": STOPS}]}),
]
Biases = Annotated[
    dict[int, float],
    BeforeValidator(_biases),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100}}),
]


class StreamOptions(Parameters):
    """`include_usage`: a last chunk says how many tokens were read and made."""

    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class Continued(Parameters):
    """What both routes take. From `top_k` on the fields are ours: OpenAI has none of these names."""

    model: str | None = None
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    n: int = Field(1, ge=1, le=SAMPLES)
    stop: Stops = Field(default_factory=list)
    seed: int | None = Field(None, ge=-(2**63), lt=2**64)
    stream: bool = False
    stream_options: StreamOptions | None = None
    logit_bias: Biases = Field(default_factory=dict)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    user: str | None = None
    top_k: int = Field(0, ge=0)
    min_p: float = Field(0.0, ge=0, le=1)
    repetition_penalty: float = Field(1.0, gt=0)
    ignore_eos: bool = False
    edit: dict[str, str] = Field(default_factory=dict)
    explain: list[Literal["lens", "attribution"]] = Field(default_factory=list)

    def sampling(self, max_tokens: int, logprobs: int | None, n: int, stop: tuple[str, ...] = ()) -> Sampling:
        """How texts are continued. Without a seed one is drawn. UsageError for what `Sampling` refuses."""
        seed = secrets.randbits(63) if self.seed is None else self.seed % 2**64
        return Sampling(
            max_tokens=max_tokens, temperature=self.temperature, top_k=self.top_k or None, top_p=self.top_p,
            min_p=self.min_p, repetition_penalty=self.repetition_penalty, presence_penalty=self.presence_penalty,
            frequency_penalty=self.frequency_penalty, logit_bias=self.logit_bias, stop=(*self.stop, *stop),
            ignore_eos=self.ignore_eos, logprobs=logprobs, seed=seed, n=n, slide=False,
        )  # fmt: skip


class Completion(Continued):
    """`POST /v1/completions`. Without a prompt a text begins as the model saw texts begin, from `<|endoftext|>`."""

    prompt: Prompts | None = None
    max_tokens: int = Field(16, ge=0)
    logprobs: int | None = Field(None, ge=0, le=TOP)
    echo: bool = False
    best_of: int | None = Field(None, ge=1, le=SAMPLES)
    allow_special: bool = True


class Chat(Continued):
    """`POST /v1/chat/completions`."""

    messages: list[dict[str, Any]] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=20)


def read(kind: type[F], body: bytes) -> F:
    """The fields in a JSON body. UsageError, with the field as its `argument`, for what is wrong or not here."""
    given = {name: value for name, value in read_object(body).items() if value is not None}
    for name, (why, nothing) in NOT_HERE.items():
        if name in given and given.pop(name) not in nothing:
            raise UsageError(f"{name} is not possible here, since {why}: leave it out.", argument=name)
    asked = checked(kind, given)
    if asked.stream_options is not None and not asked.stream:
        raise UsageError("stream_options belong to a stream: leave them out, or send stream: true.",
                         argument="stream_options")  # fmt: skip
    if asked.explain and asked.stream:
        raise UsageError("explain comes with a whole answer: leave out stream, or explain.", argument="explain")
    return asked
