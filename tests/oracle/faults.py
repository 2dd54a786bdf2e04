"""Errors that a loader may have, planted one at a time; the comparison must notice each.

A field that a loader overlooks is a file without that field: most faults load an edited copy of the case. The others
change the model, the continuation or the saved files on their way out.
"""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

import gpt2
from tests.oracle.draws import Case
from tests.oracle.generator import build, cards

ENOUGH = 3  # a fault that so many cases notice is not tried further


class Files:
    """A copy of a case's files, and the edits that stand for a loader's oversight."""

    def __init__(self, case: Case) -> None:
        self.root = case.directory / "faulted"
        shutil.rmtree(self.root, ignore_errors=True)
        for part in ("base", "adapter"):
            if (case.directory / part).exists():
                shutil.copytree(case.directory / part, self.root / part)
        self.load_from = self.root / case.load_from.name
        if case.adapter is not None:
            with self.json("adapter/adapter_config.json") as config:
                config["base_model_name_or_path"] = str(self.root / "base")
        self.changed = False

    @contextmanager
    def json(self, name: str) -> Iterator[dict[str, Any]]:
        """The content of a file, written back if it was changed; an empty one where there is no such file."""
        path = self.root / name
        before = path.read_text(encoding="utf-8") if path.exists() else "{}"
        content = json.loads(before)
        yield content
        if content != json.loads(before):
            path.write_text(json.dumps(content), encoding="utf-8")
            self.changed = True

    def without(self, name: str, *fields: str) -> None:
        with self.json(name) as content:
            for field in fields:
                content.pop(field, None)

    def remove(self, name: str) -> None:
        if (self.root / name).exists():
            (self.root / name).unlink()
            self.changed = True

    def tensors(self, change: Callable[[str, torch.Tensor], torch.Tensor | None]) -> None:
        """Each tensor of the adapter as `change` returns it; None leaves it out."""
        path = self.root / "adapter/adapter_model.safetensors"
        if path.exists():
            before = load_file(path)
            after = {name: new for name, t in before.items() if (new := change(name, t)) is not None}
            if len(after) != len(before) or any(not torch.equal(after[name], before[name]) for name in after):
                save_file(after, path, metadata={"format": "pt"})
                self.changed = True


CONFIG, GENERATION, TOKENS = "base/config.json", "base/generation_config.json", "base/tokenizer_config.json"
ADAPTER = "adapter/adapter_config.json"


def first_end_only(files: Files) -> None:
    for name in (CONFIG, GENERATION):
        with files.json(name) as content:
            if isinstance(content.get("eos_token_id"), list) and content["eos_token_id"]:
                content["eos_token_id"] = content["eos_token_id"][0]


def ends_of_config(files: Files) -> None:
    if (files.root / GENERATION).exists():
        end = json.loads((files.root / CONFIG).read_text()).get("eos_token_id")
        with files.json(GENERATION) as content:
            content["eos_token_id"] = end


def no_default_top_k(files: Files) -> None:
    with files.json(GENERATION) as content:
        if content.get("do_sample") is True and content.get("top_k") is None:
            content["top_k"] = 0


def without_dora(files: Files) -> None:
    with files.json(ADAPTER) as config:
        if config.get("use_dora"):
            config["use_dora"] = False
    files.tensors(lambda name, t: None if "lora_magnitude" in name else t)


def without_saved_modules(files: Files) -> None:
    config = json.loads((files.root / ADAPTER).read_text()) if (files.root / ADAPTER).exists() else {}
    if config.get("modules_to_save") and not config.get("ensure_weight_tying"):
        files.without(ADAPTER, "modules_to_save")
        files.tensors(lambda name, t: t if "lora_" in name or "token_adapter" in name else None)


def wrong_file_first(files: Files) -> None:
    if (files.root / "base/pytorch_model.bin").exists():
        files.remove("base/model.safetensors")


def zero(part: str) -> Callable[[Files], None]:
    return lambda files: files.tensors(lambda name, t: torch.zeros_like(t) if part in name else t)


def without_biases(files: Files) -> None:
    files.tensors(lambda name, t: torch.zeros_like(t) if name.endswith(".bias") and "lora_" not in name else t)


def lacking(file: str, *fields: str) -> Callable[[Files], None]:
    return lambda files: files.without(file, *fields)


OVERLOOKED: dict[str, Callable[[Files], None]] = {
    "the activation is always GPT-2's": lacking(CONFIG, "activation_function"),
    "layer_norm_epsilon is always GPT-2's": lacking(CONFIG, "layer_norm_epsilon"),
    "scale_attn_weights is ignored": lacking(CONFIG, "scale_attn_weights"),
    "scale_attn_by_inverse_layer_idx is ignored": lacking(CONFIG, "scale_attn_by_inverse_layer_idx"),
    "only the first end of a list counts": first_end_only,
    "the ends are always those of config.json": ends_of_config,
    "top_k is off unless the file says otherwise": no_default_top_k,
    "repetition_penalty of the file is ignored": lacking(GENERATION, "repetition_penalty"),
    "no_repeat_ngram_size of the file is ignored": lacking(GENERATION, "no_repeat_ngram_size"),
    "the sampling settings of the file are ignored": lacking(GENERATION, "temperature", "top_p", "min_p"),
    "add_prefix_space is ignored": lacking(TOKENS, "add_prefix_space"),
    "added_tokens_decoder is ignored": lacking(TOKENS, "added_tokens_decoder"),
    "special_tokens_map.json is ignored": lambda files: files.remove("base/special_tokens_map.json"),
    "added_tokens.json is ignored": lambda files: files.remove("base/added_tokens.json"),
    "pytorch_model.bin comes before model.safetensors": wrong_file_first,
    "use_rslora is ignored": lacking(ADAPTER, "use_rslora"),
    "alpha_pattern is ignored": lacking(ADAPTER, "alpha_pattern"),
    "DoRA's magnitude is ignored": without_dora,
    "lora_bias is dropped": zero("lora_B.bias"),
    "trained biases are dropped": without_biases,
    "modules_to_save are dropped": without_saved_modules,
    "trainable_token_indices are dropped": zero("token_adapter"),
}


def inverse_layers_off_by_one(model: Any) -> bool:
    if not model.config.scale_attn_by_inverse_layer_idx:
        return False
    for layer, block in enumerate(model.transformer.h):
        for tensor in (block.attn.c_attn.weight, block.attn.c_attn.bias):
            tensor[: model.config.n_embd] *= (layer + 1) / (layer + 2)
    return True


def tied_anyway(model: Any) -> bool:
    if model.lm_head.weight is model.transformer.wte.weight:
        return False
    model.lm_head.weight = model.transformer.wte.weight
    return True


def square_not_transposed(model: Any) -> bool:
    for block in model.transformer.h:
        block.attn.c_proj.weight.copy_(block.attn.c_proj.weight.t().clone())
    return True


def positions_from_one(model: Any) -> bool:
    model.transformer.wpe.weight.copy_(model.transformer.wpe.weight.roll(-1, dims=0))
    return True


MISBUILT: dict[str, Callable[[Any], bool]] = {
    "the scale by layers is off by one": inverse_layers_off_by_one,
    "an untied head is tied": tied_anyway,
    "the square projection is not transposed": square_not_transposed,
    "positions are read from the second row": positions_from_one,
}


def text_of_ids_alone(generate: Any) -> Any:
    def fault(model: Any, tokenizer: Any, prompts: Any, *rest: Any) -> Any:
        done = generate(model, tokenizer, prompts, *rest)
        for row in done:
            for one in row:
                ids = one.ids[:-1] if one.finish_reason == "eos" else one.ids
                object.__setattr__(one, "text", tokenizer.decode(ids))
        return done

    return fault


def saved_without(name: str) -> Callable[[Any], Any]:
    def wrap(save: Any) -> Any:
        def fault(model: Any, tokenizer: Any, out: Any) -> None:
            save(model, tokenizer, out)
            (Path(out) / name).unlink(missing_ok=True)

        return fault

    return wrap


LEAVING: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "a continuation is decoded without its prompt": ("generate", text_of_ids_alone),
    "generation_config.json is not saved": ("save", saved_without("generation_config.json")),
    "tokenizer_config.json is not saved": ("save", saved_without("tokenizer_config.json")),
}
ALL = [*OVERLOOKED, *MISBUILT, *LEAVING]


@dataclass
class Planted:
    """What came of one fault: the cases in which it changed anything, and those that noticed."""

    tried: int = 0
    caught: int = 0


@contextmanager
def planted(name: str, case: Case) -> Iterator[bool]:
    """The public functions with this fault; whether it changes anything in this case."""
    if name in LEAVING:
        where, wrap = LEAVING[name]
        changed, replacement = True, wrap(getattr(gpt2, where))
    else:
        where, load, changed = "load", gpt2.load, True
        if name in OVERLOOKED:
            files = Files(case)
            files.changed = False
            OVERLOOKED[name](files)
            changed = files.changed

        def replacement(given: str, **options: Any) -> Any:
            if name in OVERLOOKED:
                return load(str(files.load_from), **options)
            checkpoint = load(given, **options)
            with torch.no_grad():
                MISBUILT[name](checkpoint.model)
            return checkpoint

    before = getattr(gpt2, where)
    setattr(gpt2, where, replacement)
    try:
        yield changed
    finally:
        setattr(gpt2, where, before)


def hunt(seed: int, numbers: range, directory: Path, judge: Any) -> dict[str, Planted]:
    """Try every fault on cases that are equal without it, until enough cases notice each, or until Ctrl-C."""
    found = {name: Planted() for name in ALL}
    with suppress(KeyboardInterrupt):
        try_all(found, seed, numbers, directory, judge)
    return found


def try_all(found: dict[str, Planted], seed: int, numbers: range, directory: Path, judge: Any) -> None:
    for number in numbers:
        odd = cards(seed, number)
        other = {"tokenizer.bert", "tokenizer.metaspace"} & set(odd)  # rare, and some faults show only there
        if not other and any(not name.startswith("tokenizer.") for name in odd):
            continue  # most such cases are refused, whatever the fault
        place = directory / f"case-{number}"
        case = build(seed, number, place)
        if judge(case).outcome == "equal":
            for name, result in found.items():
                if result.caught < ENOUGH:
                    shutil.rmtree(case.directory / "saved", ignore_errors=True)
                    with planted(name, case) as changed:
                        if changed:
                            result.tried += 1
                            result.caught += judge(case).outcome != "equal"
        shutil.rmtree(place, ignore_errors=True)
        print(f"\r{number + 1 - numbers.start} cases, {caught(found)} of {len(ALL)} caught ", end="", file=sys.stderr)
        if all(result.caught >= ENOUGH for result in found.values()):
            break


def caught(found: dict[str, Planted]) -> int:
    return sum(result.caught > 0 for result in found.values())


def table(found: dict[str, Planted]) -> str:
    lines = [f"\n{caught(found)} of {len(ALL)} faults caught"]
    lines += [f"  {result.caught:3d} of {result.tried:3d} cases: {name}" for name, result in found.items()]
    return "\n".join(lines)
