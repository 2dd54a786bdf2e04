"""llama.cpp through llama-cpp-python: a GGUF file written here, and `Llama.generate`, one text at a time.

Key/value cache and batch sizes are its defaults. Its high-level interface continues one text only, so that batches
are not run.
"""

import json
from itertools import islice
from typing import Any

import gguf
import llama_cpp
from safetensors.numpy import load_file

from benchmarks.engines import NotRun, Place, package_versions

KINDS = {"fp32": gguf.GGMLQuantizationType.F32, "int8": gguf.GGMLQuantizationType.Q8_0}
FILE_TYPES = {"fp32": gguf.LlamaFileType.ALL_F32, "int8": gguf.LlamaFileType.MOSTLY_Q8_0}
CONV1D = ("c_attn.weight", "c_proj.weight", "c_fc.weight")  # [in, out] in Hugging Face's files, [out, in] in GGUF


def versions() -> dict[str, str]:
    """The binding (it carries its own llama.cpp) and the writer of GGUF."""
    return package_versions("llama-cpp-python", "gguf")


def prepare(place: Place, precision: str) -> None:
    """Write the checkpoint as GGUF; int8 is Q8_0 for the matrices and the token embedding."""
    fields = json.loads((place.checkpoint / "config.json").read_text(encoding="utf-8"))
    path = place.converted("llama-cpp", precision)
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_block_count(fields["n_layer"])
    writer.add_context_length(fields["n_positions"])
    writer.add_embedding_length(fields["n_embd"])
    writer.add_feed_forward_length(fields["n_inner"] or 4 * fields["n_embd"])
    writer.add_head_count(fields["n_head"])
    writer.add_layer_norm_eps(fields["layer_norm_epsilon"])
    writer.add_file_type(FILE_TYPES[precision])
    _add_tokenizer(writer, place)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.GPT2, fields["n_layer"])
    for name, tensor in load_file(place.checkpoint / "model.safetensors").items():
        array = tensor.T.copy() if name.endswith(CONV1D) else tensor
        stored = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if array.ndim == 2 and not name.endswith("wpe.weight"):
            kind = KINDS[precision]
            writer.add_tensor(stored, gguf.quants.quantize(array, kind), raw_dtype=kind)
        else:
            writer.add_tensor(stored, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: Any, place: Place) -> None:
    vocabulary = json.loads((place.checkpoint / "vocab.json").read_text(encoding="utf-8"))
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    merges = (place.checkpoint / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    control = [gguf.TokenType.CONTROL if token == "<|endoftext|>" else gguf.TokenType.NORMAL for token in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(control)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(vocabulary["<|endoftext|>"])
    writer.add_eos_token_id(vocabulary["<|endoftext|>"])


class Decoder:
    """`Llama.generate(temp=0)`, which yields ids and never stops by itself."""

    def __init__(self, place: Place, precision: str) -> None:
        self.model = llama_cpp.Llama(
            str(place.converted("llama-cpp", precision)),
            n_ctx=0,  # the model's own
            n_threads=place.threads,
            n_threads_batch=place.threads,
            verbose=False,
        )

    def generate(self, prompts: list[list[int]], new: int) -> list[list[int]]:
        """As `benchmarks.engines.Decoder`, for one prompt."""
        if len(prompts) > 1:
            raise NotRun("llama-cpp-python's high-level interface continues one text at a time")
        self.model.reset()  # otherwise it would reuse the prompt of the last call
        ids = self.model.generate(prompts[0], temp=0.0)
        return [list(islice(ids, new))]
