"""docs/checkpoint_files.md, written from the tables by which files are read: `python -m scripts.checkpoint_files`.

In: the tables of gpt2/checkpoint/ and gpt2/text/. Out: the page. tests/docs/test_checkpoint_files.py holds them equal.
"""

from collections.abc import Iterable
from pathlib import Path

from gpt2.base.foreign import Field
from gpt2.checkpoint import adapter_fields, config_fields, generation_fields
from gpt2.text import tokenizer_fields

PAGE = Path(__file__).parents[1] / "docs" / "checkpoint_files.md"
HEAD = """# What the files of a checkpoint say, and what becomes of it

This page is written from the tables by which the loader reads files (`python -m scripts.checkpoint_files`): they list
every field that transformers 5.24 or peft 0.21 acts on for a GPT-2.

- **honoured**: it changes what is computed here as it does there.
- **carried**: nothing here depends on it; it is written again when the model is saved.
- **without effect**: nothing depends on it there either, for a GPT-2. It is written again all the same.
- **refused**: the file is refused, with the field's name, unless the value is one that asks for nothing.

A field that is in no table is said once and written again.

[checkpoints.md](checkpoints.md) says which files and names `--model` takes, those of other projects too.
"""
TABLES = {
    "config.json": ("The model's sizes and choices.", config_fields.CONFIG_FIELDS),
    "generation_config.json": (
        "Where the file does not exist, these fields of config.json count. A refused field stops `gpt2 generate` and "
        "`gpt2.generate`, nothing else; `--own-defaults`, or a `Sampling` of your own, leaves the file aside.",
        generation_fields.ALWAYS,
    ),
    "generation_config.json, with `do_sample: true`": (
        "Without `do_sample: true` nothing reads these, here or there.",
        generation_fields.SAMPLING,
    ),
    "tokenizer_config.json": ("Beside the tokenizer's own files.", tokenizer_fields.TOKENIZER_CONFIG),
    "special_tokens_map.json": ("An older place for the names of special tokens.", tokenizer_fields.SPECIAL_TOKENS_MAP),
    "added_tokens.json": ("Tokens that were added to a vocabulary.", tokenizer_fields.ADDED_TOKENS),
    "tokenizer.json": (
        "The whole tokenizer, in the form of the `tokenizers` library.",
        tokenizer_fields.TOKENIZER_JSON,
    ),
    "adapter_config.json": (
        "An adapter that peft wrote. Of the other files in its directory the tokenizer's count. A config.json or "
        "generation_config.json there is not read, as in peft and transformers: the base's count.",
        adapter_fields.FIELDS,
    ),
}


def page() -> str:
    """The text of the page."""
    parts = [HEAD]
    for name, (words, table) in TABLES.items():
        parts.append(f"## {name}\n\n{words}\n\n" + "\n".join(rows(table)) + "\n")
    return "\n".join(parts)


def rows(table: Iterable[Field]) -> Iterable[str]:
    """A table in Markdown: neighbours of one fate and one sentence share a row."""
    yield "| field | | what it does, and what becomes of it |"
    yield "| --- | --- | --- |"
    groups: dict[tuple[str, str, str], list[str]] = {}
    for field in table:
        plain = f" (accepted: {', '.join(f'`{value!r}`' for value in field.plain)})" if field.plain else ""
        groups.setdefault((field.fate, field.what, plain), []).append(f"`{field.name}`")
    for (fate, what, plain), names in groups.items():
        yield f"| {', '.join(names)} | {fate} | {what}{plain} |".replace("<|", "<\\|").replace("|>", "\\|>")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(Path.cwd())}")
