"""What is asked of the engine, and how much it may take.

In: a prompt's ids and how to continue them. Out: a `Request` that a model can answer, or one sentence on why not.
Read next: ticket.py.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from gpt2.addresses import parse
from gpt2.base.edits import check_edits
from gpt2.base.errors import UsageError
from gpt2.config import GPT2Config
from gpt2.inference.prompts import encode_prompts
from gpt2.inference.sampling import Sampling
from gpt2.probe import Edit
from gpt2.text.tokenizer import Tokenizer


@dataclass(frozen=True, eq=False)
class Request:
    """One prompt, and what is wanted of it.

    ids              the prompt, at least one token
    sampling         how it is continued, `n` times; None: not at all, its `prompt_logprobs` alone are wanted
    ends             more tokens that end a text, beside those of the model: a chat template's, say
    edit             address -> f(x, at) -> x, as for `gpt2.generate`; `at.rows` is 0 for all
    edit_key         the edit's name: requests with equal keys have equal edits, so they may share a pass and prefixes.
                     With None a request with an edit shares nothing with any other
    prompt_logprobs  the log probability of each token of the prompt, with so many alternatives; None: none
    """

    ids: Sequence[int]
    sampling: Sampling | None
    ends: Collection[int] = ()
    edit: Mapping[str, Edit] | None = None
    edit_key: str | None = None
    prompt_logprobs: int | None = None

    def checked(self, tokenizer: Tokenizer, config: GPT2Config) -> list[int]:
        """The ids that the model reads, as `gpt2.generate` would. UsageError for what that would refuse, ValueError for
        an address that the model does not have."""
        check_edits({} if self.edit is None else self.edit)
        for address in self.edit or ():
            parse(address, config.n_layer, config.n_head)
        k = self.prompt_logprobs
        if k is not None and (isinstance(k, bool) or not isinstance(k, int) or k < 0):
            mend = "it must be a whole number of at least 0, or None."
            raise UsageError(argument="prompt_logprobs", value=k, mend=mend)
        if self.sampling is None and k is None:
            raise UsageError("the request asks for nothing: give sampling, or prompt_logprobs, or both.")
        (ids,) = encode_prompts(tokenizer, [self.ids], config, self.sampling or Sampling(max_tokens=1))
        return ids

    @property
    def group(self) -> object:
        """Equal for requests that may share passes and prefixes."""
        if not self.edit:
            return None
        return self if self.edit_key is None else self.edit_key


@dataclass(frozen=True)
class Limits:
    """How much an engine may take.

    rows           texts that are continued at the same time; a request has one for each of its samples
    waiting        requests that may wait for a row; `Full` is raised for more
    kv_bytes       bytes of keys and values, of running rows and kept prefixes together; None: a quarter of the memory
                   that this machine, or the container, has
    prefill_chunk  tokens of prompts that are read between two steps of the rows that are being continued
    """

    rows: int = 32
    waiting: int = 256
    kv_bytes: int | None = None
    prefill_chunk: int = 128

    def __post_init__(self) -> None:
        for name in ("rows", "waiting", "kv_bytes", "prefill_chunk"):
            value = getattr(self, name)
            if name == "kv_bytes" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UsageError(argument=name, value=value, mend="it must be a whole number of at least 1.")
