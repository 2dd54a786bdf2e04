"""LAMBADA and HellaSwag: against the Language Model Evaluation Harness, transformers, and figures worked out by hand.

tests/fixtures/lm_eval holds a model of 94,000 parameters, passages and items written for this project, and in
harness.json what the harness itself made of them (its versions inside; benchmarks/lm_eval_parity.py writes it).
"""

import ast
import hashlib
import json
import math
import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import jinja2
import pytest
import torch
import transformers
import yaml

from gpt2.base.errors import UsageError
from gpt2.base.presets import PRESETS
from gpt2.checkpoint import Checkpoint, load
from gpt2.config import GPT2Config
from gpt2.evaluation import hellaswag, lambada
from gpt2.evaluation.bits_per_byte import loss_of_each
from gpt2.evaluation.items import spread
from gpt2.evaluation.likelihood import Question, answer, split
from gpt2.evaluation.measures import accuracy, perplexity
from gpt2.evaluation.published import published
from gpt2.model import GPT2
from gpt2.text.tokenizer import Tokenizer

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "lm_eval"
HARNESS = json.loads((FIXTURES / "harness.json").read_text("utf-8"))
PASSAGES, ITEMS = FIXTURES / "lambada.jsonl", FIXTURES / "hellaswag.jsonl"


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load(str(FIXTURES / "model"))


@pytest.fixture(scope="module")
def reference():
    return transformers.GPT2LMHeadModel.from_pretrained(FIXTURES / "model", dtype=torch.float32).eval()


def close(value: float) -> object:
    """Sums of a hundred float32 numbers, in another order."""
    return pytest.approx(value, rel=1e-5, abs=1e-4)


# Against the harness


def test_the_fixture_is_of_this_model():
    weights = (FIXTURES / "model" / "model.safetensors").read_bytes()
    assert hashlib.sha256(weights).hexdigest() == HARNESS["weights_sha256"]
    assert HARNESS["versions"].keys() >= {"lm_eval", "transformers", "torch"}


def test_lambada_is_the_harness_s(checkpoint):
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    passages = lambada.read(PASSAGES)
    assert max(len(tokenizer.encode(text)) for text in passages) > model.config.n_positions + 1  # one is cut
    found = [[one.total, all(one.greedy)] for one in lambada.answers(model, tokenizer, passages)]
    assert found == [[close(log_p), greedy] for log_p, greedy in HARNESS["lambada"]]
    assert 0 < sum(greedy for _, greedy in found) < len(found)
    figures = lambada.evaluate(model, tokenizer, passages).figures["last word"]
    assert figures["accuracy"].value == HARNESS["harness"]["local_lambada"]["acc"]
    assert figures["perplexity"].value == pytest.approx(HARNESS["harness"]["local_lambada"]["perplexity"], rel=1e-5)


def test_hellaswag_is_the_harness_s(checkpoint):
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    items = hellaswag.read(ITEMS)
    found = hellaswag.answers(model, tokenizer, items, "harness")
    assert [[one.total for one in row] for row in found] == [[close(x) for x in row] for row in HARNESS["hellaswag"]]
    figures = hellaswag.evaluate(model, tokenizer, items).figures["harness"]
    theirs = HARNESS["harness"]["local_hellaswag"]
    assert {name: figure.value for name, figure in figures.items()} == {name: theirs[name] for name in figures}
    assert theirs["acc"] != theirs["acc_norm"]


def test_text_is_the_harness_s(checkpoint):
    """Each passage as a text, of those that fit into one window: the harness's last window reaches back (`rolling`)."""
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    passages = lambada.read(PASSAGES)
    fits = [len(tokenizer.encode(text)) <= model.config.n_positions for text in passages]
    assert 3 < sum(fits) < len(fits)
    for text, log_p, whole in zip(passages, HARNESS["text"], fits, strict=True):
        if whole:
            assert loss_of_each(model, tokenizer, [text]).loss == close(-log_p)


@pytest.fixture
def adapter(monkeypatch):
    """gpt2/evaluation/lm_eval_adapter.py with stand-ins for what it imports from the harness."""
    harness = {name: ModuleType(name) for name in ("lm_eval", "lm_eval.api", "lm_eval.api.instance")}
    harness |= {name: ModuleType(name) for name in ("lm_eval.api.model", "lm_eval.api.registry")}
    harness["lm_eval.api.instance"].Instance = SimpleNamespace
    harness["lm_eval.api.model"].LM = type("LM", (), {})
    harness["lm_eval.api.registry"].register_model = lambda name: lambda model: model
    for name, module in harness.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "gpt2.evaluation.lm_eval_adapter", raising=False)
    build = import_module("gpt2.evaluation.lm_eval_adapter").Glassbox
    yield build(model=str(FIXTURES / "model"), device="cuda", batch_size=1)
    sys.modules.pop("gpt2.evaluation.lm_eval_adapter", None)


def test_the_adapter_answers_as_the_harness_s_own_model(adapter, checkpoint):
    texts = lambada.read(PASSAGES)
    pairs = [(text.rpartition(" ")[0], " " + text.rpartition(" ")[2]) for text in texts]
    found = adapter.loglikelihood([SimpleNamespace(args=pair) for pair in pairs])
    assert found == [(close(log_p), greedy) for log_p, greedy in HARNESS["lambada"]]
    found = adapter.loglikelihood_rolling([SimpleNamespace(args=(text,)) for text in texts])
    assert found == [close(log_p) for log_p in HARNESS["text"]]


def test_the_adapter_refuses_what_it_would_ignore(adapter):
    with pytest.raises(UsageError, match=r"no argument pretrained: .*`pretrained` is called model"):
        type(adapter)(pretrained="elsewhere")
    with pytest.raises(UsageError, match="dtype is 'int8': choose float32"):
        type(adapter)(model=str(FIXTURES / "model"), dtype="int8")
    found = type(adapter)(model=str(FIXTURES / "model"), dtype="float64")
    assert found.checkpoint.model.lm_head.weight.dtype == torch.float64


def test_the_entry_point_names_the_adapter(adapter):
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]["lm_eval.models"]
    assert declared == {"glassbox": f"{type(adapter).__module__}:{type(adapter).__name__}"}


@pytest.mark.parametrize("style", ["", "ctx_a"])
def test_the_local_task_files_ask_what_is_evaluated(style, tmp_path):
    task = yaml.safe_load((ROOT / "benchmarks" / "lm_eval" / "hellaswag.yaml").read_text("utf-8"))
    record = {"activity_label": "Tea", "endings": [" [step] Pour  it. [title] Now", 'it\'s "done".'], "label": 1}
    halves = {"ctx_a": "A [header] Pot.", "ctx_b": "she Then"} if style else {"ctx": "A [header] pot  boils. she"}
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(record | halves))
    (item,) = hellaswag.read(path)
    jinja = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    jinja.filters["regex_replace"] = lambda text, pattern, by: re.sub(pattern, by, text)
    query, choices = (
        jinja.from_string(task[name]).render(**record, **halves) for name in ("doc_to_text", "doc_to_choice")
    )
    assert query == item.query
    assert ast.literal_eval(choices.strip()) == [hellaswag.unmarked(ending) for ending in item.endings]


def test_the_adapter_generates_up_to_a_stop_string(adapter, reference, checkpoint):
    tokenizer = checkpoint.tokenizer
    prompt = lambada.read(PASSAGES)[0][:40]
    ids = tokenizer.encode(prompt)
    whole = tokenizer.decode(
        reference.generate(torch.tensor([ids]), max_new_tokens=30, do_sample=False, pad_token_id=0)[0, len(ids) :]
    )
    stop = whole[12:15]
    assert whole.strip()
    requests = [
        SimpleNamespace(args=(prompt, o)) for o in ({"max_gen_toks": 30}, {"until": [stop], "max_gen_toks": 30})
    ]
    assert adapter.generate_until(requests) == [whole, whole[: whole.index(stop)]]
    long = SimpleNamespace(args=(prompt * 20, {"until": "\n", "max_gen_toks": 5}))
    assert adapter.generate_until([long])[0]


def test_the_adapter_reads_special_tokens_in_text(adapter, reference):
    """As the harness's `hf` does, whose tokenizer is transformers'; an empty context is opened by the text's own."""
    theirs = transformers.AutoTokenizer.from_pretrained(FIXTURES / "model")
    for context, continuation in [("", "<|endoftext|>A dog"), ("A dog<|endoftext|> ", "The<|endoftext|>")]:
        ids = torch.tensor([theirs.encode(context + continuation)])
        first = len(theirs.encode(context.rstrip())) or 1
        with torch.no_grad():
            log_p = reference(ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[first - 1 :]
        [(found, _)] = adapter.loglikelihood([SimpleNamespace(args=(context, continuation))])
        assert found == close(log_p.sum().item())
    ids = torch.tensor([[theirs.bos_token_id, *theirs.encode("A dog.<|endoftext|>The")]])
    with torch.no_grad():
        loss = reference(ids, labels=ids).loss.item()
    assert adapter.loglikelihood_rolling([SimpleNamespace(args=("A dog.<|endoftext|>The",))]) == [
        close(-loss * (ids.shape[1] - 1))
    ]
    ids = torch.tensor([theirs.encode("A dog.<|endoftext|>")])
    out = reference.generate(ids, max_new_tokens=8, do_sample=False, pad_token_id=0)[0, ids.shape[1] :]
    asked = SimpleNamespace(args=("A dog.<|endoftext|>", {"max_gen_toks": 8}))
    assert adapter.generate_until([asked]) == [theirs.decode(out)]


# Against transformers


def test_the_last_token_is_what_transformers_says(checkpoint, reference):
    """The paper's LAMBADA: the last token of the whole text, given all before it."""
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    passages = [text for text in lambada.read(PASSAGES) if len(tokenizer.encode(text)) <= 96]
    right, losses = 0, []
    for text in passages:
        ids = torch.tensor([tokenizer.encode(text)])
        with torch.no_grad():
            log_p = reference(ids).logits[0, -2].log_softmax(-1)
        right += log_p.argmax().item() == ids[0, -1].item()
        losses.append(-log_p[ids[0, -1]].item())
    figures = lambada.evaluate(model, tokenizer, passages).figures["last token"]
    assert figures["accuracy"].value == right / len(passages)
    assert figures["perplexity"].value == pytest.approx(math.exp(sum(losses) / len(losses)), rel=1e-5)


def test_the_completion_style_is_mean_loss_over_the_ending(checkpoint, reference):
    model, tokenizer = checkpoint.model, checkpoint.tokenizer
    items = [item for item in hellaswag.read(ITEMS) if len(tokenizer.encode(item.context)) < 56]
    totals, means = [], []
    for item in items:
        rows = []
        for ending in item.endings:
            context, ids = tokenizer.encode(item.context), tokenizer.encode(" " + ending)
            labels = torch.tensor([[-100] * len(context) + ids])
            with torch.no_grad():
                rows.append((reference(torch.tensor([context + ids]), labels=labels).loss.item(), len(ids)))
        means.append(min(range(4), key=lambda n: rows[n][0]) == item.label)
        totals.append(min(range(4), key=lambda n: rows[n][0] * rows[n][1]) == item.label)
    figures = hellaswag.evaluate(model, tokenizer, items).figures["completion"]
    assert figures["acc"].value == sum(totals) / len(items)
    assert figures["acc_norm"].value == sum(means) / len(items)


@pytest.mark.parametrize("batch_tokens", [1, 200, 100_000])
def test_answers_do_not_depend_on_the_batch(batch_tokens, reference):
    """Contexts and continuations of all lengths, up to what fits and beyond: each as transformers alone has it."""
    model = load(str(FIXTURES / "model")).model
    generator = torch.Generator().manual_seed(0)

    def ids(n):
        return torch.randint(model.config.vocab_size, (n,), generator=generator).tolist()

    sizes = [(1, [1]), (1, [95, 1]), (94, [3]), (88, [1, 9, 2]), (70, [40, 3]), (300, [2, 96]), (7, [5, 1, 6, 2])]
    questions = [Question(ids(n), [ids(m) for m in of]) for n, of in sizes]
    for question, found in zip(questions, answer(model, questions, batch_tokens), strict=True):
        for continuation, one in zip(question.continuations, found, strict=True):
            text = (question.context + continuation)[-97:]
            with torch.no_grad():
                log_p = reference(torch.tensor([text[:-1]])).logits[0].log_softmax(-1)[-len(continuation) :]
            expected = log_p.gather(1, torch.tensor(continuation)[:, None])[:, 0].tolist()
            assert one.log_probs == [close(x) for x in expected]
            assert one.greedy == (log_p.argmax(-1) == torch.tensor(continuation)).tolist()


def test_a_continuation_longer_than_the_context_is_refused(checkpoint):
    with pytest.raises(ValueError, match="continuation has 97 tokens, more than the model's context of 96"):
        answer(checkpoint.model, [Question([1], [[2] * 97])])
    with pytest.raises(ValueError, match="no tokens"):
        answer(checkpoint.model, [Question([1], [[]])])


# By hand


def test_a_sure_model_is_right():
    """A model that always says token 7: what ends with it is right, and its perplexity is that of the softmax."""
    model = GPT2(GPT2Config(vocab_size=257, n_positions=32, n_embd=8, n_layer=1, n_head=1)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.transformer.ln_f.bias[0] = 1.0
        model.transformer.wte.weight[Tokenizer.bytes().encode("e")[0], 0] = 5.0
    p = math.exp(5) / (math.exp(5) + 256)
    passages = ["one e", "one two me", "one two m"]
    figures = lambada.evaluate(model, Tokenizer.bytes(), passages).figures
    assert figures["last token"]["accuracy"].value == pytest.approx(2 / 3)
    assert figures["last word"]["accuracy"].value == 0  # the space before it is a token of the word
    losses = [-math.log(p), -math.log(p), -math.log((1 - p) / 256)]
    assert figures["last token"]["perplexity"].value == pytest.approx(math.exp(sum(losses) / 3), rel=1e-5)
    assert figures["last token"]["accuracy"].chance == pytest.approx(1 / 257)
    assert figures["last token"]["perplexity"].chance == 257
    assert figures["last word"]["perplexity"].chance == pytest.approx(257 ** ((2 + 3 + 2) / 3))

    items = [hellaswag.Item("a", "b: a", ("xx", "eeee", "e", "xy"), 2), hellaswag.Item("a", "b: a", ("e", "x"), 1)]
    result = hellaswag.evaluate(model, Tokenizer.bytes(), items)
    # " e" has the highest sum in the first item; by its mean " eeee" wins: its one space counts for less.
    assert result.figures["completion"]["acc"].value == 0.5
    assert result.figures["completion"]["acc_norm"].value == 0.0
    assert result.figures["harness"]["acc"].chance == (1 / 4 + 1 / 2) / 2


def test_intervals():
    """Wilson's for 3 of 10 and 0 of 10 (Wilson 1927; statsmodels' proportion_confint gives the same)."""
    three, none = accuracy([True] * 3 + [False] * 7, 0.25), accuracy([False] * 10, 0.25)
    assert (three.value, three.low, three.high) == (
        0.3,
        pytest.approx(0.107791, abs=1e-6),
        pytest.approx(0.603222, abs=1e-6),
    )
    assert (none.value, none.low, none.high) == (0.0, 0.0, pytest.approx(0.277533, abs=1e-6))
    figure = perplexity([-1.0, -3.0], chance=9.0)
    half = 1.959964 * math.sqrt(2) / math.sqrt(2)
    assert figure.value == pytest.approx(math.exp(2))
    assert (figure.low, figure.high) == (pytest.approx(math.exp(2 - half)), pytest.approx(math.exp(2 + half)))
    assert perplexity([-800.0], chance=9.0).value == math.inf


def test_words_are_cut_where_the_context_ends():
    tokenizer = Tokenizer.bytes()
    assert split(tokenizer, "ab ", "c") == (tokenizer.encode("ab"), tokenizer.encode(" c"))
    assert split(tokenizer, "", " c") == ([256], tokenizer.encode(" c"))
    assert split(tokenizer, " \n", "c") == ([256], tokenizer.encode(" \nc"))


def test_marks_of_wikihow():
    text = "Rest: [header] How to rest [title] Sit. [step] Close  your eyes. "
    assert hellaswag.unmarked(text) == "Rest: How to rest. Sit. Close your eyes."
    item = hellaswag.read(ITEMS)[0]
    assert item.query.startswith("Making tea: A woman fills a kettle")
    assert item.query.endswith("into a pot. She")
    assert item.context.endswith("into a pot. she")


def test_a_sample_is_spread_over_all():
    assert spread(range(10), 3) == [0, 3, 6]
    assert spread(range(10), None) == spread(range(10), 99) == list(range(10))


def test_published_figures_belong_to_a_size():
    small = PRESETS["gpt2"]
    assert published(small, "lambada", "last token", "perplexity") == 35.13
    assert published(PRESETS["gpt2-xl"], "hellaswag", "harness", "acc_norm") == 0.5089
    assert published(small, "hellaswag", "harness", "acc") is None
    assert published(PRESETS["distilgpt2"], "lambada", "last token", "accuracy") is None
    assert published(GPT2Config(vocab_size=300), "lambada", "last token", "accuracy") is None
