"""Names of tokens and the objects that hold their log probabilities, without a server."""

from gpt2.inference.sampling import TokenLogprob
from gpt2.server.api.logprobs import Listing, content, joined, names, token_name
from gpt2.text.tokenizer import Tokenizer
from tests.generating import TOKENIZER


class Alike:
    """A tokenizer two of whose tokens have the same text, as files from elsewhere may have."""

    def has(self, token):
        return token < 3

    def token_bytes(self, token):
        return [b"a", b"a", b"\xe2\x80"][token]


def test_two_tokens_of_one_text_keep_their_own_places():
    assert names(Alike(), [0, 1, 2, 3]) == {
        0: "token_id:0:a", 1: "token_id:1:a", 2: "bytes:\\xe2\\x80", 3: "token_id:3",
    }  # fmt: skip
    assert names(Alike(), [0, 2]) == {0: "a", 2: "bytes:\\xe2\\x80"}
    assert token_name(TOKENIZER, 256) == "<|endoftext|>"


def test_a_prompt_and_what_follows_it():
    ids = TOKENIZER.encode("aé")
    logprobs = [None, *(TokenLogprob(i, -1.0, ((i, -1.0), (5, -2.0))) for i in ids[1:])]
    listing = Listing(TOKENIZER, ids)
    b = TOKENIZER.encode("b")[0]
    listed = joined(listing.of_prompt(logprobs), listing.of([TokenLogprob(b, -3.0, ((5, -0.5),))]))
    assert listed == {
        "tokens": ["a", "bytes:\\xc3", "bytes:\\xa9", "b"],
        "token_logprobs": [None, -1.0, -1.0, -3.0],
        "top_logprobs": [
            None, {"bytes:\\xc3": -1.0, "&": -2.0}, {"bytes:\\xa9": -1.0, "&": -2.0}, {"&": -0.5, "b": -3.0},
        ],
        "text_offset": [0, 1, 1, 2],
    }  # fmt: skip


def test_what_cannot_be_has_a_number_that_json_can_write():
    (entry,) = content(Tokenizer.bytes(), [TokenLogprob(1, float("-inf"), ())])
    assert entry == {"token": token_name(TOKENIZER, 1), "logprob": -9999.0, "bytes": [34], "top_logprobs": []}
