"""A variant in a file of one's own: a study trains it, a report shows it, and its checkpoint opens with that file."""

import pickle
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from gpt2 import GPT2, GPT2Config, load
from gpt2.ablation.models import VARIANTS, build, read_variants
from gpt2.ablation.report.code import code
from gpt2.ablation.study import Job, Study, load_study
from gpt2.ablation.trial import try_variants
from gpt2.ablation.variants import leave_out_norms
from gpt2.base.errors import UsageError
from gpt2.checkpoint.files import load_model, save
from gpt2.cli.main import main

CONFIG = GPT2Config(vocab_size=61, n_positions=16, n_embd=24, n_layer=2, n_head=3)
IDS = torch.arange(12).view(1, 12) * 7 % 61
OWN = '''
from dataclasses import dataclass
import torch
from gpt2 import GPT2
from gpt2.ablation.variants import NoNorm, leave_out_norms, variant


@variant("sine")
def use_sine(model: GPT2) -> None:
    """The sine in place of GELU."""
    for block in model.transformer.h:
        block.mlp.activation = sine


def sine(x):
    return amplitude.value * torch.sin(x)


@dataclass
class Amplitude:
    value: float


amplitude = Amplitude(1.0)


@variant("late-tie")
class Late(GPT2):
    """The head is the table of tokens, upside down."""

    def tie_weights(self) -> None:
        """It starts as itself."""
'''
STUDY = """
[study]
variants = "own.py"
seeds = [0, 1]
[baseline]
model = { n_layer = 1, n_head = 2, n_embd = 16, n_positions = 16 }
data = { train = ["a"], val = ["a"] }
[contestants.sine]
variant = "sine"
expect = ">= 0"
[contestants.relu]
variant = "relu"
expect = ">= 0"
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path / "own.py"


def study(folder: Path, text: str = STUDY) -> Study:
    (folder / "study.toml").write_text(text)
    return load_study(folder / "study.toml")


def test_a_file_holds_what_stands_under_the_decorator_in_it(own: Path) -> None:
    """Not what it imports: leave_out_norms is a variant of the project's."""
    known = read_variants(own)
    assert set(known) - set(VARIANTS) == {"sine", "late-tie"}
    assert known["no-norm"] is leave_out_norms
    assert read_variants() == VARIANTS
    assert read_variants(own)["sine"] is known["sine"]  # read again, and not run again
    own.write_text(OWN.replace("Amplitude(1.0)", "Amplitude(2.0)"))
    assert read_variants(own)["sine"] is not known["sine"]


def test_it_is_built_from_the_plain_model_s_values(own: Path) -> None:
    plain, changed = GPT2(CONFIG, seed=3), build(CONFIG, {"name": "sine"}, 3, own).eval()
    assert all(torch.equal(p, q) for p, q in zip(plain.parameters(), changed.parameters(), strict=True))
    x = torch.randn(3, 24)
    got = changed.transformer.h[1].mlp.activation(x)
    assert torch.equal(got, x.sin())


def test_its_checkpoint_opens_with_its_file_alone(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = load("storyteller").tokenizer
    model = build(replace(CONFIG, vocab_size=tokenizer.vocab_size), {"name": "late-tie"}, file=own).eval()
    saved = save(model, tokenizer, tmp_path / "model")
    again = load_model(saved, build=partial(build, file=own))
    assert torch.equal(again(IDS), model(IDS))
    assert again.variant == {"name": "late-tie", "arguments": {}}
    with pytest.raises(UsageError, match=r"no variant 'late-tie': .*build=partial\(build, file='FILE\.py'\)"):
        load_model(saved, build=build)
    assert main(["next", "a", "--model", str(saved)]) == 2
    err = capsys.readouterr().err
    assert "no variant 'late-tie'" in err
    assert err.count("\n") == 1


def test_a_study_knows_the_variants_of_its_file(own: Path, tmp_path: Path) -> None:
    s = study(tmp_path)
    assert pickle.loads(pickle.dumps(s)) == s  # as it goes to the processes that train
    assert s.variants == own
    shown = code(s)
    assert '@variant("sine")\ndef use_sine(model: GPT2) -> None:' in shown
    assert "def sine(x):" in shown
    assert "class Late" not in shown
    with pytest.raises(UsageError, match=r"has the variant 'sine': choose among sinusoidal-positions, "):
        study(tmp_path, STUDY.replace('variants = "own.py"', ""))


def test_another_code_is_another_run(own: Path, tmp_path: Path) -> None:
    """Results of the file as it was before would be taken for those of the file as it is."""
    before = {name: Job(name, "report", 0).key(study(tmp_path)) for name in ("baseline", "sine", "relu")}
    own.write_text(OWN.replace("Amplitude(1.0)", "Amplitude(2.0)"))
    after = {name: Job(name, "report", 0).key(study(tmp_path)) for name in ("baseline", "sine", "relu")}
    assert {name for name in before if before[name] != after[name]} == {"sine"}
    without = study(tmp_path, STUDY.replace('variants = "own.py"', "").replace('"sine"', '"no-mlp"'))
    assert Job("relu", "report", 0).key(without) == after["relu"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "there is no Python file .*own.py"),
        ("x = 1\n", "holds no variant: write @variant"),
        ("x = (\n", "own.py cannot be run: SyntaxError: '\\(' was never closed"),
        ("import numpie\n", "own.py cannot be run: ModuleNotFoundError: No module named 'numpie'"),
        (OWN.replace('"sine"', '"relu"'), "'relu' is a variant of the project's: give it another name"),
        (OWN.replace('"late-tie"', '"sine"'), "two variants called 'sine'"),
    ],
)
def test_a_wrong_file_is_refused(text: str | None, says: str, own: Path, tmp_path: Path) -> None:
    own.unlink() if text is None else own.write_text(text)
    with pytest.raises(UsageError, match=says):
        study(tmp_path)


def test_what_contributing_shows_can_be_done(tmp_path: Path) -> None:
    """Its two files as they stand there, and the study that it says to begin with."""
    root = Path(__file__).parents[2]
    section = (root / "CONTRIBUTING.md").read_text("utf-8").partition("## Add a variant")[2].partition("\n## ")[0]
    shown = dict(re.findall(r"^```(py|toml)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))
    assert sum(bool(line) for text in shown.values() for line in text.splitlines()) <= 12
    (tmp_path / "leaky.py").write_text(shown["py"])
    minute = (root / "recipes" / "ablation" / "minute.toml").read_text("utf-8")
    own, bracket, contestant = shown["toml"].partition("[contestants")
    s = study(tmp_path, minute.replace("[study]\n", own, 1) + bracket + contestant)
    model = build(CONFIG, {"name": s.contestants["leaky-relu"].variant}, file=s.variants)
    x = torch.randn(3, 24)
    assert torch.equal(model.transformer.h[0].mlp.activation(x), F.leaky_relu(x))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("block.mlp.activation = sine", "block.mpl.activation = sine", "cannot be built: AttributeError: .*'mpl'"),
        ("amplitude.value *", "amplitude.size *", "cannot be run: AttributeError: .*'size'"),
        ("amplitude.value * torch.sin(x)", "x[:, 1:]", "cannot be run: RuntimeError: "),
        ("amplitude.value * torch.sin(x)", "x.detach().numpy()", "cannot be run: TypeError: "),
    ],
)
@pytest.mark.parametrize("plan", [["--plan"], []])
def test_a_broken_variant_is_found_before_anything_is_trained(
    old: str, new: str, says: str, plan: list[str], own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own.write_text(OWN.replace(old, new))
    study(tmp_path)
    results = tmp_path / "results.jsonl"
    assert main(["ablate", str(tmp_path / "study.toml"), "--results", str(results), *plan]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"gpt2: sine: the variant 'sine' {says}.* Mend it first\.\n", err)
    assert not results.exists()


def test_the_plan_of_a_study_that_works(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study(tmp_path)
    assert main(["ablate", str(tmp_path / "study.toml"), "--plan"]) == 0
    assert "0 runs done" in capsys.readouterr().out
    tie = "def tie_weights(self)"
    own.write_text(OWN.replace(tie, f"def head(self, x, here):\n        return x\n\n    {tie}"))
    s = study(tmp_path, STUDY.replace('variant = "relu"', 'variant = "late-tie"'))
    with pytest.raises(UsageError, match=r"relu: the variant 'late-tie' gives logits \[1, 8, 16\], not \[B, T, V\] = "):
        try_variants(s, s.contestants)
