"""config.json: sizes, the fields of the family, and those that may be refused."""

from typing import Any

from tests.oracle.draws import Case

ACTIVATIONS = (
    "gelu gelu_10 gelu_fast gelu_new gelu_python gelu_pytorch_tanh gelu_python_tanh gelu_accurate hardswish laplace "
    "leaky_relu linear mish quick_gelu relu relu2 relu6 sigmoid silu sqrtsoftplus swish tanh"
).split()
SYNONYMS = {
    "n_embd": "hidden_size",
    "n_positions": "max_position_embeddings",
    "n_head": "num_attention_heads",
    "n_layer": "num_hidden_layers",
}
ARCHITECTURES = [
    ["GPT2LMHeadModel"],
    ["GPT2Model"],
    ["GPT2DoubleHeadsModel"],
    ["GPT2ForSequenceClassification"],
    ["GPT2ForTokenClassification"],
    ["GPT2ForQuestionAnswering"],
    [],
    None,
]
LABELS = {"0": "no", "1": "yes", "2": "perhaps"}
IN_VOCABULARY = [0, 7, 31, 200, 256, 299]

# Fields that the family honours, or that have no effect on what a GPT-2 computes in transformers.
PLAIN = {
    "n_inner": lambda c: c.pick([None, 24, 40, 64]),
    "layer_norm_epsilon": lambda c: c.pick([1e-5, 1e-6, 1e-3, 0.1]),
    "scale_attn_weights": lambda c: c.pick([True, False]),
    "scale_attn_by_inverse_layer_idx": lambda c: c.pick([True, False]),
    "reorder_and_upcast_attn": lambda c: c.pick([True, False]),
    "n_ctx": lambda c: c.pick([16, 24, 1024]),
    "dtype": lambda c: c.pick(["float32", "float16", "bfloat16", "float64", None]),
    "torch_dtype": lambda c: c.pick(["float32", "float16", "bfloat16", None]),
    "architectures": lambda c: c.pick(ARCHITECTURES),
    "eos_token_id": lambda c: c.pick([0, 31, None, [7, 31], [256], []]),
    "bos_token_id": lambda c: c.pick([*IN_VOCABULARY, None]),
    "pad_token_id": lambda c: c.pick([*IN_VOCABULARY, None]),
    "use_cache": lambda c: c.pick([True, False]),
    "initializer_range": lambda c: c.pick([0.02, 0.5]),
    "resid_pdrop": lambda c: c.pick([0.1, 0.0, 0, 0.5]),
    "embd_pdrop": lambda c: c.pick([0.1, 0.0, 0, 0.5]),
    "attn_pdrop": lambda c: c.pick([0.1, 0.0, 0, 0.5]),
    "summary_type": lambda c: c.pick(["cls_index", "last"]),
    "summary_activation": lambda c: c.pick([None, "tanh"]),
    "summary_use_proj": lambda c: c.pick([True, False]),
    "summary_proj_to_labels": lambda c: c.pick([True, False]),
    "summary_first_dropout": lambda c: c.pick([0.1, 0]),
    "id2label": lambda c: LABELS,
    "label2id": lambda c: {name: int(number) for number, name in LABELS.items()},
    "num_labels": lambda c: c.pick([2, 3]),
    "problem_type": lambda c: c.pick(["regression", "multi_label_classification", None]),
    "task_specific_params": lambda c: {"text-generation": {"do_sample": True, "max_length": 50}},
    "transformers_version": lambda c: c.pick(["4.2.0", "5.24.0", None]),
    "_name_or_path": lambda c: "someone/some-model",
    "gradient_checkpointing": lambda c: c.pick([True, False]),
    "output_attentions": lambda c: c.pick([True, False]),
    "output_hidden_states": lambda c: c.pick([True, False]),
    "return_dict": lambda c: c.pick([True, False]),
    "torchscript": lambda c: False,
    "is_decoder": lambda c: c.pick([True, False]),
    "add_cross_attention": lambda c: False,
    "finetuning_task": lambda c: c.pick([None, "cola"]),
    "_num_labels": lambda c: 1,
    "a_field_of_their_own": lambda c: c.pick([1, "x", {"y": [1]}, None]),
    "do_sample": lambda c: True,  # taken from config.json by old releases only, as the next three
    "temperature": lambda c: 0.3,
    "top_k": lambda c: 3,
    "max_length": lambda c: 21,
}


def wrong_type(c: Case) -> dict[str, Any]:
    return c.pick(
        [
            {"n_layer": "2"},
            {"n_embd": 16.5},
            {"n_head": True},
            {"layer_norm_epsilon": "1e-5"},
            {"layer_norm_epsilon": 1},
            {"scale_attn_weights": "true"},
            {"scale_attn_by_inverse_layer_idx": 1},
            {"activation_function": ["gelu"]},
            {"activation_function": "gelu2"},
            {"activation_function": "GELU"},
            {"eos_token_id": "0"},
            {"eos_token_id": [1.5]},
            {"eos_token_id": {"id": 1}},
            {"tie_word_embeddings": 0},
            {"n_inner": "64"},
            {"n_inner": 0},
            {"n_inner": True},
            {"vocab_size": [300]},
            {"n_positions": -24},
            {"resid_pdrop": "0.1"},
            {"architectures": "GPT2LMHeadModel"},
            {"reorder_and_upcast_attn": "no"},
            {"dtype": "float17"},
        ]
    )


def nulls(c: Case) -> dict[str, Any]:
    names = "activation_function layer_norm_epsilon scale_attn_weights scale_attn_by_inverse_layer_idx n_head n_layer"
    names += (
        " tie_word_embeddings reorder_and_upcast_attn vocab_size n_embd n_positions resid_pdrop model_type use_cache"
    )
    return {c.pick(names.split()): None}


def missing(c: Case) -> dict[str, Any]:
    """A field of the sizes that is not there: transformers takes GPT-2's own."""
    return {c.pick(["vocab_size", "n_embd", "n_layer", "n_head", "n_positions", "model_type"]): ...}


def other_sizes(c: Case) -> dict[str, Any]:
    """A size that the weights do not have, or no size at all."""
    return c.pick(
        [
            {"n_layer": c.pick([1, 2, 4])},
            {"n_head": c.pick([0, 3, 7])},
            {"vocab_size": c.pick([300, 331, 400, 10])},
            {"n_positions": c.pick([16, 64])},
            {"n_inner": 56},
        ]
    )


# Fields that may be refused. The name is what a refusal must say; `...` takes a field out.
ODD = {
    "activation_function": lambda c: {"activation_function": c.pick(["prelu", "xielu"])},
    "wrong type": wrong_type,
    "null": nulls,
    "missing": missing,
    "synonym": lambda c: {c.pick(list(SYNONYMS.values())): c.pick([2, 16, 24, 48])},
    "head_dim": lambda c: {"head_dim": c.pick([4, 8, 5, None])},
    "sizes": other_sizes,
    "add_cross_attention": lambda c: {"add_cross_attention": True},
    "chunk_size_feed_forward": lambda c: {"chunk_size_feed_forward": c.pick([0, 2])},
    "pruned_heads": lambda c: {"pruned_heads": c.pick([{}, {"0": [0]}])},
    "quantization_config": lambda c: {
        "quantization_config": c.pick(
            [{"quant_method": "gptq", "bits": 4}, {"quant_method": "bitsandbytes", "load_in_8bit": True}]
        )
    },
    "auto_map": lambda c: {"auto_map": {"AutoModelForCausalLM": "modeling_own.OwnModel"}},
    "per_layer_config": lambda c: {"per_layer_config": {"0": {"scale_attn_weights": False}}},
    "layer_types": lambda c: {"layer_types": c.pick([["full_attention"], ["sliding_attention"] * 2])},
    "attn_implementation": lambda c: {"attn_implementation": c.pick(["eager", "sdpa", "flash_attention_2"])},
    "is_encoder_decoder": lambda c: {"is_encoder_decoder": True},
    "problem_type": lambda c: {"problem_type": c.pick(["single_label_classification", "other"]), "num_labels": 1},
    "model_type": lambda c: {"model_type": c.pick(["gpt_neo", "openai-gpt", "GPT2", "gpt_bigcode", "gpt2-own"])},
}


def sizes(c: Case) -> dict[str, Any]:
    width = c.pick([16, 20, 24])
    heads = c.pick([n for n in (1, 2, 4) if width % n == 0])
    return {
        "n_positions": c.pick([24, 28, 32]),
        "n_embd": width,
        "n_layer": c.pick([1, 2, 3]),
        "n_head": heads,
    }


def draw_config(c: Case, vocab_size: int) -> dict[str, Any]:
    """config.json's content; the weights are made for `truth` of it, before `spoil` puts in the odd fields."""
    config: dict[str, Any] = {"model_type": "gpt2", "vocab_size": vocab_size, **sizes(c)}
    if c.chance(0.65):
        config["activation_function"] = c.pick(ACTIVATIONS)
        c.note("config", f"activation_function {config['activation_function']}", True)
        c.note("config", "activation_function", config["activation_function"])
    if c.chance(0.3):
        config["tie_word_embeddings"] = c.pick([True, False])
        c.note("config", "tie_word_embeddings", config["tie_word_embeddings"])
    config |= c.draw("config", PLAIN, 0.07)
    if c.chance(0.3):
        config |= c.draw("config", {name: PLAIN[name] for name in list(PLAIN)[:5]}, 0.4)
    for name, synonym in SYNONYMS.items():
        if c.chance(0.07):
            c.note("config", synonym, config[name])
            config[synonym] = config[name] if c.chance(0.3) else config.pop(name)
    if c.chance(0.05):
        config["head_dim"] = truth(config)["n_embd"] // truth(config)["n_head"]
        c.note("config", "head_dim", config["head_dim"])
    return config


def spoil(c: Case, config: dict[str, Any], odd: list[str]) -> dict[str, Any]:
    """The content with its odd fields, in an order of their own."""
    config = dict(config)
    for name in odd:
        changes = ODD[name](c)
        c.odd.append(f"config.{name}")
        c.note("config", name if name in PLAIN or name not in changes else f"{name} (odd)", changes)
        c.hints += [key for key in changes if key]
        for key, value in changes.items():
            c.hints += [other for pair in SYNONYMS.items() if key in pair for other in pair]
            if value is ...:
                for spelling in (key, SYNONYMS.get(key)):
                    config.pop(spelling, None)
            else:
                config[key] = value
    order = list(config)
    if c.chance(0.5):
        c.random.shuffle(order)
    return {key: config[key] for key in order}


def truth(config: dict[str, Any]) -> dict[str, Any]:
    """The sizes that the weights have."""
    known = {name: config.get(synonym, config.get(name)) for name, synonym in SYNONYMS.items()}
    known["vocab_size"] = config["vocab_size"]
    known["n_inner"] = config.get("n_inner") or 4 * known["n_embd"]
    return known
