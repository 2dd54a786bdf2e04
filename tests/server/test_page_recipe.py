"""What "share" copies as Python is run: for each detail, with switches of every kind, it gives the server's numbers.

The script is share/recipe.js's, run by Node; without Node these tests are left out, as in test_javascript.py.
"""

import itertools
import json

import pytest
import torch

from gpt2 import explain
from gpt2.base.plain import plain
from gpt2.explain import reference, trace
from gpt2.server.jobs import silent
from gpt2.server.means import Means
from gpt2.server.questions import QUESTIONS, read_parameters
from gpt2.server.session import Session
from gpt2.server.switches import edits
from tests.explained import shallow
from tests.server.test_javascript import run

TEXT = 'Tom\'s "cat"\nsat on'
ROW = 3
EVERY = {"embed.pos": "half", "0.ln_1.scale": "mean", "0.head.1": "off", "1.attn": "mean", "0.mlp": "double"}
EVERY |= {"2.block": "half", "final.scale": "mean"}
SWITCHES = [{}, {"1.mlp": "off"}, EVERY]
SAMPLING = {"temperature": 1.3, "top_k": 7, "top_p": 0.9, "seed": 11}
VIEWS = {
    "story": {},
    "maths": {"calc": "1.attn.pattern~1~~2"},
    "why": {"foil": "mean"},
    "attention": {"at": "1.head.1"},
    "lens": {},
    "attribution": {"at": "0.head.0", "target": "·dog", "foil": "·cat"},
    "neurons": {"at": "0.mlp"},
    "off": {},
    "patch": {"corrupt": 'Sue\'s "cat"\nran on', "kind": "head", "direction": "noise"},
    "positions": {},
    "compare": {"beside": "The dog ran to the park", "both": "next"},
}
BOTH = ("lens", "attribution", "attention", "losses")
SCRIPT = """
    await import("./tests/server/js/browser.js");
    const { run } = await import("./gpt2/server/web/run.js");
    const { DEFAULTS, state } = await import("./gpt2/server/web/state.js");
    const { recipe } = await import("./gpt2/server/web/share/recipe.js");
    const { readFileSync } = await import("node:fs");
    const { model, asked } = JSON.parse(readFileSync(process.argv[1], "utf8"));
    run.model = model;
    const scripts = asked.map(({ values, picture }) => {
      Object.assign(state, DEFAULTS, values);
      run.scene = { text: values.text, switches: values.switches };
      run.picture = picture;
      return recipe();
    });
    console.log(JSON.stringify(scripts));
"""


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """Means over two short documents, and one model for all, here and in the scripts, so that the test is quick."""
    checkpoint = shallow(tmp_path_factory.mktemp("shallow") / "a model")
    found = reference(checkpoint, ["One day a dog found a red ball.", "Tom and Sue ran to the park, and they played."])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpt2.explain.reference", lambda checkpoint: found)
        patch.setattr("gpt2.load", lambda name: checkpoint if name == str(checkpoint.directory) else None)
        means = Means(checkpoint)
        means.text = found
        yield Session(checkpoint, means)


def answer(session, name, **parameters):
    question = QUESTIONS[name]
    return question.answer(session, read_parameters(question, json.dumps(parameters)), silent)


def test_the_script_of_every_detail_gives_the_numbers_of_the_page(node, session, tmp_path, capsys):
    cases = list(itertools.product(VIEWS, SWITCHES)) + [("compare", EVERY)] * len(BOTH)
    asked = []
    for view, switches in cases:
        found = answer(session, "picture", text=TEXT, switches=switches)
        picture = {"tokens": found["tokens"], "top": {"data": found["top"].tolist()}}
        state = {"text": TEXT, "row": ROW, "view": view, "switches": switches, **SAMPLING, **VIEWS[view]}
        asked.append({"values": state, "picture": picture})
    for case, both in zip(asked[-len(BOTH) :], BOTH):
        case["values"]["both"] = both
    model = {**plain(answer(session, "model")), "name": str(session.checkpoint.directory)}
    (tmp_path / "asked").write_text(json.dumps({"model": model, "asked": asked}), "utf-8")
    scripts = json.loads(run(node, "--input-type=module", "-e", SCRIPT, str(tmp_path / "asked")))
    for (view, switches), script, case in zip(cases, scripts, asked):
        names = {}
        exec(script, names)
        assert "loss " in capsys.readouterr().out
        next_tokens(session, names, switches)
        CHECKS.get(view, lambda *words: None)(session, names, {"text": TEXT, "switches": switches}, case["values"])


def test_what_is_missed_on_the_text_is_the_pages_in_python_too(node, session):
    script = """
        await import("./tests/server/js/browser.js");
        const { missedLines } = await import("./gpt2/server/web/share/recipe_views.js");
        const asked = JSON.parse(process.argv[1]).map((one) => missedLines({ text: "this", ...one }));
        console.log(JSON.stringify(asked));
    """
    cases = [{"components": c, "kind": k} for c in ("parts", "heads", "blocks") for k in ("mean", "zero")]
    of = trace(session.checkpoint, TEXT, edit=edits(session, EVERY))
    for case, made in zip(cases, json.loads(run(node, "--input-type=module", "-e", script, json.dumps(cases)))):
        names = {name: getattr(explain, name) for name in made["names"]} | {"run": of, "row": ROW, "ref": session.means}
        exec("\n".join(made["lines"]), names)
        found, wanted = names["missed"], answer(session, "leave_one_out", text=TEXT, switches=EVERY, **case)
        assert list(found.names) == [one["address"] for one in wanted["rows"]]
        close(found.change, [one["change"] for one in wanted["rows"]])
        close(found.p_without, wanted["p_without"])
        assert found.position == ROW


def close(found, wanted):
    found, wanted = torch.as_tensor(found).float(), torch.as_tensor(wanted).float()
    assert found.shape == wanted.shape
    assert torch.allclose(found, wanted, atol=1e-5, rtol=1e-4)


def next_tokens(session, names, switches):
    """The list on the right, the losses, and the draw; with switches, the run with everything on beside them."""
    picture = answer(session, "picture", text=TEXT, switches=switches)
    ids = picture["next"]["ids"][ROW]
    close(names["p"][ids], picture["next"]["p"][ROW])
    close(names["p_before"][ids], picture["next"]["p_before"][ROW])
    close(names["losses"], picture["losses"])
    drawn = answer(session, "draw", text=TEXT, switches=switches, row=ROW, **SAMPLING)
    close(names["drawn"][drawn["ids"]], drawn["shares"])
    assert names["token"] == drawn["token"]


def maths(session, names, scene, state):
    one = answer(session, "calculation", **scene, address="1.attn.pattern", row=ROW, index=2, head=1)
    assert (names["one"].kind, names["one"].value) == (one["kind"], pytest.approx(one["value"], rel=1e-5))
    assert names["one"].numbers == pytest.approx(one["numbers"], rel=1e-5)


def why(session, names, scene, state):
    parts = answer(session, "attribution", **scene, row=ROW, foil="mean")["parts"]
    values = {part["name"]: part["value"] for part in parts}
    components = [part["name"] for part in parts if part["kind"] in ("embedding", "head", "mlp", "attention")]
    assert [name for name, _ in names["shown"]] == components  # fewer than the twelve that are drawn of a larger model
    assert dict(names["shown"]) == pytest.approx({name: values[name] for name, _ in names["shown"]}, rel=1e-4, abs=1e-6)
    for name, share in names["reads"].items():
        block, head = (int(part) for part in name.split(".head."))
        written = answer(session, "head", **scene, block=block, head=head)["written"][ROW, : ROW + 1]
        close(share, written / written.sum().clamp(min=1e-30))


def attention(session, names, scene, state):
    one = answer(session, "head", **scene, block=1, head=1)
    close(names["pattern"], one["pattern"])
    close(names["written"], one["written"])
    if scene["switches"]:
        close(names["change"], one["pattern"] - one["pattern_before"])
    all_ = answer(session, "attention", **scene, block=1)
    close(names["mean_pattern"], all_["mean"])
    for name in ("previous", "first", "itself", "entropy"):
        close(names["habits"][name], all_[name])


def lens(session, names, scene, state):
    wanted = answer(session, "lens", **scene)
    found = names["found"]
    assert list(found.points) == wanted["points"]
    assert torch.equal(found.top_ids[..., 0], wanted["top"])
    close(found.probability, wanted["p"])
    close(found.answer_probability, wanted["p_final"])
    close(found.entropy, wanted["entropy"])


def attribution(session, names, scene, state):
    question = {**scene, "row": ROW, "target": state["target"], "foil": state["foil"]}
    refused = "0.head.1" in scene["switches"]  # its block's heads have no sources then
    assert ("finer" in names) != refused
    for found, of in (("found", ""),) if refused else (("found", ""), ("finer", state["at"])):
        wanted = answer(session, "attribution", **question, of=of)
        values = dict(zip(names[found].names, names[found].values.tolist()))
        for part in wanted["parts"]:
            assert values[part["name"]] == pytest.approx(part["value"], rel=1e-4, abs=1e-6)
        assert names[found].whole == pytest.approx(wanted["whole"], rel=1e-4)


def neurons(session, names, scene, state):
    wanted = answer(session, "neurons", **scene, block=0, row=ROW)["neurons"]
    found = names["found"].strongest
    assert [one.unit for one in found] == [one["n"] for one in wanted]
    close([one.activation for one in found], [one["activation"] for one in wanted])
    assert (names["adds"] is None) == (wanted[0]["adds"] is None)
    if names["adds"]:
        adds = [names["adds"][f"0.mlp.post#{one['n']}"] for one in wanted]
        close(adds, [one["adds"] for one in wanted])
    examples = answer(session, "contexts", block=0, neuron=found[0].unit)["examples"]
    close([one.activation for one in names["contexts"].contexts], [one["activation"] for one in examples])


def off(session, names, scene, state):
    wanted = answer(session, "continuation", **scene, **SAMPLING)
    label = session.word
    assert [label(i) for i in names["goes_on"].before_ids] == wanted["before"]
    assert [label(i) for i in names["goes_on"].after_ids] == wanted["after"]


def patch(session, names, scene, state):
    asked = {"clean": TEXT, "corrupt": state["corrupt"], "grid": "head", "direction": "noise"}
    close(names["grid"].scores, answer(session, "patch", **asked)["scores"])


def positions(session, names, scene, state):
    wanted = answer(session, "positions", count=16)
    close(names["similar"].cosines[wanted["at"]][:, wanted["at"]], wanted["cosine"])
    near = answer(session, "neighbours", token=int(names["run"].ids[0, ROW]))
    assert names["near"].ids.tolist() == [one["id"] for one in near["nearest"]]


def compare(session, names, scene, state):
    """The row of the second prompt has the number of the selected one, which is not the last."""
    both, second = state["both"], {"text": state["beside"], "switches": scene["switches"]}
    assert names["row_b"] == ROW
    picture = answer(session, "picture", **second)
    if both == "next":
        close(names["p_b"][picture["next"]["ids"][ROW]], picture["next"]["p"][ROW])
    if both == "losses":
        close(names["losses_b"], picture["losses"])
    if both == "lens":
        for side, asked in (("a", scene), ("b", second)):
            wanted = answer(session, "lens", **asked, first=ROW, stop=ROW + 1)
            assert list(names[side].points) == wanted["points"]
            assert torch.equal(names[side].top_ids[..., 0], wanted["top"])
            close(names[side].probability, wanted["p"])
    if both == "attention":
        for side, asked in (("a", scene), ("b", second)):
            close(names[side], answer(session, "head", **asked, block=0, head=0)["pattern"][ROW, : ROW + 1])
    if both == "attribution":
        first = answer(session, "attribution", **scene, row=ROW)
        same = {"target": first["target"], "foil": first["foil"]}
        for side, wanted in (("a", first), ("b", answer(session, "attribution", **second, row=ROW, **same))):
            close(names[side].values, [part["value"] for part in wanted["parts"]])


ALL = (maths, why, attention, lens, attribution, neurons, off, patch, positions, compare)
CHECKS = {check.__name__: check for check in ALL}
