"""What a fine-tuned model writes, to be read beside what it wrote before: the prompt, the text, what to type next.

In: the tokenizer, and what is held out. Out: ids to continue, their continuation, and a prompt for `gpt2 generate`.
Read next: finetune.py.
"""

from dataclasses import dataclass

from gpt2 import Sampling, generate
from gpt2.data.completions import Kind
from gpt2.data.examples import Examples
from gpt2.model import GPT2
from gpt2.text.spelled import Spelled
from gpt2.text.tokenizer import Tokenizer

SEARCHED_TOKENS, PROMPT_WORDS, SAMPLED_TOKENS = 200, 6, 60


@dataclass(frozen=True)
class Samples:
    """How samples are taken; `allow_special` and `seed` as in `Settings`.

    val   what is held out
    kind  what the files hold
    """

    tokenizer: Tokenizer
    val: Examples
    kind: Kind
    allow_special: bool = False
    seed: int = 0

    def prompt(self, text: str | None = None) -> list[int]:
        """The ids that a sample continues: those of `text`, or of a prompt or some words of what is held out."""
        example = self.val.examples[0]
        if text is None and self.kind != "text":
            return example.ids[: example.first].tolist()
        if text is None:
            held = max(Spelled(self.tokenizer).without(self.tokenizer.decode(example.ids[:SEARCHED_TOKENS])), key=len)
            line = next((line for line in held.split("\n")[1:-1] if line.strip()), held)  # it may begin in a line
            text = " ".join(line.split()[:PROMPT_WORDS])
        return self.tokenizer.encode(text, self.allow_special) or example.ids[:1].tolist()

    def hint(self, prompt: list[int]) -> tuple[str, bool]:
        """What to type for a prompt, and whether it spells special tokens: its longest part without the end of a text.

        A model that has just read that end begins another text, so a prompt that holds it shows nothing of this one.
        """
        parts: list[list[int]] = [[]]
        for token in prompt:
            if token == self.tokenizer.eot_id:
                parts.append([])
            else:
                parts[-1].append(token)
        spelled = Spelled(self.tokenizer)
        text = max(map(self.tokenizer.decode, parts), key=len)
        if self.tokenizer.eot_id is not None:
            end = self.tokenizer.decode([self.tokenizer.eot_id])
            text = max(text.split(end), key=len)
        return text if text.strip() else "Once upon a time", bool(spelled.count(text))

    def take(self, model: GPT2, prompt: list[int]) -> str:
        """A short continuation; the same noise for every model."""
        sampling = Sampling(max_tokens=SAMPLED_TOKENS, seed=self.seed)
        ids = prompt[-model.config.n_positions :]
        [[completion]] = generate(model.eval(), self.tokenizer, [ids], sampling, on_slide=lambda: None)
        return completion.text
