"""What version 0.1 wrote is found, opened and continued, whatever settings came after it."""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest

from gpt2.ablation.study import Job, load_study
from gpt2.base.errors import UsageError
from gpt2.base.presets import PRESETS
from gpt2.checkpoint import load
from gpt2.config import GPT2Config
from gpt2.data.prepare import prepare
from gpt2.text.tokenizer import Tokenizer
from gpt2.training import recipe_file
from gpt2.training.identity import VERSION_0_1, identity
from gpt2.training.loop import TrainingRun
from gpt2.training.recipe import DataRecipe, ModelRecipe, Recipe
from gpt2.training.run import resume as comparison
from gpt2.training.run.going_on import resumed_recipe
from gpt2.training.run.metrics import read_metrics
from gpt2.training.run.resume import changed_fields
from gpt2.training.run.runner import resume, train
from gpt2.training.run.start import UNSEALED

ROOT = Path(__file__).parents[2]
OLD = ROOT / "tests" / "fixtures" / "version_0_1"
COMMITTED = {"minute": 406, "gpu": 88, "gpu-small": 88}


# a later version, with one more setting of the model, one more section, and one more field of the configuration


@dataclass(frozen=True)
class LaterConfig(GPT2Config):
    rotary: bool = False


@dataclass(frozen=True)
class LaterModel(ModelRecipe):
    rotary: bool = False

    def config(self, vocab_size: int) -> LaterConfig:
        return LaterConfig(**asdict(super().config(vocab_size)), rotary=self.rotary)


@dataclass(frozen=True)
class Averaging:
    rate: float = 0.0


@dataclass(frozen=True)
class LaterRecipe(Recipe):
    model: LaterModel = field(default_factory=LaterModel)
    averaging: Averaging = field(default_factory=Averaging)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_file, "Recipe", LaterRecipe)
    monkeypatch.setattr(comparison, "Recipe", LaterRecipe)


# the keys of results


def found(name: str) -> int:
    """How many of a study's committed results still have the key of the run that they are of."""
    study = load_study(ROOT / "recipes" / "ablation" / f"{name}.toml")
    lines = (ROOT / "results" / "ablation" / f"{name}.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    jobs = [(r["key"], Job(**{name: r[name] for name in Job.__dataclass_fields__})) for r in records]
    assert len({key for key, _ in jobs}) == len(lines)
    return sum(job.key(study) == key for key, job in jobs)


@pytest.mark.parametrize("name", COMMITTED)
def test_every_committed_result_is_found(name: str) -> None:
    assert found(name) == COMMITTED[name]


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("name", COMMITTED)
def test_every_committed_result_is_found_after_settings_were_added(name: str) -> None:
    study = load_study(ROOT / "recipes" / "ablation" / f"{name}.toml")
    recipe = study.recipe("baseline")
    assert isinstance(recipe, LaterRecipe)
    assert recipe.model.config(vocab_size=9) == LaterConfig(
        9, recipe.model.n_positions, recipe.model.n_embd, recipe.model.n_layer, recipe.model.n_head,
        embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0,
    )  # fmt: skip
    assert found(name) == COMMITTED[name]


@pytest.mark.usefixtures("later")
def test_a_setting_that_came_later_changes_the_key_once_it_is_set(tmp_path: Path) -> None:
    text = (ROOT / "recipes" / "ablation" / "minute.toml").read_text()

    def key(contestant: str) -> str:
        (tmp_path / "study.toml").write_text(f"{text}\n[contestants.other]\nexpect = '>= 0'\n{contestant}\n")
        return Job("other", "report", 0).key(load_study(tmp_path / "study.toml"))

    plain = key("")
    assert key("set.model.rotary = false") == key("set.averaging.rate = 0.0") == plain
    others = ("set.model.rotary = true", "set.averaging.rate = 0.5", "set.averaging.rate = 0.25")
    assert len({plain, *map(key, others)}) == 4


def test_only_what_differs_from_its_default_is_added_to_the_settings_of_version_0_1() -> None:
    assert identity(LaterRecipe()) == identity(Recipe()) == VERSION_0_1
    recipe = LaterRecipe(model=LaterModel(n_layer=3, rotary=True), averaging=Averaging(0.5))
    assert identity(recipe) == VERSION_0_1 | {
        "model": VERSION_0_1["model"] | {"n_layer": 3, "rotary": True}, "averaging": {"rate": 0.5},
    }  # fmt: skip


# the defaults of version 0.1


def test_the_settings_of_version_0_1_and_their_defaults_stay() -> None:
    text = json.dumps(VERSION_0_1, sort_keys=True)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "d48aad403702a0d9"
    today = asdict(Recipe())
    for section, settings in VERSION_0_1.items():
        assert {name: today[section][name] for name in settings} == settings


def test_the_sizes_of_version_0_1_stay() -> None:
    small = {
        "vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": None,
        "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5, "embd_pdrop": 0.1, "attn_pdrop": 0.1,
        "resid_pdrop": 0.1, "initializer_range": 0.02,
    }  # fmt: skip
    sizes = {
        "gpt2": {}, "gpt2-medium": {"n_layer": 24, "n_head": 16, "n_embd": 1024},
        "gpt2-large": {"n_layer": 36, "n_head": 20, "n_embd": 1280},
        "gpt2-xl": {"n_layer": 48, "n_head": 25, "n_embd": 1600}, "distilgpt2": {"n_layer": 6},
    }  # fmt: skip
    for name, changes in sizes.items():
        config = asdict(PRESETS[name])
        assert {field: config[field] for field in small} == small | changes


# a run that version 0.1 began


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run of version 0.1, and its data beside it."""
    (tmp_path / "text.txt").write_text("The cat sat on the mat. The dog sat on the log. " * 8)
    prepare([tmp_path / "text.txt"], tmp_path / "set", Tokenizer.bytes())
    shutil.copytree(OLD / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(comparison, "LAST_BITS", ())  # another machine than the one that wrote it
    return Path("run")


def numbers(path: Path) -> list[float]:
    """What each step logged."""
    return [
        event[name] for event in read_metrics(path) if "loss" in event for name in ("step", "loss", "grad_norm", "lr")
    ]


def test_a_run_of_version_0_1_goes_on(run: Path) -> None:
    """As if it had not been stopped; but the last digits are those of the machine that computes them."""
    going_on = TrainingRun(resumed_recipe(run))
    assert resume(going_on, run) == [UNSEALED.format(run / "checkpoints/step-000002")]
    assert train(going_on, run).done
    never_stopped = numbers(OLD / "metrics.jsonl")
    assert len(never_stopped) == 4 * 4
    assert numbers(run / "metrics.jsonl") == pytest.approx(never_stopped, rel=1e-4)
    assert load(str(run / "model")).model.config.n_embd == 8


@pytest.mark.usefixtures("later")
def test_a_run_of_version_0_1_goes_on_after_settings_were_added(run: Path) -> None:
    recipe = resumed_recipe(run)
    assert isinstance(recipe, LaterRecipe)
    assert resume(TrainingRun(recipe), run) == [UNSEALED.format(run / "checkpoints/step-000002")]
    changed = replace(recipe, averaging=Averaging(0.5))
    with pytest.raises(UsageError, match=r"averaging\.rate was 0\.0 and is now 0\.5\."):
        resume(TrainingRun(changed), run)


def test_a_setting_that_was_taken_away_counts_as_its_default_of_version_0_1(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class WithoutData:
        model: ModelRecipe = field(default_factory=ModelRecipe)

    monkeypatch.setattr(comparison, "Recipe", WithoutData)
    assert changed_fields(asdict(Recipe()), asdict(WithoutData())) == {}
    old = asdict(Recipe(data=DataRecipe(document_mask=True)))
    assert list(changed_fields(old, asdict(WithoutData()))) == ["data.document_mask"]
