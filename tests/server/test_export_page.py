"""An exported page's numbers, against `transformers` in float64 with hooks of its own."""

import re

import pytest
import torch
import transformers

from gpt2.base.errors import UsageError
from gpt2.checkpoint.files import Checkpoint
from gpt2.config import GPT2Config
from gpt2.explain import reference
from gpt2.model import GPT2
from gpt2.server import export
from gpt2.server.means import Means
from gpt2.server.session import Session
from gpt2.text.byte_level import EOT, byte_alphabet, gpt2_content
from gpt2.text.tokenizer import Tokenizer
from tests.explained import shallow
from tests.page_server import answers_of

TEXT = "The cat sat on the"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return shallow(tmp_path_factory.mktemp("shallow") / "model")


@pytest.fixture(scope="module")
def page(checkpoint):
    """The data of an exported page, by question; means over two short documents, so that the test is quick."""
    means = Means(checkpoint)
    means.text = reference(checkpoint, DOCUMENTS)
    session = Session(checkpoint, means)
    html = export.page_html(session, export.Export(text=TEXT, corrupt="The dog ran to the"), lambda *a: None)
    data = answers_of(html)

    def answer(name, **parameters):
        return data[export.key(name, parameters)]

    answer.index = data
    return answer


DOCUMENTS = ["One day a dog found a red ball.", "Tom and Sue ran to the park, and they played."]


class Theirs:
    """transformers' GPT-2 in float64, with parts zeroed or set to a mean through hooks on its modules."""

    def __init__(self, checkpoint):
        self.model = transformers.GPT2LMHeadModel.from_pretrained(
            checkpoint.directory, dtype=torch.float64, attn_implementation="eager"
        ).eval()
        self.tokenizer = checkpoint.tokenizer
        self.ids = torch.tensor([self.tokenizer.encode(TEXT)])

    def at(self, address):
        """(module, which value: "in" or "out", columns) of a switch."""
        layer, _, rest = address.partition(".")
        if address == "embed.pos":
            return self.model.transformer.wpe, "out", slice(None)
        block = self.model.transformer.h[int(layer)]
        if rest.startswith("head."):
            h = int(rest.split(".")[1])
            D = self.model.config.n_embd // self.model.config.n_head
            return block.attn.c_proj, "in", slice(h * D, (h + 1) * D)
        return {"attn": (block.attn.c_proj, "out", slice(None)), "mlp": (block.mlp, "out", slice(None))}[rest]

    def means(self, addresses):
        """The mean of each over the documents, positions from 1 on."""
        seen = {address: [] for address in addresses}
        hooks = []
        for address in addresses:
            module, side, columns = self.at(address)

            def keep(m, i, o, to=seen[address], side=side, c=columns):
                return to.append((i[0] if side == "in" else o)[..., c])

            hooks.append(module.register_forward_hook(keep))
        for document in DOCUMENTS:
            with torch.no_grad():
                self.model(torch.tensor([[self.tokenizer.eot_id, *self.tokenizer.encode(document)]]))
        for hook in hooks:
            hook.remove()
        rest = {a: torch.cat([x.reshape(-1, x.size(-1))[1:] for x in found]) for a, found in seen.items()}
        return {address: x.mean(0) for address, x in rest.items()}

    def run(self, address=None, value=0.0):
        def change(x):
            x = x.clone()
            x[..., columns] = value
            return x

        hooks = []
        if address is not None and address.endswith(".block"):
            block = self.model.transformer.h[int(address.split(".")[0])]
            hooks = [
                m.register_forward_hook(lambda m, i, o: torch.zeros_like(o)) for m in (block.attn.c_proj, block.mlp)
            ]
        elif address is not None:
            module, side, columns = self.at(address)
            if side == "in":
                hooks = [module.register_forward_pre_hook(lambda m, inputs: (change(inputs[0]),))]
            else:
                hooks = [module.register_forward_hook(lambda m, i, o: change(o))]
        with torch.no_grad():
            found = self.model(self.ids, output_hidden_states=True, output_attentions=True)
        for hook in hooks:
            hook.remove()
        return found


@pytest.fixture(scope="module")
def theirs(checkpoint):
    return Theirs(checkpoint)


def close(ours, wanted, tolerance=2e-3):  # a file holds three digits
    assert ours.shape == wanted.shape
    wanted = wanted.detach()
    assert (ours.double() - wanted).abs().max() <= tolerance * max(1.0, float(wanted.abs().max()))


def switched(config):
    names = ["embed.pos"]
    for l in range(config.n_layer):
        names += [f"{l}.attn", f"{l}.mlp", *(f"{l}.head.{h}" for h in range(config.n_head))]
    return [(name, kind) for name in names for kind in ("off", "mean")] + [
        (f"{l}.block", "off") for l in range(config.n_layer)
    ]


def test_each_switch_of_an_exported_page_gives_the_probabilities_of_an_independent_model(checkpoint, page, theirs):
    """Every component off and mean; losses, KL and probabilities of all rows."""
    plain = theirs.run().logits[0].log_softmax(-1)
    follows = theirs.ids[0, 1:, None]
    switches = switched(checkpoint.model.config)
    means = theirs.means([address for address, kind in switches if kind == "mean"])
    for address, kind in switches:
        found = page("picture", text=TEXT, switches={address: kind})
        log_p = theirs.run(address, 0.0 if kind == "off" else means[address]).logits[0].log_softmax(-1)
        ids = found["next"]["ids"].long()
        close(found["next"]["p"], log_p.exp().gather(1, ids))
        close(found["next"]["p_before"], plain.exp().gather(1, ids))
        close(found["losses"], -log_p[:-1].gather(1, follows)[:, 0])
        close(found["kl"], (plain.exp() * (plain - log_p)).sum(-1), 3e-3)
        assert found["top"].tolist() == log_p.argmax(-1).tolist()


def test_a_block_at_its_mean_and_frozen_norms_differ_from_the_plain_run(checkpoint, page):
    """transformers has no place to hook these; their edits are tested with gpt2.explain."""
    for address in ("1.block", "1.ln_1.scale", "2.ln_2.scale", "final.scale"):
        found = page("picture", text=TEXT, switches={address: "mean"})
        assert (found["next"]["p"] - found["next"]["p_before"]).abs().max() > 1e-4


def test_the_picture_of_an_exported_page_is_that_of_an_independent_model(checkpoint, page, theirs):
    run, found = theirs.run(), page("picture", text=TEXT, switches={})
    streams = dict(zip((f"{l}.resid_post" for l in range(checkpoint.model.config.n_layer - 1)), run.hidden_states[1:]))
    streams["embed.out"] = run.hidden_states[0]
    for point, stream in streams.items():
        close(found["norms"][found["points"].index(point)], stream[0].norm(dim=-1), 3e-3)
    attention = torch.stack([a[0].mean(0) for a in run.attentions])  # (L, T, T)
    arcs = found["arcs"]["mean"]
    is_drawn = arcs["weight"] > 0
    close(arcs["weight"], attention.gather(2, arcs["from"].long()) * is_drawn, 3e-3)
    assert (arcs["weight"].sum(-1) > 0.9).all()
    norm = theirs.model.transformer.ln_f
    lens = page("lens", text=TEXT, switches={}, first=0, stop=16)
    for point, stream in streams.items():
        logits = theirs.model.lm_head(norm(stream[0]))
        p = logits.softmax(-1)
        r = lens["points"].index(point)
        assert lens["top"][r].tolist() == p.argmax(-1).tolist()
        close(lens["p"][r], p.max(-1).values)
        close(lens["entropy"][r], -(p * p.log()).sum(-1), 3e-3)
        for t, token in enumerate(theirs.ids[0, 1:].tolist()):  # fp32 may rank others that are as likely before it
            above, near = (int((logits[t] > logits[t, token] + room).sum()) for room in (1e-4, -1e-4))
            assert above < lens["rank"][r, t] <= near < above + 9
        assert lens["rank"][r, -1] == 0


def test_every_head_of_an_exported_page_has_the_pattern_of_an_independent_model(checkpoint, page, theirs):
    run, config = theirs.run(), checkpoint.model.config
    C, D = config.n_embd, config.head_dim
    for l in range(config.n_layer):
        block = theirs.model.transformer.h[l]
        v = block.attn.c_attn(block.ln_1(run.hidden_states[l][0]))[:, 2 * C :]
        for h in range(config.n_head):
            found = page("head", text=TEXT, switches={}, block=l, head=h)
            close(found["pattern"], run.attentions[l][0, h])
            write = v[:, h * D : (h + 1) * D] @ block.attn.c_proj.weight[h * D : (h + 1) * D]
            close(found["written"], run.attentions[l][0, h] * write.norm(dim=-1), 3e-3)


def test_attribution_of_an_exported_page_adds_up_to_the_lead_of_an_independent_model(page, theirs):
    logits = theirs.run().logits[0]
    for row in range(5):
        best, second = logits[row].topk(2).values.tolist()
        found = page("attribution", text=TEXT, switches={}, row=row, target="", foil="", of="")
        assert sum(part["value"] for part in found["parts"]) == pytest.approx(best - second, abs=1e-4)
        assert abs(found["error"]) < 1e-4 * found["spread"]
    # the last MLP's part, by the definition: <write, ghat> / sigma
    final = theirs.model.transformer.ln_f
    seen = {}
    hooks = [
        theirs.model.transformer.h[-1].mlp.register_forward_hook(lambda m, i, o: seen.update(write=o[0, -1])),
        final.register_forward_pre_hook(lambda m, i: seen.update(stream=i[0][0, -1])),
    ]
    theirs.run()
    for hook in hooks:
        hook.remove()
    a, b = logits[-1].topk(2).indices.tolist()
    ghat = final.weight * (theirs.model.lm_head.weight[a] - theirs.model.lm_head.weight[b])
    sigma = (seen["stream"].var(unbiased=False) + final.eps).sqrt()
    wanted = float(seen["write"] @ (ghat - ghat.mean()) / sigma)
    parts = {part["name"]: part["value"] for part in found["parts"]}
    assert parts["2.mlp"] == pytest.approx(wanted, abs=1e-4)


def test_shares_after_the_rules_are_those_of_transformers(page, theirs):
    found = page("draw", text=TEXT, switches={}, row=4, temperature=0.8, top_k=0, top_p=0.95, seed=0)
    logits = theirs.run().logits[:, -1].float()
    rules = transformers.LogitsProcessorList([
        transformers.TemperatureLogitsWarper(0.8), transformers.TopPLogitsWarper(0.95),
    ])  # fmt: skip
    shares = rules(theirs.ids, logits).softmax(-1)[0]
    close(found["shares"], shares[found["ids"].long()].double(), 3e-3)
    assert abs(found["kept"] - int((shares > 0).sum())) <= 1  # the token on the edge


def test_positions_neighbours_and_patching_of_an_exported_page(page, theirs):
    wpe = theirs.model.transformer.wpe.weight[:16].detach()
    cosine = torch.nn.functional.cosine_similarity(wpe[:, None], wpe[None], dim=-1)
    close(page("positions", count=16)["cosine"], cosine, 3e-3)
    wte, cat = theirs.model.transformer.wte.weight.detach(), int(theirs.ids[0, 1])
    near = torch.nn.functional.cosine_similarity(wte, wte[cat][None], dim=-1)
    near[cat] = -1
    found = page("neighbours", token=cat)["nearest"]
    assert [one["id"] for one in found] == near.topk(12).indices.tolist()
    assert found[0]["cosine"] == pytest.approx(float(near.max()), abs=1e-5)

    question = {"clean": TEXT, "corrupt": "The dog ran to the", "target": "", "foil": "", "direction": "denoise"}
    found = page("patch", **question, grid="mlp")
    clean, corrupt = theirs.ids, torch.tensor([theirs.tokenizer.encode("The dog ran to the")])
    mlp, kept = theirs.model.transformer.h[2].mlp, {}
    hook = mlp.register_forward_hook(lambda m, i, o: kept.update(out=o))
    with torch.no_grad():
        full = theirs.model(clean).logits[0, -1]
        hook.remove()
        other = theirs.model(corrupt).logits[0, -1]
        hook = mlp.register_forward_hook(lambda m, i, o: torch.cat([o[:, :-1], kept["out"][:, -1:]], dim=1))
        patched = theirs.model(corrupt).logits[0, -1]
        hook.remove()
    a, b = int(full.argmax()), int(other.argmax())

    def lead(logits):
        return float(logits[a] - logits[b])

    wanted = (lead(patched) - lead(other)) / (lead(full) - lead(other))
    assert float(found["scores"][2, 4]) == pytest.approx(wanted, abs=3e-3)


def test_an_exported_page_loads_nothing_and_names_its_hashes():
    html = export.assemble(export.store({}, {"view": "", "text": "</script><b>", "corrupt": ""}))
    assert html.count("<script") == html.count("</script>") == 2
    assert not re.search(r'(src|href)="(?!data:)', html)
    policy = re.search(r'content-security-policy" content="([^"]+)"', html)[1]
    for tag, name in (("script", "script-src"), ("style", "style-src")):
        inside = re.search(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)[1]
        assert f"{name} '{export._hash(inside)}'" in policy
    assert "default-src 'none'" in policy
    above = '<div id="page">\n<nav id="site" aria-label="documents"><a href="a.html">A &amp; B</a></nav>\n<header>'
    assert above in export.assemble("", [("A & B", "a.html")])


def test_export_refuses_in_one_sentence_and_leaves_nothing(checkpoint, tmp_path):
    for text, target, words in [
        ("", tmp_path / "a.html", "empty"), (TEXT, tmp_path, "directory"),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=words):
            export.export_html(checkpoint, text, target)
    with pytest.raises(UsageError, match="tokens"):
        export.export_html(checkpoint, TEXT, tmp_path / "a.html", corrupt="The dog")
    assert list(tmp_path.iterdir()) == []


def test_keys_are_those_of_the_script():
    """JSON.stringify writes 1.0 as 1, keeps every character, and the page sorts the names."""
    parameters = {"text": 'ä "·', "top_p": 1.0, "temperature": 0.8, "switches": {"b": "off", "a": "mean"}}
    want = 'draw{"switches":{"a":"mean","b":"off"},"temperature":0.8,"text":"ä \\"·","top_p":1}'
    assert export.key("draw", parameters) == want


@pytest.mark.parametrize("n_positions", [1, 2, 8, 32])
def test_a_page_of_a_model_with_a_small_context(tmp_path, n_positions):
    """A token whose escapes are a longer text than the context was asked for by them: "a prompt of 35 tokens"."""
    config = GPT2Config(vocab_size=258, n_positions=n_positions, n_embd=16, n_layer=1, n_head=2)
    long = "\x1b]8;;" * 8
    content = gpt2_content({char: i for i, char in enumerate(byte_alphabet())} | {EOT: 256}, [])
    content["added_tokens"].append({**content["added_tokens"][0], "id": 257, "content": long, "special": False})
    checkpoint = Checkpoint(GPT2(config, seed=1).eval(), Tokenizer(content), "small", tmp_path)
    with torch.no_grad():
        checkpoint.model.transformer.wte.weight[257] *= 50
    shares = []
    tell = lambda share=0.0, partial=None: shares.append(share)  # noqa: E731
    target = export.export_html(checkpoint, "ab"[:n_positions], tmp_path / "page.html", tell=tell)
    asked = answers_of(target.read_text("utf-8"))
    assert {name.partition("{")[0] for name in asked} >= {"model", "picture", "draw", "continuation", "positions"}
    assert max(shares) > 0.9
