"""A checkpoint is a directory in Hugging Face's format: load any GPT-2 from one, save ours as one.

In: a name (bundled model, directory, hub id, adapter, file). Out: the model in eval mode with its tokenizer; or, when
saving, config.json, generation_config.json, model.safetensors and the tokenizer's files, which `transformers`
and vLLM load. It reads names with or without `transformer.`, safetensors or .bin, whole or in shards.
torch is imported when weights are, not before. Read next: inference/ or training/.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from gpt2.base.notes import note
from gpt2.checkpoint.foreign import foreign_tensors, say_what_is_assumed
from gpt2.checkpoint.hf_config import (
    CONFIG_FILE,
    GENERATION_FILE,
    adapter_base,
    read_config,
    read_quantisation,
    read_settings,
    settings_of,
    weight_files,
)
from gpt2.checkpoint.hub import base_directory, model_directory, own_directory
from gpt2.checkpoint.layout import WEIGHT_FILES
from gpt2.checkpoint.off_note import OFF, off_entries
from gpt2.checkpoint.quantisation import quantisation_of
from gpt2.checkpoint.target import check_target, whole_directory
from gpt2.checkpoint.tokenizer_of import adapter_tokenizer, tokenizer_for
from gpt2.config import GPT2Config

if TYPE_CHECKING:
    import torch
    from torch import nn

    from gpt2.model import GPT2
    from gpt2.text.tokenizer import Tokenizer

__all__ = ["Checkpoint", "load", "load_model", "model_directory", "save"]

# build(config) makes a plain GPT-2, build(config, variant={"name", "arguments"}) what config.json names.
Builder = Callable[..., "GPT2"]


class Checkpoint(NamedTuple):
    """What `load` returns: `model, tokenizer, *_ = checkpoint` takes it apart.

    model      a GPT2 in eval mode
    tokenizer  the tokenizer that belongs to it
    name       what it was asked for by
    directory  where its files lie; the file, where a file is the whole checkpoint
    """

    model: "GPT2"
    tokenizer: "Tokenizer"
    name: str
    directory: Path

    def __getattr__(self, name: str) -> Any:
        """Always an AttributeError, which says whose name it is: the model's, the tokenizer's, or another library's."""
        from gpt2.base.habits import MODEL, TOKENIZER, hint

        said = hint(MODEL, name, "checkpoint.") or hint(TOKENIZER, name, "checkpoint.")
        for part in () if name.startswith("_") else ("model", "tokenizer"):
            if hasattr(getattr(self, part), name):
                said = f": write checkpoint.{part}.{name}."
        raise AttributeError(f"'Checkpoint' object has no attribute {name!r}{said}")


def load(
    name: str | Path,
    dtype: "torch.dtype | str | None" = None,
    device: "torch.device | str" = "cpu",
    build: Builder | None = None,
    tokenizer: str | None = None,
    activation: str | None = None,
) -> Checkpoint:
    """Load a model and its tokenizer.

        model, tokenizer, *_ = gpt2.load("storyteller")
        checkpoint = gpt2.load("openai-community/gpt2", dtype="bfloat16", device="cuda")

    name        "storyteller" (the bundled model), a directory, a preset (gpt2, gpt2-medium, gpt2-large, gpt2-xl,
                distilgpt2), a Hugging Face id OWNER/NAME, an adapter, or a file of nanoGPT or llm.c
    dtype       of the weights in memory, whatever the file holds: float32, bfloat16, float16 or float64, by name or as
                torch has it (None: float32; of a quantised checkpoint its own int8 or int4)
    device      where the weights are to lie: cpu, cuda, cuda:N, mps, auto (cuda where there is one), or as torch has it
    build       what makes the empty model, for variants (None: GPT2, and variants are refused)
    tokenizer   a directory, prepared data set or model whose tokenizer to take (None: the checkpoint's own)
    activation  in place of the checkpoint's activation_function; nanoGPT's files do not say theirs

    Returns a `Checkpoint`, whose model is in eval mode. A preset or an id that is not on this machine is downloaded.

    Raises ValueError naming the file, field or tensor at fault; UsageError for a model or a device that is not there,
    and for another dtype.
    """
    from gpt2.base.device import as_device, pick_dtype

    given: tuple[tuple[str, Any], ...] = (("name", name), ("tokenizer", tokenizer or ""))
    for argument, value in given:
        if not isinstance(value, str | Path):
            from gpt2.base.calls import check_name

            check_name(argument, value, "'storyteller'")
    device = as_device(device)
    dtype = None if dtype is None else pick_dtype(dtype, device)
    directory = own_directory(str(name))
    if adapter_base(directory) is not None:
        return _load_adapted(str(name), directory, dtype, device, tokenizer, activation)
    config, _ = read_config(directory)
    words = tokenizer_for(directory, config, tokenizer)  # first: it is quick, and fails before weights are read
    model = load_model(directory, dtype, device, build, activation)
    return Checkpoint(_without_padding(model, words.vocab_size), words, str(name), directory)


def _load_adapted(
    name: str,
    directory: Path,
    dtype: "torch.dtype | None",
    device: "torch.device | str",
    tokenizer: str | None,
    activation: str | None,
) -> Checkpoint:
    """An adapter's base with the adapter merged into it, in float32 or wider, so that no small change is lost."""
    import torch

    from gpt2.checkpoint.adapter import read_adapter
    from gpt2.checkpoint.adapter_merge import merge

    base = base_directory(directory)
    adapter, wide = read_adapter(directory), torch.float64 if dtype == torch.float64 else torch.float32
    # Ours were trained on what `load` gives, those of peft on every row that the base's file has.
    if adapter.fingerprint:
        model = load(str(base), wide, tokenizer=tokenizer, activation=activation).model
    else:
        model = load_model(base, wide, activation=activation)
    merge(model, adapter)
    words = adapter_tokenizer(directory, base, model.config, tokenizer)
    return Checkpoint(_without_padding(model, words.vocab_size).to(device, dtype), words, name, directory)


def _without_padding(model: "GPT2", vocab_size: int) -> "GPT2":
    """Cut off rows that stand for no token: a training run may have padded the vocabulary for speed.

    Such a row must never win or enter the softmax (a row of zeros would win: GPT-2's logits lie far below 0).
    """
    import torch

    if vocab_size < model.config.vocab_size:
        model.config = replace(model.config, vocab_size=vocab_size)
        if quantisation_of(model) is not None:
            from gpt2.checkpoint.quantised import first_rows

            return first_rows(model, vocab_size)
        tied = _tied(model)
        for table in (model.transformer.wte, model.lm_head):
            table.weight = torch.nn.Parameter(table.weight.detach()[:vocab_size].clone())
        model.transformer.wte.num_embeddings = model.lm_head.out_features = vocab_size
        if tied:
            model.tie_weights()
    return model


def load_model(
    directory: Path | str,
    dtype: "torch.dtype | str | None" = None,
    device: "torch.device | str" = "cpu",
    build: Builder | None = None,
    activation: str | None = None,
) -> "GPT2":
    """The model of a directory, in eval mode; a tokenizer need not be there. Arguments as in `load`."""
    import torch

    from gpt2.base.device import as_device, pick_dtype
    from gpt2.checkpoint.weights import NoDraws, assemble, check_sizes, own_head, read_tensors
    from gpt2.model import GPT2

    directory, device = Path(directory), as_device(device)
    number = torch.float32 if dtype is None else pick_dtype(dtype, device)
    config, variant = read_config(directory)
    foreign = directory.is_file()
    if directory.name == "model":
        from gpt2.checkpoint.of_run import tell_damage

        tell_damage(directory)
    quantisation = None if foreign else read_quantisation(directory)
    if activation is not None:
        config = replace(config, activation_function=activation)
    elif foreign:
        say_what_is_assumed(directory)
    if variant is not None and build is None:
        raise ValueError(
            f"{directory} holds the variant {variant.get('name')!r}, no plain GPT-2: gpt2 next, generate, eval and "
            "explain open it; in Python, load(name, build=build) does, with build of gpt2.ablation.models."
        )
    make: Builder = build or GPT2
    stored = foreign_tensors(directory) if foreign else read_tensors(weight_files(directory))
    check_sizes(directory, stored, config)
    if not foreign and variant is None and config.tie_word_embeddings and own_head(stored, directory):
        config = replace(config, tie_word_embeddings=False)
    with torch.device("meta"), NoDraws():  # names and shapes alone
        model: GPT2 = make(config) if variant is None else make(config, variant=variant)
    if quantisation is not None and dtype is None:
        from gpt2.checkpoint.quantised import fill

        fill(model, stored, quantisation, device, directory)
    else:
        if quantisation is not None:
            from gpt2.checkpoint.quantised import to_floats

            stored = to_floats(stored, quantisation, number, directory)
        state = assemble(stored, model.state_dict(), _tied(model), number, device, directory)
        model.load_state_dict(state, assign=True)
        model.tie_weights()
    settings = model.settings = None if foreign else read_settings(directory)
    if settings and settings.config.get("reorder_and_upcast_attn") and number in (torch.float16, torch.bfloat16):
        note(
            f"{directory}: in half precision reorder_and_upcast_attn changes the eager attention of transformers "
            "alone; neither its default nor what is computed here."
        )
    return model.eval()


def _tied(model: "GPT2") -> bool:
    return model.lm_head.weight is model.transformer.wte.weight


def save(
    model: "nn.Module",
    tokenizer: "Tokenizer | None",
    directory: Path | str,
    dtype: "torch.dtype | str | None" = None,
    overwrite: bool = False,
) -> Path:
    """Write a checkpoint directory in Hugging Face's format; all of it or nothing.

        gpt2.save(model, tokenizer, "mine")
        model, tokenizer, *_ = gpt2.load("mine")

    model      a GPT2, also inside torch.compile or DistributedDataParallel; one with an attribute `variant`
               ({"name", "arguments"}) is marked so that plain transformers refuses it
    tokenizer  written beside the weights (None: weights alone)
    directory  a new or empty one; it is made, and so are those above it
    dtype      of the stored weights, as `load` takes it (None: as they are in memory, quantised ones too)
    overwrite  replace a checkpoint that stands there

    Returns the directory, as an absolute path. Raises UsageError for what is no model or no dtype, and when the
    directory holds something and `overwrite` does not allow it,
    ValueError when the tokenizer does not fit or weights are not finite, OSError when the disk refuses.
    """
    from gpt2.base.calls import check_name
    from gpt2.base.device import pick_dtype
    from gpt2.checkpoint.saving import config_fields, to_stored, unwrapped, write_tensors

    dtype = None if dtype is None else pick_dtype(dtype)
    check_name("directory", directory, "'mine'")
    target = check_target(directory, overwrite)
    inner: Any = unwrapped(model)
    config: GPT2Config = inner.config
    if tokenizer is not None and tokenizer.ordinary_size > config.vocab_size:
        entries = f"{tokenizer.ordinary_size:,} entries"
        raise ValueError(f"the tokenizer's {entries} exceed vocab_size {config.vocab_size:,}: save the one that fits.")
    quantisation = quantisation_of(inner)
    if quantisation is None:
        tied = _tied(inner)
        stored = to_stored(inner.state_dict(), tied, dtype)
    else:
        from gpt2.checkpoint.quantised import stored_of

        stored, tied = stored_of(inner, dtype)
        quantisation = quantisation if dtype is None else None
    dtype_name = str(stored["transformer.wte.weight"].dtype).removeprefix("torch.")
    ends = {"bos_token_id": getattr(tokenizer, "bos_id", None), "eos_token_id": getattr(tokenizer, "eot_id", None)}
    settings = settings_of(inner)
    carried = {"use_cache": True, **ends} if settings is None else settings.config
    generation = {"_from_model_config": True, **ends} if settings is None else settings.generation
    fields = config_fields(config, carried, dtype_name, getattr(inner, "variant", None), tied, quantisation)
    if off := off_entries(inner):
        fields[OFF] = off

    with whole_directory(target) as temporary:
        _write_json(fields, temporary / CONFIG_FILE)
        if generation is not None:
            _write_json(generation, temporary / GENERATION_FILE)
        weights = temporary / WEIGHT_FILES[0]
        write_tensors(stored, weights)
        weights.chmod((temporary / CONFIG_FILE).stat().st_mode)  # safetensors makes it private to its owner
        if tokenizer is not None:
            tokenizer.save(temporary, config.n_positions)
    return target


def _write_json(value: Mapping[str, Any], path: Path) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
