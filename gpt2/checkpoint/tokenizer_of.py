"""Which tokenizer a model is read with: its own, the one that the user names, or the one that its kind always has.

In: where the model lies, its configuration, and a name or none. Out: a `Tokenizer` that fits the model.
Nothing here imports torch.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from gpt2.base.errors import Failure, UsageError
from gpt2.base.notes import note
from gpt2.checkpoint.download import cached
from gpt2.checkpoint.foreign import is_llmc
from gpt2.checkpoint.hf_config import read_config
from gpt2.checkpoint.hub import tokenizer_directory
from gpt2.checkpoint.layout import BUNDLED
from gpt2.config import GPT2Config
from gpt2.text.tokenizer_files import has_tokenizer

if TYPE_CHECKING:
    from gpt2.text.tokenizer import Tokenizer

GPT2_ROWS = (50257, 50304)  # GPT-2's vocabulary, and padded as nanoGPT and llm.c do
META_FILE = "meta.pkl"  # of a character-level data set of nanoGPT
PREPARED = "tokenizer"  # where `gpt2 prepare` puts the tokenizer of a prepared set


PADDING = 128
"""Rows without a token that a vocabulary may well have: trainings pad it, for speed, to a multiple of so many."""


def tokenizer_for(place: Path, config: GPT2Config, name: str | None = None) -> "Tokenizer":
    """The tokenizer for the model at `place`, a directory or a file.

    name  a directory with a tokenizer, a prepared data set, a model by name, or nanoGPT's meta.pkl (None: the model's
          own; for a file the one beside it, or GPT-2's where the vocabulary has its size)

    A token that was added to the tokenizer and has no row in the model is said once, as a pad token often is.
    Raises UsageError for a name that means nothing, ValueError when there is none or its vocabulary is larger than the
    model's.
    """
    if name is None:
        tokenizer = _own(place, config)
        mend = "put the one there that the model was trained with, or name it with {tokenizer}."
    else:
        tokenizer = asked_tokenizer(name)
        mend = f"{place} was trained with another one, so name that with {{tokenizer}}."
    if tokenizer.vocab_size > config.vocab_size:
        what = f"{name or place}: the tokenizer has {tokenizer.vocab_size:,} entries, more than vocab_size"
        if tokenizer.ordinary_size > config.vocab_size:
            raise Failure(f"{what} {config.vocab_size:,}", mend, tokenizer=None)
        extra = [i for i in range(config.vocab_size, tokenizer.vocab_size) if tokenizer.has(i)]
        names = ", ".join(tokenizer.label(i) for i in extra[:3]) + (" and more" if len(extra) > 3 else "")
        note(f"{what} {config.vocab_size:,}: the model has no row for {names}, and cannot read such a token.")
    spare = config.vocab_size - tokenizer.vocab_size
    if spare >= PADDING:
        note(
            f"{name or place}: the tokenizer has {tokenizer.vocab_size:,} entries and the model {config.vocab_size:,} "
            f"rows, so {spare:,} rows are left out: if the two do not belong together, take the model's own tokenizer."
        )
    return tokenizer


def adapter_tokenizer(adapter: Path, base: Path, config: GPT2Config, name: str | None = None) -> "Tokenizer":
    """The same for an adapter's directory and its base: the adapter's own tokenizer, else the base's.

    config  of the model with the adapter in it, whose vocabulary may be larger than the base's
    """
    from gpt2.text.tokenizer import Tokenizer

    if name is not None or not has_tokenizer(adapter):
        return tokenizer_for(base, config, name)
    tokenizer = Tokenizer.load(adapter)
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"{adapter}: the tokenizer has {tokenizer.vocab_size:,} entries and the adapted model "
            f"{config.vocab_size:,} rows: save the adapter in peft with save_embedding_layers=True."
        )
    return tokenizer


def asked_tokenizer(name: str) -> "Tokenizer":
    """The tokenizer that is named in place of a model's own. UsageError for a name that means nothing, Failure for a
    model that is not on this machine and cannot be fetched."""
    try:
        return named_tokenizer(name)
    except UsageError:
        mend = "name a directory that holds a tokenizer, a prepared data set, nanoGPT's meta.pkl, or a model."
        raise UsageError(argument="tokenizer", value=name, mend=mend) from None
    except Failure as error:
        if isinstance(error.mend, dict) and "model" in error.mend:
            mend = f"name a directory that holds a tokenizer, or the bundled {BUNDLED}, as {{tokenizer}}"
            raise Failure(error.problem, {"": error.mend[""], "tokenizer": mend}, tokenizer=None) from None
        raise


def named_tokenizer(name: str) -> "Tokenizer":
    """The tokenizer that a user names. UsageError for a name that means nothing."""
    from gpt2.text.tokenizer import Tokenizer

    path = Path(name).expanduser()
    if name != BUNDLED:
        for directory in (path, path / PREPARED):
            if has_tokenizer(directory):
                return Tokenizer.load(directory)
        meta = path if path.is_file() and path.suffix == ".pkl" else path / META_FILE
        if meta.is_file():
            from gpt2.text.character_table import read_characters

            return read_characters(meta)
    place = tokenizer_directory(name)
    return tokenizer_for(place, read_config(place)[0]) if place.is_file() else Tokenizer.load(place)


def _meta(place: Path) -> Path | None:
    """The characters of a nanoGPT file: beside it, or in the data directory of nanoGPT's project."""
    if (place.parent / META_FILE).is_file():
        return place.parent / META_FILE
    data = place.absolute().parent.parent / "data"
    if not data.is_dir() or is_llmc(place):
        return None
    from gpt2.checkpoint.nanogpt import read_dataset

    meta = data / (read_dataset(place) or "") / META_FILE
    return meta if meta.is_file() else None


def _characters(meta: Path, config: GPT2Config) -> "Tokenizer":
    from gpt2.text.character_table import read_characters

    found = read_characters(meta)
    if found.vocab_size != config.vocab_size:
        what = f"{meta} has {found.vocab_size:,} characters, but the model's vocab_size is {config.vocab_size:,}"
        raise Failure(what, "give the tokenizer that the model was trained with, as {tokenizer}.", tokenizer=None)
    return found


def _own(place: Path, config: GPT2Config) -> "Tokenizer":
    from gpt2.text.tokenizer import Tokenizer

    if place.is_dir():
        if not has_tokenizer(place):
            raise _missing(f"{place} has no tokenizer", "there", "name another one with {tokenizer}")
        return Tokenizer.load(place)
    if has_tokenizer(place.parent):
        return Tokenizer.load(place.parent)
    meta = _meta(place)
    if meta is not None:
        return _characters(meta, config)
    found = cached("gpt2", weights=False) if config.vocab_size in GPT2_ROWS else None
    if found is not None:
        return Tokenizer.load(found)
    if config.vocab_size in GPT2_ROWS:
        what = f"{place} has no tokenizer, and GPT-2's is not on this machine"
        mend = "name a directory that holds it, or gpt2 to download it, as {tokenizer}"
    else:
        what = f"{place} has no tokenizer, and its vocabulary of {config.vocab_size:,} is not GPT-2's"
        mend = "name its data set's meta.pkl, or a directory with the tokenizer, as {tokenizer}"
    raise _missing(what, "beside it", mend)


def _missing(what: str, where: str, mend: str) -> Failure:
    put = f"put tokenizer.json, or vocab.json and merges.txt, {where}"
    return Failure(what, {"tokenizer": mend, "": put}, tokenizer=None)
