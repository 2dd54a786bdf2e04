"""`gpt2 info`: how large a model is, where its parameters lie, what it costs to keep and to run.

In: a model's name. Out: a page of figures, for eyes or as JSON. It reads config.json, the header of the
weights and the tokenizer, so that torch is not needed but for adapters and files of other projects; for the presets
nothing need be on this machine.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from gpt2.base.costs import flops_per_token, n_params, parameter_counts
from gpt2.base.errors import UsageError
from gpt2.base.presets import PRESETS
from gpt2.cli.common import ActivationName, Flag, TokenizerName, print_json, wide_console
from gpt2.cli.console import progress
from gpt2.cli.info_weights import cost_line, quantised_line, stored
from gpt2.config import GPT2Config

BYTES = {"float32": 4, "bfloat16": 2}
BAR = 20  # width of the bar of a share of 100%, in characters


@dataclass
class Command:
    """Configuration, parameters by component, memory and FLOPs of a model.

    The presets (gpt2, gpt2-medium, gpt2-large, gpt2-xl, distilgpt2) need no weights.

    example: gpt2 info gpt2-xl
    """

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[MODEL]")] = "storyteller"
    """The bundled model, a directory, a preset, a Hugging Face id, an adapter, or a file of nanoGPT or llm.c."""
    tokenizer: TokenizerName = None
    """Show the tokenizer in this directory, prepared data set or model."""
    activation: ActivationName = None
    """Take this activation function, such as gelu_new, where the file does not say which."""
    context: Annotated[int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: the model's limit)")] = None
    """How many tokens of text the key/value cache and the FLOPs are for."""
    json: Flag = False
    """Print JSON instead of tables."""

    def run(self) -> None:
        """Gather the figures and print them."""
        with progress(f"reading {self.model}"):
            facts = gather(self.model, self.context, self.tokenizer, self.activation)
        print_json(facts) if self.json else show(facts)


def gather(
    name: str, context: int | None = None, words: str | None = None, activation: str | None = None
) -> dict[str, Any]:
    """All that is shown, as JSON has it; sizes in bytes. ValueError for a model that is not on this machine.

    words, activation  the tokenizer and the activation function to take in place of the model's own
    """
    from gpt2.checkpoint.foreign import say_what_is_assumed
    from gpt2.checkpoint.hf_config import adapter_base, read_config, read_quantisation
    from gpt2.checkpoint.hub import base_directory, own_directory
    from gpt2.checkpoint.layout import HUB_IDS
    from gpt2.checkpoint.off_note import off_in

    preset = next((short for short, hub_id in HUB_IDS.items() if name in (short, hub_id)), None)
    directory: Path | None = None
    base: Path | None = None
    adapter: dict[str, Any] | None = None
    try:
        directory = own_directory(name, download=False)
        base = directory if adapter_base(directory) is None else base_directory(directory, download=False)
        config, variant = read_config(base)
        quantised = None if base.is_file() else read_quantisation(base)
        if base is not directory:
            adapter, config = described(directory, config)
        if base.is_file() and activation is None:
            say_what_is_assumed(base)
    except ValueError:
        if preset is None or directory is not None:
            raise
        config, variant, quantised = PRESETS[preset], None, None
    if activation is not None:
        config = replace(config, activation_function=activation)
    length = config.n_positions if context is None else context
    if not 1 <= length <= config.n_positions:
        raise UsageError(f"--context is {length}: this model takes 1 to {config.n_positions}.")
    cache = 2 * config.n_layer * config.n_embd  # numbers that a token leaves behind: a key and a value per layer
    last, first = flops_per_token(config, length), flops_per_token(config, 1)
    return {
        "model": name,
        "directory": None if directory is None else str(directory),
        "adapter": None if adapter is None else adapter | {"base_directory": str(base)},
        "variant": variant,
        "off": off_in(base) if base else [],
        "quantised": None if quantised is None else asdict(quantised),
        "configuration": asdict(config) | {"n_inner": config.inner_dim},
        "parameters": {"total": n_params(config), "components": parameter_counts(config)},
        "stored": None if directory is None else stored(directory),
        "tokenizer": tokenizer(directory, base, config, words),
        "memory": {
            "weights": {dtype: n_params(config) * size for dtype, size in BYTES.items()},
            "cache_per_token": {dtype: cache * size for dtype, size in BYTES.items()},
            "cache": {dtype: cache * size * length for dtype, size in BYTES.items()},
        },
        "context": length,
        "flops_per_token": {
            "forward_last": last,
            "forward_mean": (first + last) / 2,
            "training_mean": 3 * (first + last) / 2,
        },
    }


def described(directory: Path, base: GPT2Config) -> tuple[dict[str, Any], GPT2Config]:
    """What the adapter in a directory is, and the configuration of the model with it."""
    from gpt2.checkpoint.adapter import read_adapter
    from gpt2.checkpoint.adapter_facts import adapter_facts

    facts = adapter_facts(read_adapter(directory), base)
    return facts.plain() | {"sentence": facts.sentence()}, facts.config


def tokenizer(directory: Path | None, base: Path | None, config: GPT2Config, name: str | None) -> dict[str, Any] | None:
    """Size and identity of the tokenizer that the user names, else of the model's; None where it has none.

    directory, base  of the model; they differ for an adapter
    """
    from gpt2.base.errors import Failure
    from gpt2.checkpoint.tokenizer_of import adapter_tokenizer, asked_tokenizer, tokenizer_for

    try:
        if directory is None or base is None:
            if name is None:
                return None
            found = asked_tokenizer(name)
        elif directory is base:
            found = tokenizer_for(base, config, name)
        else:
            found = adapter_tokenizer(directory, base, config, name)
    except Failure:
        if name is not None:
            raise
        return None
    end = None if found.eot_id is None else found.label(found.eot_id)
    return {"entries": found.vocab_size, "eot": end, "eot_id": found.eot_id, "hash": found.hash}


def show(facts: dict[str, Any]) -> None:
    """Print the page."""
    from rich.text import Text

    out = wide_console()
    config, total = facts["configuration"], facts["parameters"]["total"]
    out.print(Text.assemble((facts["model"], "bold"), f": {total:,} parameters"))
    for label, text in _origin(facts):
        out.print(Text.assemble((f"{label:<11}", "dim"), text), soft_wrap=True)

    rows: list[list[Any]] = [[field, value, meaning] for field, value, meaning in _configuration(config)]
    _table(out, ["configuration", "", ""], "lrl", rows)

    components = facts["parameters"]["components"]
    rows = [[name, f"{n:,}", f"{n / total:.1%}", _bar(n / total)] for name, n in components.items()]
    rows.append(["total", f"{total:,}", "", ""])
    _table(out, ["parameters", "count", "share", ""], "lrrl", rows, bars=True)

    memory, n = facts["memory"], f"{facts['context']:,}"
    labels = {
        "weights": "weights",
        "cache_per_token": "key/value cache, per token",
        "cache": f"the same, {n} tokens",
    }
    rows = [[label, *(size(memory[key][dtype]) for dtype in BYTES)] for key, label in labels.items()]
    _table(out, ["memory", *BYTES], "lrr", rows)

    flops = facts["flops_per_token"]
    _table(
        out,
        ["FLOPs per token", ""],
        "lr",
        [
            [f"forward, as the last of {n}", flop(flops["forward_last"])],
            [f"forward, mean of {n}", flop(flops["forward_mean"])],
            ["training (three times that)", flop(flops["training_mean"])],
        ],
    )


def _origin(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Where the model lies, as (label, text) lines."""
    from gpt2.checkpoint.off_note import off_sentence

    if facts["directory"] is None:
        return [("weights", f"not on this machine: `gpt2 fetch {facts['model']}` downloads them")]
    held, words = facts["stored"], facts["tokenizer"]
    files = held["files"][0] if len(held["files"]) == 1 else f"{len(held['files'])} files"
    where = "file" if Path(facts["directory"]).is_file() else "directory"
    numbers = ", ".join([files, *held["dtypes"], size(held["bytes"])])
    lines = [(where, facts["directory"]), ("weights", numbers)]
    if facts["adapter"] is not None:
        lines.insert(0, ("adapter", facts["adapter"]["sentence"]))
        lines.insert(1, ("base", f"{facts['adapter']['base']}, in {facts['adapter']['base_directory']}"))
    if words is None:
        lines.append(("tokenizer", "none"))
    else:
        end = "no end of text" if words["eot_id"] is None else f"{words['eot']} is {words['eot_id']}"
        lines.append(("tokenizer", f"{words['entries']:,} entries, {end}, hash {words['hash'][:12]}"))
    if facts["quantised"] is not None:
        lines.insert(2, ("quantised", quantised_line(facts["quantised"]["kind"], held["numbers"])))
        if facts["quantised"]["cost"] is not None:
            lines.insert(3, ("cost", cost_line(facts["quantised"]["cost"])))
    if facts["variant"] is not None:
        lines.append(("variant", f"{facts['variant'].get('name')}; the figures are those of a plain GPT-2"))
    return [*lines, ("off", f"{off_sentence(facts['off'])}, folded into the weights")] if facts["off"] else lines


def _configuration(config: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Each field with its value and what it is."""
    sizes = GPT2Config(**config)
    meanings = {
        "vocab_size": "tokens it reads and predicts",
        "n_positions": "tokens it can see at once (its context)",
        "n_embd": "numbers that stand for a token in every layer",
        "n_layer": "blocks, one after the other",
        "n_head": f"attention heads in a block, of {sizes.head_dim} numbers each",
        "n_inner": f"width of the MLP, {sizes.inner_dim / sizes.n_embd:g} times n_embd",
        "activation_function": "GELU in the tanh form" if sizes.activation_function == "gelu_new" else "the MLP's",
        "layer_norm_epsilon": "added to the variance in LayerNorm",
        "embd_pdrop": "dropout after the embeddings, in training",
        "attn_pdrop": "dropout on attention weights",
        "resid_pdrop": "dropout after attention and after the MLP",
        "initializer_range": "standard deviation of fresh weights",
    }
    choices = {
        "scale_attn_weights": "whether scores are divided by the root of a head's width",
        "scale_attn_by_inverse_layer_idx": "whether scores are divided by the block's number as well",
        "tie_word_embeddings": "whether the head is the table of token vectors",
    }
    plain = GPT2Config()
    meanings |= {name: meaning for name, meaning in choices.items() if config[name] != getattr(plain, name)}
    return [
        (name, f"{config[name]:,}" if type(config[name]) is int else str(config[name]), meaning)
        for name, meaning in meanings.items()
    ]


def _table(out: Any, header: list[str], sides: str, rows: list[list[Any]], bars: bool = False) -> None:
    """An empty line, then a table without rules; `sides` has l or r for each column, the last may be bars."""
    from rich.table import Table

    if bars and not out.is_terminal:
        header, rows = header[:-1], [row[:-1] for row in rows]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, (name, side) in enumerate(zip(header, sides), start=1):
        table.add_column(name, justify="right" if side == "r" else "left", no_wrap=place < 3 or bars)
    for row in rows:
        table.add_row(*row)
    out.print()
    out.print(table)


def _bar(share: float) -> Any:
    from rich.text import Text

    return Text("█" * round(share * BAR), "cyan")


def size(n: float) -> str:
    """Bytes in decimal units, three digits: 27.5 MB."""
    return _scaled(n, ("B", "kB", "MB", "GB", "TB"))


def flop(n: float) -> str:
    """FLOPs in decimal units: 247 MFLOP."""
    return _scaled(n, ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP"))


def _scaled(n: float, units: tuple[str, ...]) -> str:
    power = 0
    while n >= 999.5 and power < len(units) - 1:
        n, power = n / 1000, power + 1
    digits = 0 if n >= 99.95 or power == 0 else 1 if n >= 9.995 else 2
    return f"{n:.{digits}f} {units[power]}"
