"""Which of transformers' tokenizer classes reads a directory: it decides which of the files' fields count.

In: tokenizer_config.json and config.json. Out: one of the kinds that are read here, or a refusal that names the class.
The rule is that of `AutoTokenizer.from_pretrained` (transformers 5.24). Read next: special_tokens.py.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from gpt2.base.fields import shortened
from gpt2.text.tokenizer_files import EOT

Kind = Literal["gpt2", "roberta", "bert", "file"]
"""What a class makes of tokenizer.json: "file" takes it as it is; the others take its vocabulary and merges alone, and
set normaliser, split and decoder themselves (`add_prefix_space`, `do_lower_case`, ... of tokenizer_config.json)."""

READ: dict[str, Kind] = {
    "GPT2Tokenizer": "gpt2",
    **dict.fromkeys(("RobertaTokenizer", "BartTokenizer", "LEDTokenizer", "MvpTokenizer"), "roberta"),
    **dict.fromkeys(("BertTokenizer", "LxmertTokenizer", "MobileBertTokenizer", "SqueezeBertTokenizer"), "bert"),
    **dict.fromkeys(("PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend"), "file"),
}
WRITTEN: dict[Kind, str] = {
    "gpt2": "GPT2Tokenizer", "roberta": "RobertaTokenizer", "bert": "BertTokenizer", "file": "PreTrainedTokenizerFast",
}  # fmt: skip
DEFAULT_TOKENS: dict[Kind, dict[str, str]] = {
    "gpt2": {"bos_token": EOT, "eos_token": EOT, "unk_token": EOT},
    "roberta": {
        "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "</s>", "pad_token": "<pad>",
        "cls_token": "<s>", "mask_token": "<mask>",
    },
    "bert": {
        "unk_token": "[UNK]", "sep_token": "[SEP]", "pad_token": "[PAD]", "cls_token": "[CLS]", "mask_token": "[MASK]",
    },
    "file": {},
}  # fmt: skip
"""The tokens that a class names where its files name none."""

# Classes of transformers 5.24 with rules of their own. A name that transformers does not know means "file".
OTHER_CLASSES = frozenset(
    f"{name}Tokenizer"
    for name in (
        "Albert Barthez Bartpho Basic BertGeneration BertJapanese Bertweet BigBird BioGpt BlenderbotSmall "
        "Blenderbot ByT5 CLIP CTRL Camembert Canine Character Clvp CodeGen CodeLlama Cohere ConvBert CpmAnt "
        "Cpm DPRContextEncoder DPRQuestionEncoder DPRReader Deberta DebertaV2 Dia DistilBert Esm Esmc FNet "
        "FSMT FastSpeech2Conformer Flaubert Funnel GPTNeoXJapanese GPTNeoX GPTSw3 Gemma Herbert Lasr "
        "LayoutLMv2 LayoutLMv3 LayoutXLM Llama Luke M2M100 MBart50 MBart MLuke MPNet Marian MarkupLM Mecab "
        "Mgpstr MyT5 Nllb Nougat OpenAIGPT PLBart Parakeet Pegasus Perceiver Phobert Pop2Piano ProphetNet "
        "Qwen2 Qwen3_5 Rag Reformer RemBert RoCBert RoFormer SeamlessM4T Siglip2 Siglip Speech2Text SpeechT5 "
        "Splinter T5 Tapas Tipsv2 Udop VideoPrism Vits Wav2Vec2CTC Wav2Vec2PhonemeCTC Whisper Wordpiece XGLM "
        "XLMRoberta XLM XLNet"
    ).split()
) | {"BertTokenizerLegacy", "PreTrainedTokenizerBase", "MistralCommonBackend", "SentencePieceBackend"}


def class_of(
    folder: Path, settings: Mapping[str, Any], config: Mapping[str, Any], byte_level_json: bool
) -> tuple[Kind | None, str | None]:
    """The kind that reads a directory's tokenizer (None: the files do not say), and the class that they name.

    settings         tokenizer_config.json
    config           config.json
    byte_level_json  whether tokenizer.json speaks of ByteLevel

    Raises ValueError naming file and class for one that is not read here.
    """
    named, file = settings.get("tokenizer_class"), "tokenizer_config.json"
    if not named and config.get("tokenizer_class"):
        named, file = config["tokenizer_class"], "config.json"
    if not named:
        return ("gpt2" if config.get("model_type") == "gpt2" else None), None
    if not isinstance(named, str):
        raise ValueError(f"{folder / file}: tokenizer_class is {shortened(named)}, and must be a name.")
    plain = named.removesuffix("Fast")
    if plain == "LlamaTokenizer" and byte_level_json:
        return "file", named
    if plain not in OTHER_CLASSES:
        return READ.get(named) or READ.get(plain, "file"), named
    raise ValueError(
        f"{folder / file}: tokenizer_class is {shortened(named)}, which is not read here: open the directory with "
        "transformers' AutoTokenizer, save its backend_tokenizer as tokenizer.json and name there "
        "'PreTrainedTokenizerFast'."
    )
