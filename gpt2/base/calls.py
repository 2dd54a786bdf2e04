"""Calls of public functions, checked before they run: is a model where a model belongs, and a tokenizer, and a name?

In: the arguments as they were given. Out: nothing, or a UsageError that shows how the call is written. No library is
imported: a model and a tokenizer are known by what they have. Read next: inference/generate.py.
"""

import functools
import inspect
import os
import re
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from gpt2.base.errors import UsageError
from gpt2.base.names import in_place_of

P = ParamSpec("P")
R = TypeVar("R")

ELSEWHERE = {
    "trust_remote_code": "code that comes with a checkpoint is never run, so leave it out",
    "load_in_8bit": "`gpt2 quantise NAME DIR` writes weights of 8 bits, and load(DIR) reads them",
    "load_in_4bit": "`gpt2 quantise NAME DIR` writes weights of 8 or 4 bits, and load(DIR) reads them",
    "quantization_config": "`gpt2 quantise NAME DIR` writes weights of 8 or 4 bits, and load(DIR) reads them",
    "cache_dir": "set the environment variable HF_HOME, or name a directory in place of a hub id",
    "local_files_only": "set the environment variable HF_HUB_OFFLINE=1",
    "revision": "load what huggingface_hub.snapshot_download(NAME, revision=...) returns",
    "token": "log in with `hf auth login`, and leave it out",
    "attn_implementation": "attention is computed in one way here, so leave it out",
    "low_cpu_mem_usage": "weights are read straight into the model, so leave it out",
    "config": "the sizes are read from the checkpoint, so leave it out",
    "safe_serialization": "weights are always written as safetensors, so leave it out",
    "push_to_hub": "nothing is uploaded here; `hf upload OWNER/NAME DIR` uploads a directory",
    "return_tensors": "a text becomes a tensor by torch.tensor([tokenizer.encode(text)])",
}
"""What to do in place of arguments of other libraries that none of ours stands for."""

OPEN = "model, tokenizer, *_ = gpt2.load(name)"


def is_model(value: object) -> bool:
    """Whether it is a module of torch that is no other library's language model."""
    return hasattr(value, "_modules") and not _others(value)


def is_tokenizer(value: object) -> bool:
    """Whether it is a `gpt2.Tokenizer`, or does what one does."""
    return not isinstance(value, str) and hasattr(value, "encode") and not hasattr(value, "_modules")


def is_checkpoint(value: object) -> bool:
    """Whether it is what `gpt2.load` returns, whole."""
    return isinstance(value, tuple) and hasattr(value, "model") and hasattr(value, "tokenizer")


def one_sentence(
    shown: str, otherwise: Callable[[dict[str, Any]], str] = lambda given: ""
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function that answers a call which does not suit its arguments with a UsageError of one sentence.

    shown      the call as it is written, with `model` and `tokenizer` by these names
    otherwise  how it is written for the arguments that were given, by name; "" where `shown` suits them
    """

    def around(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            _check(signature, shown, otherwise, args, kwargs)
            return function(*args, **kwargs)

        return checked

    return around


def _check(
    signature: inspect.Signature,
    shown: str,
    otherwise: Callable[[dict[str, Any]], str],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    """Raise UsageError for arguments of another kind or number than the function takes."""
    known = signature.parameters
    positional = [p for p in known.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    given = {**dict(zip((p.name for p in positional), args)), **kwargs}
    shown = otherwise(given) or shown
    for wanted, right in (("model", is_model), ("tokenizer", is_tokenizer)):
        if wanted in given and re.search(rf"\b{wanted}\b", shown):
            value = given[wanted]
            if not right(value) and not (value is None and "None" in str(known[wanted].annotation)):
                raise UsageError(f"a {type(value).__name__} is not a {wanted}: {_written(value, shown)}")
    if "(checkpoint" in shown and any(map(is_tokenizer, given.values())):
        raise UsageError(f"the tokenizer is no argument of its own: write {shown}, with checkpoint = gpt2.load(name).")
    if len(args) > len(positional):
        raise UsageError(f"there are too many arguments without a name: write {shown}.")
    twice = [p.name for p in positional[: len(args)] if p.name in kwargs]
    if twice:
        raise UsageError(f"{twice[0]} is given twice: write {shown}.")
    if not any(p.kind is p.VAR_KEYWORD for p in known.values()):
        strange = [one for one in kwargs if one not in known]
        if strange:
            mend = f"{ELSEWHERE[strange[0]]}." if strange[0] in ELSEWHERE else in_place_of(strange[0], known)
            raise UsageError(f"there is no argument {strange[0]!r} of {shown.partition('(')[0]}: {mend}")
    needed = [p for p in known.values() if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    lacking = [p.name for p in needed if p.name not in given]
    if lacking:
        raise UsageError(f"{' and '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} missing: write {shown}.")


def _written(value: object, shown: str) -> str:
    """How the call is written, for one who gave `value` in it."""
    if is_checkpoint(value):
        parts = re.sub(r"\b(model|tokenizer)\b", r"checkpoint.\1", shown)
        return f"give its parts, {parts}."
    if _others(value):
        return f"save it with save_pretrained(DIR), open that with {OPEN.replace('name', 'DIR')}, and write {shown}."
    return f"write {shown}, with {OPEN}."


def _others(value: object) -> bool:
    """Whether it is of transformers or TransformerLens, whose models have the same parts under other names."""
    return type(value).__module__.partition(".")[0] in ("transformers", "transformer_lens")


def check_name(argument: str, value: object, example: str) -> None:
    """Raise UsageError where the name of a file, a directory or a model is asked for and something else is given."""
    if isinstance(value, str | os.PathLike):
        return
    raise UsageError(f"{argument} is a {type(value).__name__}: give a name or a directory, such as {example}.")
