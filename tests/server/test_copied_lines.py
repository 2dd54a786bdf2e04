"""What "copy as command" and "copy as Python" give is run: every kind of component, and switches of every two kinds.

The lines are copy.js's, run by Node; without Node these tests are left out, as in test_javascript.py.
"""

import itertools
import json
import shlex

import pytest
import torch

from gpt2.cli.main import main
from gpt2.explain import reference, trace
from gpt2.explain.change import before_after
from gpt2.server.answers.model import answer
from gpt2.server.means import Means
from gpt2.server.session import Session
from tests.explained import shallow
from tests.server.test_javascript import run

TEXT = "Tom's cat\nsat on -"
ADDRESSES = ["embed.out", "embed.pos", "0.ln_1.scale", "0.attn", "0.head.1", "0.resid_mid", "0.mlp", "0.block"]
ADDRESSES += ["0.resid_post", "final.scale", "logits"]
KINDS = [("embed.pos", "off"), ("1.attn", "off"), ("2.head.1", "off"), ("0.mlp", "off"), ("1.block", "off")]
KINDS += [("embed.pos", "mean"), ("1.attn", "mean"), ("2.head.1", "mean"), ("0.mlp", "mean"), ("1.block", "mean")]
KINDS += [("2.ln_1.scale", "mean"), ("final.scale", "mean")]
PAIRS = [dict(pair) for pair in itertools.combinations(KINDS, 2) if len(dict(pair)) == 2]
SCRIPT = """
    await import("./tests/server/js/browser.js");
    const { run } = await import("./gpt2/server/web/run.js");
    const { commandOf, pythonOf } = await import("./gpt2/server/web/copy.js");
    const { model, text, asked } = JSON.parse(process.argv[1]);
    run.model = model;
    const lines = asked.map(([address, switches]) => {
      run.scene = { text, switches };
      return [commandOf(address), pythonOf(address, 1)];
    });
    console.log(JSON.stringify(lines));
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return shallow(tmp_path_factory.mktemp("shallow") / "a model")


@pytest.fixture(scope="module")
def session(checkpoint):
    """Means over two short documents, and one model for all, here and in the lines, so that the test is quick."""
    documents = ["One day a dog found a red ball.", "Tom and Sue ran to the park, and they played."]
    found = reference(checkpoint, documents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpt2.explain.reference", lambda checkpoint: found)
        patch.setattr("gpt2.explain.change.off.excerpt", lambda checkpoint, text=None: found)
        patch.setattr("gpt2.load", lambda name: named(checkpoint, name))
        patch.setattr("gpt2.cli.explain.options.Options.load", lambda self: named(checkpoint, self.model))
        means = Means(checkpoint)
        means.text = found
        yield Session(checkpoint, means)


def named(checkpoint, name):
    assert name == str(checkpoint.directory)
    return checkpoint


def copied(node, session, asked):
    name = str(session.checkpoint.directory)
    model = {**answer(session, None, None), "name": name}
    return json.loads(
        run(node, "--input-type=module", "-e", SCRIPT, json.dumps({"model": model, "text": TEXT, "asked": asked}))
    )


def printed(capsys, command):
    name, *words = shlex.split(command)
    assert name == "gpt2"
    capsys.readouterr()  # what a line of Python has printed
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def executed(python):
    names = {}
    exec(python, names)
    return names["run"]


def test_the_lines_of_every_component_give_its_numbers(node, session, capsys):
    for address, (command, python) in zip(ADDRESSES, copied(node, session, [(a, {}) for a in ADDRESSES])):
        found, ran = printed(capsys, command), executed(python)
        assert found["model"] == str(session.checkpoint.directory)
        if "values" in found:
            ((name, value),) = found["values"].items()
            assert torch.allclose(torch.tensor(value["values"]), ran[name][0], atol=1e-4), address


def test_the_lines_of_switches_are_of_these_switches_together(node, session, capsys, monkeypatch):
    """A line may be missing, and then no command can do it; one that is there once took mean for zero."""
    lines = copied(node, session, [("logits", switches) for switches in PAIRS])
    ids = session.encode(TEXT)
    for switches, (_, python) in list(zip(PAIRS, lines))[::5]:
        assert torch.allclose(executed(python).logits[0], session.look(ids, switches).logits, atol=1e-4), switches
    with_command = [(switches, command) for switches, (command, _) in zip(PAIRS, lines) if command]
    assert len(with_command) == 10 + 15  # both off; both at their mean, without a block
    continued = []
    monkeypatch.setattr(before_after, "before_after", lambda *words: continued.append(words))  # it takes seconds
    for switches, command in with_command[::5]:
        found = printed(capsys, command)
        assert [one["off"].split(",") for one in found["components"]] == [sorted(switches)]
        _, text, made, _, _ = continued.pop()
        wanted = session.look(ids, switches).logits
        assert text == TEXT
        assert torch.allclose(trace(session.checkpoint, text, edit=made).logits[0], wanted, atol=1e-4), switches
