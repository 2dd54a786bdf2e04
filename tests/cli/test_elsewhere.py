"""An option of another program is answered with ours: with one that the command really has."""

from dataclasses import fields

import pytest

from gpt2.cli.elsewhere import _ANSWERS, COMMAND, OPTION, TABLE, answer
from gpt2.cli.explain.command import ANALYSES
from gpt2.cli.main import COMMANDS, main
from gpt2.cli.parsing import Known
from gpt2.inference.sampling import Sampling
from tests.cli.test_parsing import RECIPE


def test_a_name_stands_once() -> None:
    names = [name for names in TABLE for name in names.split()]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def knowns() -> list[tuple[str, Known]]:
    """What may be typed for each command, and for each analysis of `explain`."""
    from importlib import import_module

    homes = [(name, module, "Command") for name, (module, _) in COMMANDS.items()]
    homes += [(f"explain {name}", module, kind) for name, (module, kind, _) in ANALYSES.items()]
    return [(name, Known.of(getattr(import_module(module), kind), COMMANDS)) for name, module, kind in homes]


def test_every_answer_names_options_of_the_command() -> None:
    everywhere = {option for _, known in knowns() for option in known.options}
    asked = {option for answers in _ANSWERS.values() for text in answers for option in OPTION.findall(text)}
    assert asked - everywhere == set()
    for name, known in knowns():
        for typed in _ANSWERS:
            said = answer(f"--{typed}", known.options, known.places, COMMANDS, f"gpt2 {name}")
            assert {*OPTION.findall(said)} <= {*known.options}, (name, typed, said)
            assert {*COMMAND.findall(said)} <= {*COMMANDS}, (name, typed, said)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("finetune x.txt --learning-rate 1e-4", "RATE."),
        ("finetune x.txt --num_train_epochs=3", "there is no option --num_train_epochs: write --epochs N."),
        ("finetune x.txt --output_dir y", "there is no option --output_dir: write --out DIR."),
        ("finetune x.txt --per_device_train_batch_size 8", "write --batch-size N."),
        ("finetune --dataset x.txt", "the file stands without an option: gpt2 finetune FILE."),
        ("finetune x.txt --model_name_or_path gpt2", "write --model MODEL."),
        ("finetune x.txt --steps 9", "write --epochs N, a number of passes over the text, such as 3"),
        ("finetune x.txt --warmup-ratio 0.1", "--optim.warmup-steps N, a whole number; without it a tenth of the"),
        ("finetune x.txt --response-column a", 'rename the fields in the file: what is asked to "prompt", and the'),
        ("finetune x.txt --freeze 1", "no block is frozen here; --lora RANK leaves all weights"),
        ("finetune x.txt --adapter runs/a", "there is no option --adapter: write --model runs/a/model --lora RANK."),
        ("generate x --lora runs/a", "write --model runs/a/model alone: an adapter is a model, and names its base"),
        ("score x --lora-path=a", "there is no option --lora-path: write --model a/model alone: an adapter is a"),
        ("info --adapter a", "stands without an option: type `gpt2 info a/model`."),
        ("chat --seed 3 --prompt Hi", "or pipe it in: `printf '%s\\n' Hi | gpt2 chat --seed 3`."),
        ("chat --message=Hi", "or pipe it in: `printf '%s\\n' Hi | gpt2 chat`."),
        ("chat --system_prompt x", "there is no option --system_prompt: write --system TEXT."),
        (f"train {RECIPE} --epochs", "write --train.steps N, a number of steps: the first line of a run says how many"),
        ("finetune x.txt -p hi", "there is no option -p: write --prompt TEXT."),
        ("generate x --num-beams 4", "beams are not built; --n N draws several texts."),
        ("generate --prompt x", 'the text stands without an option, in quotes: gpt2 generate "Once upon a time".'),
        ("generate -p x", 'there is no option -p: the text stands without an option, in quotes: gpt2 generate "Once'),
        ("generate x -n 5", "there is no option -n: write --max-tokens N, the most tokens that are added."),
        ("generate x --max_new_tokens=5", "write --max-tokens N"),
        ("generate x --greedy", "write --temperature 0, which takes the likeliest token each time."),
        (
            "generate x --do_sample",
            "write --temperature X, which draws where X is above 0; with 0 the likeliest token is taken.",
        ),
        ("score items.csv --text-field body", "write --field NAME."),
        ("finetune x.csv --text_column body", "write --field NAME."),
        (
            "chat Hello",
            "unrecognised: Hello; type the message at the prompt of `gpt2 chat`, or pipe it in: printf '%s\\n' "
            "Hello | gpt2 chat",
        ),
        ("generate x -t 4", "write OMP_NUM_THREADS=N before the command."),
        (
            "generate --hello",
            "`gpt2 generate --help` lists the options; if it is the text, type `gpt2 generate -- --hello`.",
        ),
        ("generate Hi --eos-token x", "there is no option --eos-token: write --stop TEXT."),
        ("tokenize hi --ids", "there is no option --ids: the ids of a text are shown without any option; ids become"),
        ("export storyteller x --kind mean", "--kind is about what is switched off: name that with --off, or leave"),
        ("quantise storyteller x --precision int2", "--precision is 'int2': choose int8 or int4."),
        ("explain attention x --head 3", "'3' is no address: a head is 0.head.3, what block 3 gives is 3.resid_post."),
        ("generate x -m gpt2", "there is no option -m: write --model MODEL."),
        ("generate x temperature=0.5", "unrecognised: temperature=0.5; did you mean --temperature?"),
        ("generate x --no-cache", "keys and values are always kept"),
        ("info -m storyteller", "the model stands without an option: gpt2 info storyteller."),
        ("export storyteller --out x", "the directory stands without an option: gpt2 export MODEL DIR."),
        ("eval x.txt --max_length 5", "write --context N."),
        ("eval x.txt --tasks lambada", "did you mean --task?"),
        ("next x --temperature 0.5", "`gpt2 generate` has it: type `gpt2 generate x --temperature 0.5`."),
        (
            "generate x --logit-bias 262=-100",
            "logit_bias is a setting of gpt2.Sampling in Python, as in gpt2.generate(m",
        ),
        ("chat --logit_bias 262=-100", "and of a request to `gpt2 serve`."),
        (
            "explain heads --head 3.head.1",
            "there is no option --head: leave it out, the table has a row for each head, or type `gpt2 explain "
            "attention TEXT --head 3.head.1`, which has it.",
        ),
        ("explain positions --head=1.head.2", "so leave it out, or type `gpt2 explain attention TEXT --head 1.head.2`"),
        ("eval --tasks lambada_openai x.jsonl", "there is no option --tasks: type `gpt2 eval --task lambada x.jsonl`."),
        ("generate x --lr 1", "there is no option --lr: `gpt2 finetune` has it; `gpt2 generate --help` lists"),
        ("generate x --history y", "there is no option --history: `gpt2 generate --help` lists the options."),
        ("next x --target y", "`gpt2 score` gives the probability of every token"),
        ("score x --perplexity", "the perplexity: type `printf %s x | gpt2 eval -`."),
        ("score README.md --perplexity", "the perplexity: type `gpt2 eval README.md`."),
        ("prepare x.txt --out d --val-fraction 0.1", "prepare that one too: `gpt2 prepare val.txt --out data/val`."),
        (
            "finetune x.txt --val-fraction 0.1",
            "--val FILE, or leave it out: without it a tenth of the rows is held out.",
        ),
        ("explain attention x --layer 3", "write --head 3.head.*, all heads of block 3."),
        ("explain x --layer 3", "type `gpt2 explain lens x`."),
        ("prepare x.txt --device cuda", "nothing is computed on a GPU here, so leave it out."),
        (
            "eval --task blimp b.jsonl",
            "--task is 'blimp': minimal pairs are judged by `gpt2 score`: type `gpt2 score -",
        ),
        ("eval --task wikitext a.txt", "that is a text: type `gpt2 eval a.txt`."),
        ("eval the_cat", "type `printf %s the_cat | gpt2 eval -`."),
        ("score x --context y", "and type `gpt2 score --context-file items.jsonl`."),
        ("prepare README.md --out d --tokenizer char", "--tokenizer is 'char': write --tokenizer bytes, which"),
        ("train poems.txt", "`gpt2 prepare poems.txt --out data/poems`, and then `gpt2 train RECIPE.toml --data.train"),
        ("train storyteller", "`gpt2 train RECIPE.toml --train.init storyteller`."),
        ("train recipes/storyteller", "did you mean `gpt2 train recipes/storyteller.toml`?"),
        (
            f"train {RECIPE} --data.train README.md",
            "type `gpt2 prepare README.md --out data/README`, and then give --d",
        ),
        (f"train {RECIPE} --compile=False", "did you mean --train.no-compile?"),
        (f"train {RECIPE} --compile", "did you mean --train.compile?"),
        (f"train {RECIPE} --no-compile", "did you mean --train.no-compile?"),
        (f"train {RECIPE} batch_size=32", "unrecognised: batch_size=32; did you mean --train.batch-size?"),
        (f"train {RECIPE} --learning_rate=3e-4", "write --optim.lr RATE."),
        (f"train {RECIPE} --train.lr 1e-3", "there is no option --train.lr: did you mean --optim.lr?"),
        (
            f"train {RECIPE} --train.learning_rate 1e-3",
            "there is no option --train.learning_rate: write --optim.lr RATE",
        ),
        (f"train {RECIPE} --optim.batch_size=4", "there is no option --optim.batch_size: did you mean --train.batch-"),
        (f"train {RECIPE} --model.block_size=4", "there is no option --model.block_size: write --train.context N."),
        (f"train {RECIPE} --train.num_layers=4", "there is no option --train.num_layers: write --model.n-layer N."),
        (f"train {RECIPE} --optim.betas 0.9", "there is no option --optim.betas: write --optim.beta1 X and --optim.be"),
        ("finetune x.txt --train.learning_rate 1e-3", "write --optim.lr RATE."),
        (f"train {RECIPE} --max_iters=50", "write --train.steps N."),
        (f"train {RECIPE} --out_dir=x", "there is no option --out_dir: write --out DIR."),
        (f"train {RECIPE} --block_size=64", "write --train.context N."),
        (f"train {RECIPE} --init_from=gpt2", "write --train.init MODEL."),
        (f"train {RECIPE} --dataset=x", "write --data.train DIR."),
        (f"train {RECIPE} --wandb_log=True", "`gpt2 runs` draws the curves too."),
    ],
)
def test_one_sentence(line: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line.split()) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert sentence in shown.err
    assert shown.err.count("\n") == 1


def test_every_option_that_does_not_exist_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main("generate x --num-beams 4 --temp 0.5 --zzz".split()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1].strip() for line in lines] == [
        "there is no option --num-beams", "there is no option --temp", "there is no option --zzz"
    ]  # fmt: skip
    assert all(line.startswith("gpt2: ") for line in lines)


def test_every_setting_of_sampling_is_an_option_or_has_an_answer() -> None:
    known = dict(knowns())["generate"]
    for name in (field.name for field in fields(Sampling)):
        typed = f"--{name.replace('_', '-')}"
        assert known.has(typed) or answer(typed, known.options, known.places, COMMANDS, "gpt2 generate"), name
