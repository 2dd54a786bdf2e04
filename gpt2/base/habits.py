"""Names that other libraries have on a model, a tokenizer or a package, and what is written here in their place.

In: a name that an object does not have. Out: the sentence of its AttributeError, so that `hasattr` stays False. Read
next: gpt2/habits.py, text/tokenizer.py, checkpoint/files.py, base/lazy.py, which ask.
"""

import re
from typing import Any

LOAD = "model, tokenizer, *_ = gpt2.load('storyteller')"
PARTS = "model.transformer"
EVERYTHING = "gpt2.trace(checkpoint, text, read='all'), with checkpoint = gpt2.load(name)"
EDITED = "gpt2.trace(checkpoint, text, edit={'5.resid_pre': f}), with f(x, at) that returns the new value"
TUNE = "gpt2.finetune('poems.txt', out='runs/poems')"

MODEL = {
    "generate sample generate_text": "gpt2.generate(model, tokenizer, text)",
    "stream": "gpt2.stream(model, tokenizer, text)",
    "score perplexity": "gpt2.score(model, tokenizer, text)",
    "chat": "gpt2.generate(model, tokenizer, [gpt2.Chat(tokenizer).prompt(messages)])",
    "from_pretrained": LOAD,
    "save_pretrained save": "gpt2.save(model, tokenizer, 'mine')",
    "push_to_hub": "gpt2.save(model, tokenizer, 'mine'), whose directory huggingface_hub uploads",
    "trace": "gpt2.trace(checkpoint, text), with checkpoint = gpt2.load(name)",
    "run_with_cache": EVERYTHING,
    "run_with_hooks add_hook add_perma_hook hooks hook_dict": EDITED,
    "tokenizer": LOAD,
    "to_tokens tokenize encode": "torch.tensor([tokenizer.encode(text)])",
    "to_string decode": "tokenizer.decode(ids)",
    "to_str_tokens": "[tokenizer.label(i) for i in tokenizer.encode(text)]",
    "to_single_token": "tokenizer.encode(' word')[0]",
    "device": "next(model.parameters()).device",
    "dtype": "next(model.parameters()).dtype",
    "cfg": "model.config",
    "W_E get_input_embeddings": "model.transformer.wte.weight",
    "W_pos": "model.transformer.wpe.weight",
    "W_U get_output_embeddings": "model.lm_head.weight, [V, C]",
    "unembed": "model.head(hidden)",
    "wte wpe h ln_f drop": "model.transformer.{name}",
    "num_parameters get_num_params": "sum(p.numel() for p in model.parameters())",
    "configure_optimizers": "torch.optim.AdamW(model.parameters(), lr=3e-4)",
    "finetune fit": TUNE,
    "logits": "model(ids), which returns the logits [B, T, V]",
}
TOKENIZER = {
    "tokenize convert_ids_to_tokens to_str_tokens": "[tokenizer.label(i) for i in tokenizer.encode(text)]",
    "convert_tokens_to_ids encode_ordinary encode_plus": "tokenizer.encode(text)",
    "batch_encode_plus batch_encode encode_ordinary_batch": "tokenizer.encode_batch(texts)",
    "batch_decode decode_batch": "[tokenizer.decode(ids) for ids in rows]",
    "apply_chat_template": "gpt2.Chat(tokenizer).prompt(messages)",
    "from_pretrained": "tokenizer = gpt2.load('storyteller').tokenizer",
    "save_pretrained": "tokenizer.save('mine')",
    "eos_token_id eot_token": "tokenizer.eot_id",
    "bos_token_id": "tokenizer.bos_id",
    "eos_token": "tokenizer.decode([tokenizer.eot_id])",
    "bos_token": "tokenizer.decode([tokenizer.bos_id])",
    "pad_token_id": "tokenizer.pad_id",
    "pad_token pad padding_side": "gpt2.generate(model, tokenizer, texts), which pads by itself",
    "n_vocab": "tokenizer.vocab_size",
    "all_special_ids all_special_tokens special_tokens_map special_tokens_set": "tokenizer.special",
    "model_max_length": "model.config.n_positions",
}
PACKAGE = {
    "GPT2LMHeadModel AutoModelForCausalLM AutoModel GPT2Model HookedTransformer GPT LanguageModel from_pretrained "
    "load_model AutoTokenizer GPT2Tokenizer GPT2TokenizerFast get_encoding get_tokenizer encoding_for_model": LOAD,
    "pipeline sample complete": "gpt2.generate(model, tokenizer, text)",
    "TextStreamer TextIteratorStreamer": "gpt2.stream(model, tokenizer, text)",
    "Trainer TrainingArguments SFTTrainer train fine_tune": TUNE,
    "get_peft_model LoraConfig PeftModel LoRA": "gpt2.finetune('poems.txt', out='runs/poems', lora=16)",
    "evaluate eval perplexity surprisal": "gpt2.score(model, tokenizer, text)",
    "encode tokenize": "tokenizer.encode(text)",
    "decode": "tokenizer.decode(ids)",
    "GenerationConfig": "gpt2.Sampling(max_tokens=40)",
    "run_with_cache": EVERYTHING,
    "lens attribution heads off effects neuron Patching neighbours behaviours": "from gpt2.explain import {name}",
    "set_seed": "gpt2.generate(model, tokenizer, text, seed=7)",
    "save_pretrained save_model export": "gpt2.save(model, tokenizer, 'mine')",
    "next": "gpt2.generate(model, tokenizer, text, max_tokens=1, logprobs=5)",
    "chat": "gpt2.generate(model, tokenizer, [gpt2.Chat(tokenizer).prompt(messages)])",
    "fetch": "gpt2.load('openai-community/gpt2'), which downloads it",
    "info": "model.config",
    "prepare": "from gpt2.data.prepare import prepare",
    "walk": "from gpt2.explain.walk.walk import walk",
}
EXPLAIN = {
    "patch patching activation_patching": "from gpt2.explain import Patching, and then "
    "Patching(checkpoint, clean, corrupt).grid('resid'), with checkpoint = gpt2.load(name)",
    "attention": "from gpt2.explain.see.attention import attention, and then attention(gpt2.trace(checkpoint, text))",
    "neurons": "from gpt2.explain import neuron, and then neuron(checkpoint, '2.mlp.post#123'), "
    "with checkpoint = gpt2.load(name)",
    "positions": "from gpt2.explain import position_similarity, and then position_similarity(checkpoint), "
    "with checkpoint = gpt2.load(name)",
    "points": "from gpt2.explain.show.points import points, and then points(checkpoint.model.config)",
    "overview": "from gpt2.explain.see.overview import overview, and then overview(gpt2.trace(checkpoint, text))",
}
COMMANDS_ALONE = ("serve", "quantise", "bench", "runs", "ablate", "completion")
"""Commands that no function of the package stands for."""
"""Names with spaces between them; what to write, with `{name}` for the name."""


def of_package(package: str, name: str) -> str:
    """What to write for a name that a package of ours does not have, behind a colon; empty where that is unknown."""
    tables = (EXPLAIN, PACKAGE) if package == "gpt2.explain" else (PACKAGE, EXPLAIN)
    said = hint(tables[0], name) or hint(tables[1], name)
    alone = f": it is a command: type `gpt2 {name}` in a terminal." if name in COMMANDS_ALONE else ""
    return said or alone


def hint(table: dict[str, str], name: str, of: str = "") -> str:
    """What to write for a name of the table, behind a colon: `: write gpt2.generate(...).`; empty for any other.

    of  what stands before `model` and `tokenizer`: "checkpoint." for one who has both in one
    """
    for names, text in table.items():
        if name in names.split():
            owned = text if text == LOAD else re.sub(r"(?<!\.)\b(model|tokenizer)\b(?! =)", rf"{of}\1", text)
            return f": write {owned.replace('{name}', name)}."
    return ""


class Absent:
    """In the body of a class: a name that the class itself does not have either, as `GPT2.from_pretrained`."""

    def __init__(self, table: dict[str, str]) -> None:
        self.table = table

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type) -> Any:
        problem = f"type object {owner.__name__!r} has no attribute {self.name!r}"
        raise AttributeError(f"{problem}{hint(self.table, self.name)}")
