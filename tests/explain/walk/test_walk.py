"""The walk: its numbers against transformers and plain numpy, its sums, its dropout."""

import math
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from twins import SMALL, twins

from gpt2.base.errors import UsageError
from gpt2.explain.walk.dropout import walk_dropout
from gpt2.explain.walk.record import Vector
from gpt2.explain.walk.walk import walk
from gpt2.model import GPT2
from gpt2.probe import Probe

IDS = torch.randint(97, (1, 9), generator=torch.Generator().manual_seed(3))
TEXT = IDS[0].tolist()
ALL = range(SMALL.n_layer)


@pytest.fixture(scope="module")
def pair():
    """Ours and transformers', the same random weights in float64."""
    return twins(SMALL, 5, IDS)


@pytest.fixture(scope="module")
def reference(pair):
    """What transformers computes."""
    with torch.no_grad():
        return pair[1](IDS, output_hidden_states=True, output_attentions=True)


@pytest.fixture(scope="module")
def last(pair):
    """The walk of the last position, every block in detail."""
    return walk(pair[0], TEXT, blocks=ALL, target=11, top=4)


def close(ours, theirs, tolerance=1e-11):
    """Equal up to rounding, for vectors, arrays and numbers."""
    ours, theirs = (np.asarray(x.values if isinstance(x, Vector) else x) for x in (ours, theirs))
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("position", [0, 4, len(TEXT) - 1])
def test_stream_pattern_and_logits_are_those_of_transformers(pair, reference, position):
    record = walk(pair[0], TEXT, position=position, blocks=ALL)
    for l, block in enumerate(record.blocks):
        close(block.resid_pre, reference.hidden_states[l][0, position])
        for head in block.detail.attn.heads:
            close(head.pattern, reference.attentions[l][0, head.head, position, : position + 1])
        if l:
            close(record.blocks[l - 1].resid_post, block.resid_pre)
    close(record.final.out, reference.hidden_states[-1][0, position])
    close(record.logits, reference.logits[0, position])
    p = reference.logits[0, position].softmax(0)
    best = p.argsort(descending=True)[:5].tolist()
    assert [c.id for c in record.next] == best
    assert [c.rank for c in record.next] == [1, 2, 3, 4, 5]
    close([c.probability for c in record.next], p[best])
    close([c.logit for c in record.next], reference.logits[0, position, best])


def test_inside_of_a_block_is_plain_arithmetic(pair, last):
    """Each step of block 1 from its input, in numpy, with transformers' weights ([in, out])."""
    weights = {name: value.detach().numpy() for name, value in pair[1].transformer.h[1].named_parameters()}
    D = SMALL.head_dim

    def norm(x, name):
        sigma = np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return (x - x.mean(-1, keepdims=True)) / sigma * weights[f"{name}.weight"] + weights[f"{name}.bias"], sigma

    x = pair[1](IDS, output_hidden_states=True).hidden_states[1][0].detach().numpy()
    normed, sigma = norm(x, "ln_1")
    block, detail = last.blocks[1], last.blocks[1].detail
    close(detail.ln_1.sigma, sigma[-1, 0])
    close(detail.ln_1.mean, x[-1].mean())
    close(detail.ln_1.out, normed[-1])
    q, k, v = np.split(normed @ weights["attn.c_attn.weight"] + weights["attn.c_attn.bias"], 3, axis=1)
    writes = []
    for h, head in enumerate(detail.attn.heads):
        part = slice(h * D, h * D + D)
        close(head.q, q[-1, part])
        close([row.values for row in head.k], k[:, part])
        close([row.values for row in head.v], v[:, part])
        scores = k[:, part] @ q[-1, part] / math.sqrt(D)
        close(head.scores, scores)
        pattern = np.exp(scores) / np.exp(scores).sum()
        close(head.z, pattern @ v[:, part])
        writes.append(pattern @ v[:, part] @ weights["attn.c_proj.weight"][part])
        close(head.write, writes[-1])
    assert detail.attn.followed == (int(np.argmax(np.linalg.norm(writes, axis=1))),)
    close(detail.attn.head_norms, np.linalg.norm(writes, axis=1))
    close(block.attn_out, np.sum(writes, axis=0) + weights["attn.c_proj.bias"])
    mid = x[-1] + block.attn_out.values
    close(block.resid_mid, mid)
    normed, _ = norm(mid, "ln_2")
    close(detail.ln_2.out, normed)
    pre = normed @ weights["mlp.c_fc.weight"] + weights["mlp.c_fc.bias"]
    post = 0.5 * pre * (1 + np.tanh(math.sqrt(2 / math.pi) * (pre + 0.044715 * pre**3)))
    close(detail.mlp.pre, pre)
    close(detail.mlp.post, post)
    assert detail.mlp.positive == (pre > 0).sum()
    norms = abs(post) * np.linalg.norm(weights["mlp.c_proj.weight"], axis=1)
    strongest = np.argsort(-norms)[:4]
    assert [n.index for n in detail.mlp.neurons] == strongest.tolist()
    close([(n.pre, n.post, n.write_norm) for n in detail.mlp.neurons], np.stack([pre, post, norms])[:, strongest].T)
    close(block.mlp_out, post @ weights["mlp.c_proj.weight"] + weights["mlp.c_proj.bias"])


def test_every_sum_on_the_page_adds_up(last):
    for tok, pos, out in zip(last.embed_tok, last.embed_pos, last.embed_out):
        close(tok.values + pos.values, out)
    close(last.embed_out[-1], last.blocks[0].resid_pre)
    for block in last.blocks:
        close(block.resid_pre.values + block.attn_out.values, block.resid_mid)
        close(block.resid_mid.values + block.mlp_out.values, block.resid_post)
        attn, mlp = block.detail.attn, block.detail.mlp
        close(sum(h.write.values for h in attn.heads), attn.heads_sum)
        close(attn.heads_sum.values + attn.bias.values, block.attn_out)
        close(mlp.neurons_sum.values + mlp.bias.values, block.mlp_out)
        for step in (block.detail.ln_1, block.detail.ln_2, last.final):
            close(step.normed.values * step.weight.values + step.bias.values, step.out)
        for head in attn.heads:
            close(head.pattern.sum(), 1.0)
            close(sum(p * v.values for p, v in zip(head.pattern, head.v)), head.z)
            close([head.q.values @ k.values / math.sqrt(SMALL.head_dim) for k in head.k], head.scores)
    best = last.next[0]
    close(last.final.out.values @ last.best_row.values, best.logit)
    close(math.exp(best.logit - last.logsumexp), best.probability)


def test_guesses_are_the_stream_through_the_final_norm_and_the_head(pair, reference, last):
    for l, block in enumerate(last.blocks[:-1]):
        logits = pair[1].lm_head(pair[1].transformer.ln_f(reference.hidden_states[l + 1][0, -1]))
        assert block.guess.id == int(logits.argmax())
        close(block.guess.probability, logits.softmax(0).max().detach())
    assert last.blocks[-1].guess.id == last.next[0].id
    close(last.blocks[-1].guess.probability, last.next[0].probability)


def test_loss_and_its_gradient_are_those_of_autograd(reference, last):
    logits = reference.logits[0, -1].clone().requires_grad_()
    loss = F.cross_entropy(logits[None], torch.tensor([11]))
    loss.backward()
    target = last.target
    close(target.loss, loss.item())
    close(target.probability, math.exp(-loss.item()))
    close(target.gradient, logits.grad)
    assert abs(target.gradient.sum()) < 1e-12
    assert target.rank == 1 + int((logits > logits[11]).sum())
    others = [i for i in logits.grad.argsort(descending=True).tolist() if i != 11][:4]
    assert [i for i, _ in target.pushed_down] == others
    close([g for _, g in target.pushed_down], logits.grad[others])


def test_a_position_sees_nothing_of_what_follows(pair):
    whole, cut = walk(pair[0], TEXT, position=3), walk(pair[0], TEXT[:4])
    np.testing.assert_array_equal(whole.logits, cut.logits)
    assert (whole.position, len(whole.embed_tok), len(whole.ids)) == (3, 4, 9)
    assert whole.following.id == TEXT[4]
    close(whole.following.probability, math.exp(whole.following.logit - whole.logsumexp))
    assert cut.following is None


def test_one_token_attends_to_itself(pair):
    record = walk(pair[0], TEXT[:1])
    assert [head.pattern.tolist() for head in record.blocks[0].detail.attn.heads] == [[1.0]] * SMALL.n_head
    assert len(record.embed_tok) == 1


def test_only_what_is_asked_for_is_kept(pair):
    record = walk(pair[0], TEXT, blocks=[1], heads=[2, 0, 2], top=2)
    assert [block.detail is not None for block in record.blocks] == [False, True, False]
    attn = record.blocks[1].detail.attn
    assert [head.head for head in attn.heads] == [0, 2]
    assert attn.followed == (0, 2)
    assert len(attn.head_norms) == SMALL.n_head
    assert len(record.next) == len(record.blocks[1].detail.mlp.neurons) == 2
    assert record.target is None


def test_the_model_is_left_as_it_was(pair):
    model = GPT2(replace(SMALL, attn_pdrop=0.5)).train()
    model.transformer.h[1].eval()  # a mixture of modes stays one
    before = [module.training for module in model.modules()], torch.get_rng_state()
    one, other = walk(model, TEXT), walk(model, TEXT)
    walk_dropout(model, TEXT)
    np.testing.assert_array_equal(one.logits, other.logits)
    assert [module.training for module in model.modules()] == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert model.transformer.h[0].attn.attn_pdrop == 0.5
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_walk_cannot_be_changed(last):
    with pytest.raises(FrozenInstanceError):
        last.position = 0
    with pytest.raises(ValueError, match="read-only"):
        last.logits[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        last.blocks[0].resid_pre.values[0] = 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_narrow_dtypes_come_near(pair, last, dtype):
    """On a copy: half of the bits, so a hundredth of the logits' spread; fp32 far closer."""
    model = GPT2(SMALL).eval()
    model.load_state_dict(pair[0].state_dict())
    record = walk(model.to(dtype), TEXT)
    assert record.dtype == str(dtype).removeprefix("torch.")
    tolerance = {torch.bfloat16: 0.1, torch.float16: 0.02}.get(dtype, 1e-5)
    assert abs(record.logits - last.logits).max() < tolerance * last.logits.std()


@pytest.mark.parametrize(
    "options, sentence",
    [
        ({"position": 9}, "there is no position 9: this text has positions 0 to 8."),
        ({"position": -10}, "there is no position -10: this text has positions 0 to 8."),
        ({"blocks": [0, 3]}, "there is no block 3: this model has blocks 0 to 2."),
        ({"heads": [3]}, "there is no head 3: each block has heads 0 to 2."),
        ({"target": 97}, "there is no token 97: this model has tokens 0 to 96."),
        ({"top": 0}, "top is 0: show at least 1."),
    ],
)
def test_what_does_not_exist_is_refused(pair, options, sentence):
    with pytest.raises(UsageError) as error:
        walk(pair[0], TEXT, **options)
    assert str(error.value) == sentence


def test_lengths_that_do_not_fit_are_refused(pair):
    with pytest.raises(UsageError, match="has 41 tokens and this model's context is 40: shorten it by 1"):
        walk(pair[0], [1] * 41)
    with pytest.raises(UsageError, match="no tokens"):
        walk(pair[0], [])
    assert walk(pair[0], [1] * 40).position == 39


# Dropout


@pytest.fixture(scope="module")
def dropping():
    """A model with four rates that can be told apart."""
    config = replace(SMALL, embd_pdrop=0.2, attn_pdrop=0.25, resid_pdrop=0.4)
    return twins(config, 6, IDS, torch.float32)[0]


@pytest.mark.parametrize("position", [5, 8])
def test_what_is_kept_is_scaled_and_the_rest_is_zero(dropping, position):
    record = walk_dropout(dropping, TEXT, seed=4, position=position, block=1)
    assert [s.rate for s in record.steps] == [s.configured for s in record.steps] == [0.2, 0.25, 0.4, 0.4]
    assert [s.address for s in record.steps] == ["embed.out", "1.attn.pattern", "1.attn.out", "1.mlp.out"]
    for step in record.steps:
        assert set(step.mask) <= {0.0, 1.0}
        close(step.after, step.before.values * step.mask / (1 - step.rate), 1e-6)
        assert (step.after.values[step.mask == 0] == 0).all()
        assert (step.after.values[step.mask == 1] != 0).all()
        spread = math.sqrt(step.rate * (1 - step.rate) / step.total)
        assert abs(step.dropped / step.total - step.rate) < 4 * spread
    totals = [9 * 24, 3 * 45, 9 * 24, 9 * 24]  # every number of the text; of a pattern only what is not masked
    assert [s.total for s in record.steps] == totals
    assert len(record.steps[1].before.values) == position + 1
    close(record.steps[1].before.values.sum(), 1.0, 1e-6)
    assert record.steps[1].mask.min() == 0  # by default a head is shown that lost something


def test_the_masks_are_those_of_a_real_training_pass(dropping):
    record = walk_dropout(dropping, TEXT, seed=7)
    model = GPT2(dropping.config)
    model.load_state_dict(dropping.state_dict())
    probe = Probe(read=["embed.out", "0.attn.pattern", "0.attn.out", "0.mlp.out", "logits"])
    with torch.random.fork_rng():
        torch.manual_seed(7)
        with torch.no_grad():
            model.train()(IDS, probe=probe)
    for step in record.steps:
        value = probe[step.address][0]
        row = value[-1] if step.head is None else value[step.head, -1]
        np.testing.assert_array_equal(step.after.values, row.double().numpy())
    np.testing.assert_array_equal(record.training[0].logits, probe["logits"][0, -1].double().numpy())


def test_before_dropout_embeddings_are_the_sum_of_both_tables(dropping):
    step = walk_dropout(dropping, TEXT).steps[0]
    table = dropping.transformer
    close(step.before, (table.wte.weight[TEXT[-1]] + table.wpe.weight[len(TEXT) - 1]).detach(), 1e-6)


def test_a_seed_repeats_its_masks_and_modes_differ(dropping):
    one, same, other = (walk_dropout(dropping, TEXT, seed=seed) for seed in (1, 1, 2))
    for a, b in zip(one.steps, same.steps):
        np.testing.assert_array_equal(a.after.values, b.after.values)
    np.testing.assert_array_equal(one.training[1].logits, other.training[0].logits)
    assert one.training_difference > 0.01
    assert one.training_difference == abs(one.training[0].logits - one.training[1].logits).max()
    assert one.evaluation_difference == 0
    close(one.evaluation[0].logits, walk(dropping, TEXT).logits, 1e-4)


def test_a_rate_of_zero_is_shown_on_a_copy_with_a_tenth(dropping):
    config = replace(SMALL, embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.3)
    model = GPT2(config).eval()
    record = walk_dropout(model, TEXT, head=2)
    assert [(s.configured, s.rate) for s in record.steps] == [(0.0, 0.1), (0.0, 0.1), (0.3, 0.3), (0.3, 0.3)]
    assert record.steps[1].head == 2
    assert (model.transformer.drop.p, model.transformer.h[0].attn.attn_pdrop) == (0.0, 0.0)
    assert model.training is False
