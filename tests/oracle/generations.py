"""generation_config.json: what ends a text and how it is sampled, and settings that may be refused when generating."""

from typing import Any

from tests.oracle.draws import Case, take_turns

PLAIN = {
    "eos_token_id": lambda c: c.pick([0, 31, None, [7, 31], [31, 7, 256], [256]]),
    "bos_token_id": lambda c: c.pick([0, 256, None]),
    "pad_token_id": lambda c: c.pick([0, 256, None]),
    "temperature": lambda c: c.pick([0.7, 1.0, 1.5, 2, None]),
    "top_k": lambda c: c.pick([0, 1, 5, 40, 1000, None]),
    "top_p": lambda c: c.pick([0.5, 0.9, 1.0, 1, None]),
    "min_p": lambda c: c.pick([0.0, 0.05, 0.3, None]),
    "repetition_penalty": lambda c: c.pick([1.0, 1.3, 2.0, 0.8, None]),
    "max_new_tokens": lambda c: c.pick([3, 9, None]),
    "max_length": lambda c: c.pick([12, 18, None]),
    "use_cache": lambda c: c.pick([True, False]),
    "transformers_version": lambda c: c.pick(["4.30.0", "5.24.0"]),
    "_from_model_config": lambda c: c.pick([True, False]),
    "early_stopping": lambda c: c.pick([True, False]),
    "length_penalty": lambda c: c.pick([1.0, 2.0]),
    "num_beams": lambda c: 1,
    "num_return_sequences": lambda c: 1,
    "output_scores": lambda c: c.pick([True, False]),
    "return_dict_in_generate": lambda c: False,
    "typical_p": lambda c: 1.0,
    "no_repeat_ngram_size": lambda c: c.pick([0, 1, 2, 3, None]),
}
ODD = {
    "typical_p": lambda c: c.pick([0.5, 0.9]),
    "epsilon_cutoff": lambda c: c.pick([3e-3, 0.0]),
    "eta_cutoff": lambda c: c.pick([3e-3, 0.0]),
    "top_h": lambda c: 0.4,
    "encoder_no_repeat_ngram_size": lambda c: c.pick([0, 2]),
    "encoder_repetition_penalty": lambda c: c.pick([1.0, 1.5]),
    "bad_words_ids": lambda c: [[c.pick(range(300))] for _ in range(40)],
    "suppress_tokens": lambda c: sorted({c.pick(range(300)) for _ in range(60)}),
    "begin_suppress_tokens": lambda c: sorted({c.pick(range(300)) for _ in range(90)}),
    "min_length": lambda c: c.pick([0, 12]),
    "min_new_tokens": lambda c: c.pick([5, 0]),
    "forced_bos_token_id": lambda c: 7,
    "forced_eos_token_id": lambda c: c.pick([31, [31, 7]]),
    "sequence_bias": lambda c: [[[c.pick(range(300))], 5.0]],
    "exponential_decay_length_penalty": lambda c: [2, 1.5],
    "num_beams": lambda c: c.pick([2, 3]),
    "num_beam_groups": lambda c: 2,
    "diversity_penalty": lambda c: 0.5,
    "penalty_alpha": lambda c: 0.6,
    "guidance_scale": lambda c: c.pick([1.0, 1.5]),
    "stop_strings": lambda c: c.pick([["the", "e"], "a", [" "]]),
    "watermarking_config": lambda c: {"greenlist_ratio": 0.3, "bias": 4.0},
    "token_healing": lambda c: c.pick([True, False]),
    "num_return_sequences": lambda c: 3,
    "max_time": lambda c: c.pick([1000.0, None]),
    "prompt_lookup_num_tokens": lambda c: 3,
    "renormalize_logits": lambda c: c.pick([True, False]),
    "remove_invalid_values": lambda c: c.pick([True, False]),
    "cache_implementation": lambda c: c.pick(["dynamic", "static", "none such"]),
    "force_words_ids": lambda c: [[5]],
    "dola_layers": lambda c: "low",
    "decoder_start_token_id": lambda c: 3,
    "a_setting_of_their_own": lambda c: c.pick([1, None, "x"]),
    "wrong type": lambda c: ...,
}
WRONG = [
    {"temperature": "0.7"},
    {"temperature": 0.0},
    {"temperature": -1.0},
    {"top_k": 2.5},
    {"top_k": -1},
    {"top_p": 1.5},
    {"top_p": 0.0},
    {"min_p": 2.0},
    {"do_sample": "true"},
    {"do_sample": 1},
    {"eos_token_id": "31"},
    {"eos_token_id": [[31]]},
    {"eos_token_id": 99999},
    {"eos_token_id": []},
    {"eos_token_id": -1},
    {"max_new_tokens": 0},
    {"max_new_tokens": "9"},
    {"repetition_penalty": 0},
    {"repetition_penalty": -1.5},
]


def draw_generation(c: Case, turn: int) -> dict[str, Any] | None:
    """generation_config.json's content; None: there is no such file."""
    if c.chance(0.2):
        return None
    c.note("generation_config", "(the file)", True)
    if c.chance(0.08):
        c.note("generation_config", "(empty)", True)
        return {}
    content = c.draw("generation_config", PLAIN, 0.09)
    if c.chance(0.6):
        content["do_sample"] = c.pick([True, True, False, None])
        c.note("generation_config", "do_sample", content["do_sample"])
        if content["do_sample"]:
            content |= c.draw("generation_config", {name: PLAIN[name] for name in list(PLAIN)[3:8]}, 0.4)
    if c.chance(0.7):
        for name in take_turns(list(ODD), turn, 2):
            changes = c.pick(WRONG) if name == "wrong type" else {name: ODD[name](c)}
            content |= changes
            c.generation += list(changes)
            c.hints += list(changes)
            c.note("generation_config", f"{name} (odd)" if name in PLAIN else name, changes)
    return content
