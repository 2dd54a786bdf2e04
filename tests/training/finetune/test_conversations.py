"""Conversations to fine-tune on: which tokens count, and which rows are refused."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from transformers import AutoTokenizer
from tuned import EOT, WORDS, ids_of

from gpt2.checkpoint.files import load, save
from gpt2.cli.main import main
from gpt2.config import GPT2Config
from gpt2.data.conversations import conversations
from gpt2.data.examples import Examples
from gpt2.model import GPT2
from gpt2.text.chat import Chat
from gpt2.text.tokenizer import Tokenizer
from gpt2.training.finetune.finetune import FineTune, Settings

CHATS = [
    {"messages": [
        {"role": "user", "content": f"say {word}"}, {"role": "assistant", "content": word},
        {"role": "user", "content": "on"}, {"role": "assistant", "content": "no"},
    ]} for word in WORDS
]  # fmt: skip
ALPACA = [
    {"instruction": "say", "input": "b", "output": "c"},
    {"instruction": "say", "input": "", "output": "c"},
    {"instruction": "say", "output": "c", "text": "all of it"},
]


@pytest.fixture
def chat_base(tmp_path: Path) -> str:
    config = GPT2Config(vocab_size=257, n_positions=128, n_embd=32, n_layer=2, n_head=2)
    return str(save(GPT2(config, seed=1), Tokenizer.bytes(), tmp_path / "base"))


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
def test_every_answer_of_a_conversation_counts_and_nothing_else(chat_base: str, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"chats.{kind}"
    if kind == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(CHATS), path)
    else:
        path.write_text(json.dumps(CHATS) if kind == "json" else "\n".join(map(json.dumps, CHATS)))
    tuning = FineTune(Settings((str(path),), model=chat_base, val=str(path)))
    ids, targets = tuning.val.rows(0, len(CHATS))
    for row, word in enumerate(WORDS):
        said = [*ids_of(f" {word}"), EOT, *ids_of(" no"), EOT]
        assert targets[row][targets[row] != -100].tolist() == said
        text = tuning.tokenizer.decode(ids[row].tolist())
        assert text.startswith(f"User: say {word}\n\nAssistant: {word}<|endoftext|>\n\nUser: on\n\nAssistant: no")
    assert tuning.val.tokens == int((targets != -100).sum())
    assert (tuning.kind, tuning.cut) == ("conversations", 0)


def test_a_fine_tune_on_conversations_from_the_command_line(
    chat_base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "chats.jsonl", tmp_path / "run"
    (tmp_path / "empty.jsonl").touch()
    rows = [*CHATS, {"messages": [{"role": "user", "content": "<|endoftext|>"}, {"role": "assistant", "content": "x"}]}]
    path.write_text("\n".join(map(json.dumps, rows)))
    words = ["finetune", str(path), str(tmp_path / "empty.jsonl"), "--model", chat_base, "--out", str(out)]
    assert main([*words, "--epochs", "1"]) == 0
    stdout, err = capsys.readouterr()
    assert "conversations, " in stdout
    assert "tokens of answers to learn from" in stdout
    hint = next(line for line in stdout.splitlines() if line.startswith("try: "))
    assert hint == f"try: gpt2 chat --model {out / 'model'}"
    assert "spells <|endoftext|> once, read as ordinary text: --allow-special reads it as the token." in err
    assert "1 file holds no document: " in err
    theirs = AutoTokenizer.from_pretrained(out / "model")
    ours = Chat(Tokenizer.load(out / "model")).encode(CHATS[0]["messages"])
    encoded = theirs.apply_chat_template(CHATS[0]["messages"], return_dict=True, return_assistant_tokens_mask=True)
    assert (ours.ids, ours.answer.astype(int).tolist()) == (encoded["input_ids"], encoded["assistant_masks"])


def test_an_adapter_has_the_template_of_its_conversations(chat_base: str, tmp_path: Path) -> None:
    """Its base has none: `gpt2 chat` took an adapter for a model that was not trained to chat."""
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(map(json.dumps, CHATS)))
    tuning = FineTune(Settings((str(path),), model=chat_base, val=str(path), lora=2))
    tuning._write(tuning.model, tmp_path / "adapter")
    ours, theirs = (reader(tmp_path / "adapter") for reader in (Tokenizer.load, AutoTokenizer.from_pretrained))
    assert Chat(load(str(tmp_path / "adapter")).tokenizer).template.own
    prompt = theirs.apply_chat_template(CHATS[0]["messages"], add_generation_prompt=True, return_dict=False)
    assert Chat(ours).prompt(CHATS[0]["messages"]) == prompt


def test_alpaca_rows_are_conversations(chat_base: str, tmp_path: Path) -> None:
    path = tmp_path / "alpaca.json"
    path.write_text(json.dumps(ALPACA))
    examples = Examples(conversations(path, Chat(Tokenizer.bytes()), 64))
    asked = ["say\n\nb", "say", "say"]
    for example, text in zip(examples.examples, asked):
        assert example.ids.tolist() == [*ids_of(f"User: {text}\n\nAssistant: c"), EOT, *ids_of("\n\n")]
        assert example.first == len(f"User: {text}\n\nAssistant:")
        assert example.counted == 3
    assert FineTune(Settings((str(path),), model=chat_base)).kind == "conversations"


def say(**changes: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"} | changes]}


@pytest.mark.parametrize(
    "row, pattern",
    [
        (say(content=5), 'line 2, has the number 5 in "content" of message 2: write a text there, between quotes'),
        (say(content=None), 'line 2, has null in "content" of message 2'),
        (say(content=["b"]), 'line 2, has a list in "content" of message 2'),
        (say(content=True), 'line 2, has true in "content" of message 2'),
        (say(role=1), 'line 2, has the number 1 in "role" of message 2'),
        (say(role="bot"), r'has no message of the role "assistant" \(it has user, bot\)'),
        ({"messages": "a"}, 'line 2, has a text in "messages"'),
        ({"messages": []}, 'line 2, has an empty list in "messages"'),
        ({"messages": ["a"]}, "line 2, has a text as message 1"),
        ({"messages": [{"from": "human"}]}, r'line 2, has no "role" and no "content" of message 1 \(it has from\): '
         'rename "from" to "role" and the role "human" to "user", and write a text in "content".'),
        ({"messages": [{"speaker": "user", "text": "a"}]}, r'no "role" and no "content" of message 1 \(it has speaker, '
         r'text\): rename "speaker" to "role" and "text" to "content".'),
        ({"messages": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
         'rename "from" to "role", "value" to "content", the role "human" to "user" and the role "gpt" to "assistant"'),
        ({"messages": [{"author": "user", "content": "a"}]}, ': rename "author" to "role".'),
        ({"messages": [{"sender": "user", "message": "a"}]}, ': rename "sender" to "role" and "message" to "content".'),
        ({"messages": [{"author": {"role": "user"}, "a": 1}]}, ': write a text in "role" and "content".'),
        ({"messages": [{"role": "user", "text": "a"}]}, 'no "content" of message 1 .*: rename "text" to "content".'),
        ([1], "line 2, is a list"),
        ({"instruction": "a", "input": 5, "output": "b"}, 'line 2, has the number 5 in "input"'),
        ({"instruction": "a", "output": 3.5}, 'line 2, has the number 3.5 in "output"'),
        ({"instruction": "a", "output": " "}, "line 2, has an empty output"),
        ({"text": "a"}, 'line 2, has "text", while the first row has "messages"'),
        (say(content="x" * 300) | {"messages": [{"role": "user", "content": "x" * 300}, say()["messages"][1]]},
         "line 2, has 323 tokens, 318 of them before its first answer, but the context is 128: shorten"),
    ],
)  # fmt: skip
def test_rows_that_are_no_conversation(tmp_path: Path, row: Any, pattern: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(say()) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(ValueError, match=pattern):
        list(conversations(path, Chat(Tokenizer.bytes()), 128))


def test_a_long_conversation_is_cut_and_counted(chat_base: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(say(content="b" * 300)) + "\n" + json.dumps(say()))
    tuning = FineTune(Settings((str(path),), model=chat_base, val=str(path)))
    assert (tuning.cut, tuning.val.longest) == (2, 128)
