"""What transformers and peft make of a case: the oracle's side of every comparison."""

import json
import logging
import warnings
from dataclasses import dataclass, field
from typing import Any

import peft
import torch
import transformers
from torch import Tensor

from tests.oracle.draws import Case

NEW, PROMPT = 10, 6  # tokens of a continuation and of a prompt, at most
UNUSED = ("crossattention", "ln_cross_attn")  # weights that no pass without an encoder reads


def be_quiet() -> None:
    """Turn off what transformers and peft say, for a process that does nothing else."""
    transformers.logging.set_verbosity(transformers.logging.CRITICAL)
    transformers.logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module="transformers")
    warnings.filterwarnings("ignore", module="peft")


class DrawnAtRandom(Exception):
    """transformers fills a tensor that the files lack with random numbers: no two loads are equal."""


@dataclass
class Reference:
    """A model in float64, in eval mode, and its tokenizer.

    silent  why transformers does not read generation_config.json, where it does not; the model is loaded without it
    config  its fields as they were read
    exact   False where peft changes the base in float32 on loading, so that the last digits are its own
    """

    model: Any
    tokenizer: Any
    silent: str = ""
    exact: bool = True
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def plain(self) -> Any:
        """transformers' model beneath an adapter."""
        return self.model.get_base_model() if isinstance(self.model, peft.PeftModel) else self.model

    def logits(self, ids: Tensor) -> Tensor:
        return self.model(input_ids=ids, return_dict=True).logits

    def tokenless(self) -> list[int]:
        """The rows of the model's vocabulary for which the tokenizer has no token."""
        rows = self.plain.config.vocab_size
        return [i for i, token in enumerate(self.tokenizer.convert_ids_to_tokens(list(range(rows)))) if token is None]

    def generate(self, ids: list[int], **options: Any) -> Any:
        """`generate` of transformers, which here may not choose a row without a token: ours never does."""
        rows = torch.tensor(self.tokenless(), dtype=torch.long)

        def mask(_: Tensor, scores: Tensor) -> Tensor:
            return scores.index_fill(-1, rows, -torch.inf)

        processors = transformers.LogitsProcessorList([mask] if len(rows) else [])
        given = torch.tensor([ids])
        made = self.model.generate(
            input_ids=given,
            attention_mask=torch.ones_like(given),
            logits_processor=processors,
            tokenizer=self.tokenizer if self.plain.generation_config.stop_strings is not None else None,
            **options,
        )
        return made if options.get("return_dict_in_generate") else getattr(made, "sequences", made)

    def ends(self) -> list[int]:
        end = self.plain.generation_config.eos_token_id
        return [] if end is None else end if isinstance(end, list) else [end]


def load_reference(case: Case) -> Reference:
    """Raises what transformers or peft raise, and DrawnAtRandom."""
    config = transformers.AutoConfig.from_pretrained(case.base)
    if not isinstance(config, transformers.GPT2Config):
        raise TypeError(f"transformers builds a {config.model_type} of these files")
    if config.n_layer * config.n_embd**2 > 10_000:
        raise DrawnAtRandom("sizes that transformers puts in for missing fields: the files hold no such tensors")
    # In float64 the reordered attention refuses to run; it computes the same function, which sdpa then shows.
    attention = "sdpa" if getattr(config, "reorder_and_upcast_attn", False) else "eager"
    exact = not changes_base(case)
    options: dict[str, Any] = {"dtype": torch.float64 if exact else torch.float32, "attn_implementation": attention}
    silent = ""
    try:
        if (case.base / "generation_config.json").exists():
            transformers.GenerationConfig.from_pretrained(case.base)
    except Exception as error:
        silent = f"{type(error).__name__}: {error}"
        options["generation_config"] = transformers.GenerationConfig()
    load = transformers.AutoModelForCausalLM.from_pretrained
    model, told = load(case.base, output_loading_info=True, **options)
    missing = [name for name in told["missing_keys"] if not any(part in name for part in UNUSED)]
    if missing:
        raise DrawnAtRandom(f"tensors not in the files: {sorted(missing)[:3]}")
    fields = model.config.to_dict()
    model.config.return_dict = True  # its own passes need it
    tokenizer = load_tokenizer(case, config)
    tokenizer.decode(tokenizer("a text")["input_ids"])
    if case.adapter is not None:
        model = load_adapter(model, case)
    reference = Reference(model.double().eval(), tokenizer, silent, exact, fields)
    with torch.no_grad():
        reference.logits(torch.tensor([[0, 1]]))
    return reference


def changes_base(case: Case) -> bool:
    """Whether peft takes something off the base's weights before it adds the adapter; it refuses to in float64."""
    if case.adapter is None:
        return False
    kind = json.loads((case.adapter / "adapter_config.json").read_text()).get("init_lora_weights")
    return isinstance(kind, str) and kind not in ("gaussian", "orthogonal")


def load_adapter(model: Any, case: Case) -> Any:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        adapted = peft.PeftModel.from_pretrained(model, str(case.adapter))
    for warning in said:
        if "Found missing adapter keys" in str(warning.message):
            raise DrawnAtRandom(str(warning.message)[:200])
    return adapted


def load_tokenizer(case: Case, config: Any) -> Any:
    """The tokenizer beside the adapter where there is one, else the base's."""
    beside = case.adapter is not None and any(
        (case.adapter / name).exists() for name in ("tokenizer.json", "vocab.json")
    )
    if not beside:
        return transformers.AutoTokenizer.from_pretrained(case.base)
    try:
        return transformers.AutoTokenizer.from_pretrained(case.adapter)
    except (OSError, ValueError):  # without a config.json there, not every release knows the kind
        return transformers.AutoTokenizer.from_pretrained(case.adapter, config=config)


def continuation(case: Case) -> list[int]:
    """The tokens that follow the case's prompt where nothing ends the text."""
    reference = load_reference(case)
    prompt = reference.tokenizer(case.prompt, add_special_tokens=False)["input_ids"][:PROMPT]
    reference.plain.generation_config = transformers.GenerationConfig()
    return reference.generate(prompt, do_sample=False, max_new_tokens=NEW)[0].tolist()[len(prompt) :]
