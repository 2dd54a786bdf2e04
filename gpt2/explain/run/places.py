"""Addresses as they are typed: the core's grammar, and answers for the names that other libraries have for a component.

In: text such as `blocks.3.attn.hook_z`, `transformer.h.3.mlp`, `L3H1` or `head.3.1`. Out: addresses where the text is
one; else an error that names ours, here `3.attn.z`, `3.mlp` and `3.head.1`. Read next: gpt2/addresses.py.
"""

import re

from gpt2 import addresses
from gpt2.addresses import Address
from gpt2.base.errors import UsageError

N = r"(\d+|\*)"
BEFORE = r"(transformer|gpt2|gpt_neox|model|hf_model)\."
LAYER = rf"(?:blocks?|layers?|resblocks?|l|h)[._]?{N}(?:[._]?|$)"
"""What stands before a block's number elsewhere."""
WHOLE = (
    (rf"h(?:eads?)?[._]?{N}[._:/-]{N}", r"\1.head.\2"),
    (rf"\(?{N}[.,:/ -]+{N}\)?", r"\1.head.\2"),
    (rf"(?:attn|attention|a)[._]?{N}[._]?h(?:eads?)?[._]?{N}", r"\1.head.\2"),
    (rf"(?:attn|attention|a)(?:_out)?[._]?{N}", r"\1.attn"),
    (rf"(?:mlp|ffn?|m)(?:_out)?[._]?{N}", r"\1.mlp"),
    (rf"(?:mlp|neurons?)[._]?{N}[._:/-](\d+)", r"\1.mlp.post#\2"),
    ("wte|embed|tok_embed|token_embedding|embeddings|embed_in|embed_tokens", "embed.tok"),
    ("wpe|pos_embed|positions?|pos|position_embedding", "embed.pos"),
    (r"ln_f|ln_final(\.normalized)?|final_norm|final_layer_norm|norm", "final.out"),
    (r"ln_f(inal)?\.scale", "final.scale"),
    ("lm_head|unembed|embed_out|output", "logits"),
)
"""Names of a whole address, and ours."""
INSIDE = (
    (rf"(?:(?:self_)?attn|attention|a)?[._]?h(?:eads?)?[._]?{N}(?:[._]?(?:z|out|result))?", r"head.\1"),
    (rf"(?:(?:self_)?attn|attention)[._]{N}", r"head.\1"),
    (rf"head[._]{N}[._](?:attn[._])?(pattern|scores|q|k|v)", r"head.\1|attn.\2"),
    (r"(?:self_)?attn(?:_out|ention)?|attention|attn\.(?:c_proj|out_proj|o_proj)", "attn"),
    (r"attn\.result", "head.*.out"),
    (r"(?:attn|attention|self_attn)?[._]?(q|k|v)(?:_proj)?", r"attn.\1"),
    (r"(?:attn|attention)?[._]?(?:attn_)?(z|pattern|scores)", r"attn.\1"),
    (r"(?:attn|attention)[._](?:weights|probs)|attn_(?:weights|probs)", "attn.pattern"),
    (r"(?:attn|attention)[._](?:c_attn|qkv|query_key_value)", "attn.q|attn.k|attn.v"),
    (r"mlp_out|mlp\.(?:c_proj|out_proj|fc2|down_proj)|ffn?|feed_forward", "mlp"),
    (r"mlp\.(?:c_fc|fc1|up_proj|pre_act)", "mlp.pre"),
    (r"mlp\.act|(?:mlp\.)?neurons|post", "mlp.post"),
    (r"(?:mlp|n(?:eurons?)?)(?:\.post)?[._#]?(\d+)|mlp\.post\.(\d+)", r"mlp.post#\1\2"),
    (r"ln_?([12])(?:\.normalized)?", r"ln_\1.out"),
    (r"ln([12])\.scale", r"ln_\1.scale"),
    (r"resid|residual|hidden_states?|output|out|", "resid_post|block"),
)
"""Names behind a block's number, and ours; several between bars."""


def parse(text: str, n_layer: int, n_head: int) -> list[Address]:
    """`gpt2.addresses.parse`. Raises UsageError, with our name, for a name that another library has."""
    try:
        return addresses.parse(text, n_layer, n_head)
    except ValueError:
        meant = ours(text)
        for one in meant:
            addresses.parse(one, n_layer, n_head)  # a block or head that the model lacks is said by our name
        if not meant or meant == [text]:
            raise
    if text.isdecimal():
        raise UsageError(
            f"{text!r} is no address: a head is 0.head.{text}, what block {text} gives is {text}.resid_post."
        )
    raise UsageError(f"{text!r} is no address here: did you mean {' or '.join(meant)}?")


def ours(text: str) -> list[str]:
    """Our addresses of what another library calls by this name; none where no library has such a name."""
    name, *after = re.split(r"(?=[@#])", text.strip(), maxsplit=1)
    name = re.sub(r"\[(\d+|\*)\]", r".\1", re.sub(f"^{BEFORE}", "", name.lower())).replace("hook_", "").strip(".")
    for pattern, address in WHOLE:
        if found := re.fullmatch(pattern, name):
            return [found.expand(address) + "".join(after)]
    layer = re.match(LAYER, name) or re.match(rf"{N}(?:[._]?|$)", name)
    if layer is None:
        return []
    rest = name[layer.end() :]
    for pattern, points in (*INSIDE, *((re.escape(point), point) for point in ("mlp", *addresses.LAYER_POINTS))):
        if found := re.fullmatch(pattern, rest):
            return [f"{layer[1]}.{found.expand(point)}{''.join(after)}" for point in points.split("|")]
    return []
