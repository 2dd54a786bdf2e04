"""How a checkpoint itself says that texts are continued, under what the caller says.

In: a model that `load` returned, and the options that a caller gives. Out: a `Sampling`. Read next: generate.py.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from gpt2.base.calls import one_sentence
from gpt2.base.errors import Spelling, UsageError
from gpt2.base.foreign import check_fields, shortened
from gpt2.base.names import check_names
from gpt2.checkpoint.generation_fields import ALWAYS, SAMPLING
from gpt2.checkpoint.hf_config import settings_of
from gpt2.inference.sampling import ELSEWHERE, Sampling
from gpt2.model import GPT2

NAMES = {"max_new_tokens": "max_tokens", "num_return_sequences": "n"}  # of fields that are called otherwise here
EITHER_WAY = ("max_new_tokens", "max_length", "repetition_penalty", "no_repeat_ngram_size", "num_return_sequences")
SAMPLED = {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "min_p": 0.0}  # transformers' defaults with do_sample


@one_sentence("gpt2.sampling_for(model, max_tokens=40)")
def sampling_for(model: GPT2, **options: Any) -> Sampling:
    """The settings of the generation_config.json of `model`, with `options` (fields of `Sampling`) in place of its own.

    Where that file does not exist, the same fields of config.json count, as in transformers.

    Limits, stop strings, repetition_penalty and no_repeat_ngram_size of the file always count; temperature, top_k,
    top_p and min_p only where it says `do_sample: true`, and then with transformers' defaults for those that it leaves
    out. Everything else has the defaults of `Sampling`.

    model    as `load` returns it
    options  fields of `Sampling`, which win over the file

        sampling = gpt2.sampling_for(model, max_tokens=40, seed=7)

    Returns a `Sampling`. Raises ValueError naming a field of the file that is not supported, UsageError for an option
    with a wrong value or a wrong name.
    """
    check_names(options, [field.name for field in fields(Sampling)], "setting of Sampling", ELSEWHERE)
    settings = settings_of(model)
    if settings is None:
        return Sampling(**options)
    path, file = settings.acting
    if settings.generation is None:  # most fields of config.json are about other things
        file = {field.name: file[field.name] for field in (*ALWAYS, *SAMPLING) if field.name in file}
    sampled = file.get("do_sample")
    if sampled not in (True, False, None):
        raise ValueError(f"{path}: do_sample is {shortened(sampled)}: it must be true, false or null.")
    if not sampled:  # then transformers reads none of them
        asleep = {field.name for field in SAMPLING}
        file = {name: value for name, value in file.items() if name not in asleep}
    check_fields(path, file, (*ALWAYS, *SAMPLING))
    found = _read(file, bool(sampled))
    if "max_tokens" in found or "max_tokens" in options:
        found.pop("max_length", None)
    try:
        Sampling(**found)
    except UsageError as error:
        raise ValueError(f"{path} cannot be followed: {error.spelled(_Fields())}") from None
    if "max_length" in found:
        found["max_tokens"] = found["max_length"]
    return Sampling(**(found | options))


class _Fields(Spelling):
    """Settings as generation_config.json calls them."""

    def name(self, name: str) -> str:
        return next((theirs for theirs, ours in NAMES.items() if ours == name), name)


def _read(file: Mapping[str, Any], sampled: bool) -> dict[str, Any]:
    """The fields of generation_config.json as those of `Sampling`; null is as good as absent."""
    named = {name: value for name, value in file.items() if value is not None}
    found = {NAMES.get(name, name): named[name] for name in EITHER_WAY if name in named}
    if "stop_strings" in named:
        stop = named["stop_strings"]
        found["stop"] = (stop,) if isinstance(stop, str) else stop
    if sampled:
        found |= {name: named.get(name, default) for name, default in SAMPLED.items()}
        found["top_k"] = found["top_k"] or None
    return found
