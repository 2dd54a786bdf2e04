"""The Language Model Evaluation Harness on any model of this package, with this package's own model and tokenizer.

In: `lm-eval` (not installed with this package) and a model's name: the bundled one, a directory, a LoRA adapter, a
hub id. Out: the harness's model "glassbox", for all of its tasks. An exported checkpoint needs no adapter: the
harness's own `--model hf --model_args pretrained=DIR` reads it.

A harness that reads the entry points of the group `lm_eval.models` finds the model by itself; lm-eval 0.4.13 does
not, and is started by this module instead.

example: lm-eval run --model glassbox --model_args model=storyteller --tasks arc_easy
example: python -m gpt2.evaluation.lm_eval_adapter run --model glassbox --model_args model=storyteller --tasks arc_easy
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from gpt2.base.errors import UsageError
from gpt2.checkpoint.files import load
from gpt2.evaluation.likelihood import Question, answer, split
from gpt2.inference.generate import generate
from gpt2.inference.sampling import Sampling

DTYPES = ("float32", "bfloat16", "float16", "float64")
NEW_TOKENS = 256  # where a task does not say how many: the harness's own default


@register_model("glassbox")
class Glassbox(LM):
    """A model of this package behind the harness's three questions.

    Text that spells a special token, such as <|endoftext|>, is that token, as in the harness's own model `hf`.
    """

    def __init__(
        self,
        model: str = "storyteller",
        dtype: str = "float32",
        device: str | None = None,
        batch_size: Any = None,
        max_batch_size: Any = None,
        **others: Any,
    ) -> None:
        """`model` is what `gpt2.load` takes, `dtype` the name of a type of PyTorch's, such as bfloat16.

        The harness gives sizes of batches to every model; this one makes its batches by the number of tokens. Raises
        UsageError for a dtype that is none and for any other argument.
        """
        super().__init__()
        if others:
            mend = "give model, dtype or device; `pretrained` is called model."
            raise UsageError(f"the model glassbox has no argument {next(iter(others))}: {mend}")
        if dtype not in DTYPES:
            raise UsageError(f"dtype is {dtype!r}: choose {', '.join(DTYPES)}.")
        if not torch.cuda.is_available():
            device = "cpu"  # the harness asks for CUDA wherever nobody says otherwise
        self.checkpoint = load(str(model), getattr(torch, dtype), device or "cuda")

    @property
    def tokenizer_name(self) -> str:
        """Names the harness's cache of requests."""
        return self.checkpoint.tokenizer.hash

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """For each (context, continuation) its log probability, and whether each of its tokens is the likeliest."""
        texts = [(request.args[0], request.args[1]) for request in requests]
        pairs = [split(self.checkpoint.tokenizer, *text, allow_special=True) for text in texts]
        found = answer(self.checkpoint.model, [Question(context, [ids]) for context, ids in pairs])
        return [(one.total, all(one.greedy)) for (one,) in found]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """The log probability of each whole text, in the harness's windows."""
        tokenizer, model = self.checkpoint.tokenizer, self.checkpoint.model
        if tokenizer.bos_id is None:
            raise ValueError("the tokenizer has no <|endoftext|>, which stands before each text as its context.")
        ids = [[tokenizer.bos_id, *tokenizer.encode(request.args[0], allow_special=True)] for request in requests]
        owners, questions = [], []
        for number, text in enumerate(ids):
            for question in rolling(text, model.config.n_positions):
                owners.append(number)
                questions.append(question)
        totals = [0.0] * len(requests)
        for number, (one,) in zip(owners, answer(model, questions), strict=True):
            totals[number] += one.total
        return totals

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """A continuation of each text up to the first of its stop strings, greedy unless the task asks to sample."""
        model, tokenizer = self.checkpoint.model, self.checkpoint.tokenizer
        texts = []
        for request in requests:
            prompt, options = request.args
            stop = options.get("until") or []
            sampling = Sampling(
                max_tokens=min(int(options.get("max_gen_toks", NEW_TOKENS)), model.config.n_positions - 1),
                temperature=float(options.get("temperature") or 0.0) if options.get("do_sample") else 0.0,
                top_p=float(options.get("top_p", 1.0)),
                stop=(stop,) if isinstance(stop, str) else tuple(stop),
                slide=False,
            )
            ids = tokenizer.encode(prompt, allow_special=True)[-(model.config.n_positions - sampling.max_tokens) :]
            ((completion,),) = generate(model, tokenizer, [ids or [tokenizer.bos_id or 0]], sampling)
            texts.append(completion.text)
        return texts


def rolling(ids: Sequence[int], context: int) -> Iterator[Question]:
    """The harness's windows over a text whose first id is context only: they follow one another without overlap, but
    the last one reaches back until it is full.
    """
    done = 1
    while done < len(ids):
        end = min(done + context, len(ids))
        start = max(0, end - context - 1)
        yield Question(list(ids[start:done]), [list(ids[done:end])])
        done = end


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()
