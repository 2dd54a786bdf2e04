"""What the tests of generation share: a model whose next token depends on its text, a loop without cache."""

import functools
import random

import torch

from gpt2.config import GPT2Config
from gpt2.inference.generate import generate
from gpt2.inference.sampling import Sampling, choose
from gpt2.model import GPT2
from gpt2.probe import Probe
from gpt2.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer.bytes()
EOT = TOKENIZER.eot_id
GREEDY = {"temperature": 0.0}


@functools.cache
def make(context=48, dtype=torch.float64, seed=0, layers=2):
    """A model whose next token depends on its text: random weights far larger than those of initialisation."""
    config = GPT2Config(vocab_size=257, n_positions=context, n_embd=32, n_layer=layers, n_head=4)
    model = GPT2(config, seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += (0.5 if parameter.dim() > 1 else 0.1) * torch.randn(parameter.shape, generator=generator)
    return model.to(dtype)


def prompts_of(lengths, seed=0):
    source = random.Random(seed)
    return [[source.randrange(256) for _ in range(n)] for n in lengths]


def loop(model, prompt, sampling, sample=0, edit=None):
    """The same generation without a cache: every step computes the whole window of one text."""
    ids, start, context = list(prompt), 0, model.config.n_positions
    logits = []
    with torch.no_grad():
        for _ in range(sampling.max_tokens):
            if len(ids) - start > context:
                start = len(ids) - max(1, context // 2)
            probe = Probe(edit=edit) if edit else None
            logits.append(model(torch.tensor([ids[start:]]), probe=probe)[:, -1].float())
            ids += choose(logits[-1], [ids], [sample], sampling)
            if ids[-1] == EOT:
                break
    return ids[len(prompt) :], torch.cat(logits)


def script(text):
    """An edit with which the model says this text by position, one byte a token, then `<|endoftext|>`."""
    ids = torch.tensor([*TOKENIZER.encode(text), *[EOT] * 300])

    def logits(x, at):
        return 50.0 * torch.nn.functional.one_hot(ids[at.positions + 1], x.size(-1)).to(x)

    return {"logits": logits}


def say(text, **options):
    """Generate with `script` from a prompt of one token."""
    model = make(200)
    ((completion,),) = generate(model, TOKENIZER, [[0]], Sampling(**GREEDY | options), edit=script(text))
    return completion


PURE = {"temperature": 1.0, "top_p": 1.0}  # the model's own distribution


def random_logits(rows, vocab, scale=3.0, seed=0):
    return scale * torch.randn(rows, vocab, generator=torch.Generator().manual_seed(seed))


def texts_of(lengths):
    """Texts of which only the length matters."""
    return [range(n) for n in lengths]
