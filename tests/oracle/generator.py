"""Case `number` of a seed: draw config.json, weights, tokenizer, generation_config.json and perhaps an adapter."""

import contextlib
from pathlib import Path
from typing import Any

from tests.oracle import adapters, configs, generations, layouts, tokens
from tests.oracle.draws import ODDS, WILD, Case, take_turns
from tests.oracle.reference import continuation

DECK = [
    *(f"config.{name}" for name in configs.ODD),
    *(f"weights.{name}" for name in layouts.ODD),
    *(f"tokenizer.{name}" for name in tokens.ODD),
    *(f"adapter.{name}" for name in adapters.ODD),
]
ADAPTERS = 0.35  # of the cases without an odd adapter
BESIDE = {
    "README.md": "# A model\n",
    "training_args.bin": "not a checkpoint",
    "vocab.bpe": "",
    "optimizer.pt": "",
    "trainer_state.json": "{}",
    "tf_model.h5": "",
    ".gitattributes": "*.bin filter=lfs\n",
    "events.out.tfevents": "",
    "notes.safetensors.txt": "x",
}


def wild(number: int) -> int | None:
    """The how-manieth case with odd fields this one is, or None."""
    before, now = int(number * WILD), int((number + 1) * WILD)
    return before if now > before else None


def cards(seed: int, number: int) -> list[str]:
    """The odd fields whose turn it is in this case."""
    turn = wild(number)
    return [] if turn is None else take_turns(DECK, turn + 1000 * seed, ODDS)


def build(seed: int, number: int, directory: Path) -> Case:
    """Write the files of one case into an empty directory."""
    case = Case(seed, number, directory)
    odd = cards(seed, number)

    def of(part: str) -> list[str]:
        return [name.removeprefix(f"{part}.") for name in odd if name.startswith(f"{part}.")]

    vocab_size = tokens.draw_tokenizer(case, of("tokenizer"))
    config = configs.draw_config(case, vocab_size)
    layouts.write_weights(case, config, configs.truth(config), of("weights"))
    case.write("config.json", config)
    generation = generations.draw_generation(case, number)
    if generation is not None:
        case.write("generation_config.json", generation)
    aim(case, config, generation)
    for name, content in BESIDE.items():
        if case.chance(0.08):
            case.note("beside", name, True)
            case.write(name, content)
    if of("adapter") or case.chance(ADAPTERS):
        with contextlib.suppress(Exception):  # a base that transformers refuses has no adapter
            adapters.draw_adapter(case, of("adapter"))
    case.write("config.json", configs.spoil(case, config, of("config")))
    return case


def aim(case: Case, config: dict[str, Any], generation: dict[str, Any] | None) -> None:
    """Make most ends tokens that the model comes to: a random end is never reached."""
    ends = [fields for fields in (config, generation) if fields and fields.get("eos_token_id")]
    if not ends or case.chance(0.2):
        return
    with contextlib.suppress(Exception):
        coming = continuation(case)
        for fields in ends:
            token, end = case.pick(coming[1:7]), fields["eos_token_id"]
            if isinstance(end, int | list):
                fields["eos_token_id"] = token if isinstance(end, int) else [*end[:-1], token]
        case.write("config.json", config)
        if generation is not None:
            case.write("generation_config.json", generation)
