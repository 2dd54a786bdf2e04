"""`gpt2 serve`: a server for the clients that people already have: OpenAI's, lm-eval's, curl.

In: a model, adapters perhaps, limits. Out: an HTTP server until a signal. Read next: gpt2/server/api/app.py.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from gpt2.base.errors import UsageError
from gpt2.cli.common import Count, ModelOptions, load_model

if TYPE_CHECKING:
    from gpt2.inference.engine import Limits
    from gpt2.server.api.served import Served

KEY = "GPT2_API_KEY"


@dataclass
class Command(ModelOptions):
    """Serve a model over HTTP, with the routes of OpenAI's API.

    The official openai client, lm-eval and curl take the model from here: /v1/completions,
    /v1/chat/completions, /v1/models, /tokenize, /detokenize, /health and /metrics. Many requests are
    answered at the same time. Without a key the explain page stands at the same address.
    docs/serve.md lists the parameters, and where an answer differs from OpenAI's.

    Only this machine reaches the server, unless --host names an address that others reach: then
    it asks for --api-key, or for GPT2_API_KEY in the environment, where `ps` does not show it.

    examples:
      gpt2 serve
      gpt2 serve --model openai-community/gpt2 --dtype bfloat16 --port 9000
      gpt2 serve --adapter poems=runs/poems/adapter --adapter law=runs/law/adapter
      GPT2_API_KEY=secret gpt2 serve --host 0.0.0.0
    """

    host: Annotated[str, tyro.conf.arg(metavar="ADDRESS")] = "127.0.0.1"
    """The address that is listened to; 0.0.0.0: all of this machine's."""
    port: Annotated[int, tyro.conf.arg(metavar="N")] = 8000
    """The port; 0: any that is free."""
    api_key: Annotated[str | None, tyro.conf.arg(metavar="KEY", help_behavior_hint="(default: $GPT2_API_KEY)")] = None
    """What a client must send: Authorization: Bearer KEY."""
    allow_origin: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="ORIGIN", help_behavior_hint="")
    ] = ()
    """Let pages of this origin, such as https://example.org, ask from a browser."""
    adapter: Annotated[
        tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=DIR", help_behavior_hint="")
    ] = ()
    """Serve the model with this adapter too, as the model NAME; each takes the memory of a whole model."""
    rows: Annotated[int, tyro.conf.arg(metavar="N")] = 32
    """Texts that are continued at the same time."""
    waiting: Annotated[int, tyro.conf.arg(metavar="N")] = 256
    """Requests that may wait; more are refused with status 429."""
    kv_mb: Annotated[
        int | None, tyro.conf.arg(metavar="N", help_behavior_hint="(default: a quarter of the memory)")
    ] = None
    """Megabytes for keys and values, of each model."""
    max_tokens: Count = None
    """The most new tokens of a text (default: what the context leaves)."""
    max_prompt: Count = None
    """The most tokens of a prompt (default: the context)."""
    timeout: Annotated[float, tyro.conf.arg(metavar="SECONDS")] = 600.0
    """How long one answer may take."""

    def run(self) -> None:
        """Load, and serve until a signal."""
        key = os.environ.get(KEY) if self.api_key is None else self.api_key
        self._check(key)
        from gpt2.cli.leave import serve_until_signal
        from gpt2.inference.engine import Limits
        from gpt2.server.api.app import Settings
        from gpt2.server.api.run import check_reach, serve_models, to_stderr
        from gpt2.server.api.served import Models

        check_reach(self.host, key)
        megabytes = None if self.kv_mb is None else self.kv_mb * 10**6
        models = Models(self._served(Limits(self.rows, self.waiting, megabytes)))
        settings = Settings(
            key=key, origins=self.allow_origin, max_tokens=self.max_tokens, max_prompt=self.max_prompt,
            max_texts=self.rows + self.waiting, timeout=self.timeout,
        )  # fmt: skip
        serve_until_signal(lambda: serve_models(models, settings, self.host, self.port, to_stderr))

    def _check(self, key: str | None) -> None:
        """UsageError for what is wrong in the options alone, before a model is loaded."""
        from gpt2.server.run import check_port

        if key == "":
            raise UsageError("the key is empty: give --api-key a text, or leave it and GPT2_API_KEY out.")
        check_port(self.port)
        for name in ("max_tokens", "max_prompt", "kv_mb"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(argument=name, value=value, mend="it must be at least 1.")
        if not self.timeout > 0:
            raise UsageError(argument="timeout", value=self.timeout, mend="it must be above 0.")
        for origin in self.allow_origin:
            if not re.fullmatch(r"https?://[^/\s*]+", origin):
                mend = "give scheme and host, such as https://example.org."
                raise UsageError(argument="allow_origin", value=origin, mend=mend)
        names = [self.model, *(name for name, _ in self._adapters())]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"two models are called {twice[0]}: give each adapter a name of its own.")

    def _adapters(self) -> list[tuple[str, str]]:
        """Name and directory of each adapter."""
        found = []
        for given in self.adapter:
            name, equals, directory = given.partition("=")
            if not (name and equals and directory):
                mend = "give a name and a directory, as in poems=runs/poems/adapter."
                raise UsageError(argument="adapter", value=given, mend=mend)
            found.append((name, directory))
        return found

    def _served(self, limits: "Limits") -> "list[Served]":
        """The model and its adapters, loaded."""
        from gpt2.checkpoint.hf_config import adapter_base
        from gpt2.checkpoint.hub import base_directory
        from gpt2.server.api.served import Served

        for name, directory in self._adapters():
            if not Path(directory).is_dir() or adapter_base(Path(directory)) is None:
                mend = "name the directory of an adapter, which holds an adapter_config.json."
                raise UsageError(argument="adapter", value=f"{name}={directory}", mend=mend)
        base = self.load()
        served = [Served(self.model, base, limits)]
        for name, directory in self._adapters():
            theirs = base_directory(Path(directory))
            if theirs.resolve() != base.directory.resolve():
                raise UsageError(
                    f"the adapter {name} belongs to another model than {self.model}",
                    "give {model}.",
                    model=str(adapter_base(Path(directory))),
                )
            adapted = load_model(directory, self.dtype, self.device, None, self.tokenizer, self.activation)
            served.append(Served(name, adapted, limits, self.model))
        return served
