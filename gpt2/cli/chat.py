"""`gpt2 chat`: talk with a model, in the terminal or through a pipe.

In: messages, a line each, and the sampling options. Out: the answers, as they are computed; all else that is said
goes to standard error. What a conversation is stands in gpt2/inference/conversation.py.
"""

import json
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from gpt2.base.counted import counted
from gpt2.base.errors import UsageError
from gpt2.base.foreign import shortened
from gpt2.base.visible import quoted
from gpt2.cli.chat_input import Interrupt, Lines
from gpt2.cli.common import Flag, print_json
from gpt2.cli.console import progress
from gpt2.cli.errors import sentence
from gpt2.cli.generate import SamplingOptions, begun, write

if TYPE_CHECKING:
    from gpt2.inference.conversation import Conversation, Turn

COMMANDS = {
    "/retry": "another answer to the last message",
    "/undo": "take back the last message and its answer",
    "/clear": "begin again; the system message stays",
    "/help": "this list",
    "/exit": "leave, as Ctrl-D does",
}
SYNONYMS = {"/regen": "/retry", "/reset": "/clear", "/?": "/help", "/bye": "/exit", "/quit": "/exit"}
NO_MESSAGE = "standard input holds no message: pipe in a line for each."


@dataclass
class Command(SamplingOptions):
    """Talk with a model that was trained on conversations, such as by `gpt2 finetune`.

    Each line is a message; one that ends in a backslash goes on in the next line. /retry, /undo, /clear,
    /help and /exit are commands; a message that begins with a slash is written with two. Ctrl-C ends an
    answer; Ctrl-D, or Ctrl-C once more, leaves. In a pipe only the answers go to standard output.

    The model reads the conversation as its chat template writes it. When the context is full, the oldest
    messages are left out, each with its answer; the system message stays. The sampling options, and what
    the model's generation_config.json says, work as in `gpt2 generate`; an answer also ends where the
    chat template ends it.

    examples:
      gpt2 chat --model runs/chats/model --system "Answer in one sentence."
      printf 'Hi\\nAnd then?\\n' | gpt2 chat --model runs/chats/model --seed 3
    """

    system: Annotated[str | None, tyro.conf.arg(metavar="TEXT", help_behavior_hint="(default: none)")] = None
    """The system message: it stands before all others and is never left out."""
    allow_special: Flag = False
    """Read special tokens that a message spells as the tokens; otherwise they are ordinary text."""
    json: Flag = False
    """Print a line of JSON for each answer instead of its text as it comes."""

    def run(self) -> None:
        """Talk until there are no more messages."""
        if self.system is not None and not self.system.strip():
            raise UsageError("--system is empty: give a text, or leave it out.")
        if self.system is not None and self.system.startswith("@") and Path(self.system[1:]).is_file():
            raise UsageError(f'--system is the text itself: write --system "$(cat {quoted(self.system[1:])})".')
        if sys.stdin is None:
            raise UsageError("there is no standard input: type messages in a terminal, or pipe them in.")
        typed = self.typed()
        lines = Lines(prompts_on_stdout=not self.json)
        if lines.is_empty():
            raise UsageError(NO_MESSAGE)

        from gpt2.inference.conversation import Conversation

        checkpoint = self.load()
        sampling = self.sampling(checkpoint, typed)
        with progress("reading the chat template"):
            conversation = Conversation(
                checkpoint.model, checkpoint.tokenizer, sampling, self.system, self.allow_special
            )
        talk = Talk(conversation, self, lines)
        talk.begin(checkpoint.name)
        code = talk.run()
        if code:
            raise SystemExit(code)


class Talk:
    """One session: reads messages, prints answers."""

    def __init__(self, conversation: "Conversation", command: Command, lines: Lines) -> None:
        self.conversation, self.command, self.lines = conversation, command, lines
        self.interrupt = Interrupt(self.lines.terminal)  # pressed: whether Ctrl-C was the last key
        self.read = self.code = 0

    def begin(self, name: str) -> None:
        """Say by which template the model is talked to, and how to leave."""
        if self.conversation.chat.template.own:
            self.say(f"{name}: the conversation is written by its own chat template.")
        else:
            plain = 'the plain one is used ("User: ...", "Assistant: ...")'
            self.say(f"{name} has no chat template, so it was probably not trained to chat; {plain}.")
        room = self.conversation.room
        if (self.command.max_tokens or 0) > room:
            self.say(f"an answer has at most half of the context ({counted(room, 'token')}).")
        if self.lines.terminal:
            self.say("Ctrl-C ends an answer, Ctrl-D leaves, /help lists the commands.")

    def run(self) -> int:
        """Answer all messages. The exit code: 0, unless a line of a pipe was refused or there was none."""
        going = True
        while going:
            try:
                going = self.next()
            except ValueError as error:
                self.say(sentence(error, self.command, "gpt2 chat"))
                self.code = 2 if isinstance(error, UsageError) else 1
        if self.lines.terminal:
            return 0
        if not self.read and not self.code:
            self.say(NO_MESSAGE)
            return 2
        self.tell_unread()
        return self.code

    def tell_unread(self) -> None:
        """Say how many lines of a pipe stand behind the one that left."""
        count, all_of_them = self.lines.unread()
        if count:
            more = f"{'' if all_of_them else 'at least '}{counted(count, 'line')}"
            self.say(f"/exit ended the conversation: {more} after it {'was' if count == 1 else 'were'} not read.")

    def next(self) -> bool:
        """Read a message and answer it, or follow it as a command; False where it was the last."""
        try:
            message = self.lines.message()
        except KeyboardInterrupt:
            if not self.lines.terminal:
                raise
            print(file=sys.stderr)
            return self.interrupted_again()
        if message is None:
            return False
        self.interrupt.pressed = False
        if not message.strip():
            return True
        self.read += 1
        with self.interrupt:
            return self.take(message)

    def interrupted_again(self) -> bool:
        """Ctrl-C at the prompt: whether to stay, since it was the first in a row."""
        if self.interrupt.pressed:
            return False
        self.interrupt.pressed = True
        self.say("Ctrl-C once more, Ctrl-D or /exit leaves.")
        return True

    def take(self, message: str) -> bool:
        """Answer a message or follow a command; False where it was the last."""
        if not self.lines.terminal and is_row(message):
            where = "a conversation as JSON is no message"
            raise UsageError(f"{where}: pipe in what the user says, a line each: printf '%s\\n' 'Hi' | gpt2 chat.")
        word, _, more = message.strip().partition(" ")
        if message.startswith("//"):
            message = message[1:]
        elif word.startswith("/"):
            return self.follow(word, more)
        self.answer(self.conversation.ask(message))
        return True

    def follow(self, word: str, more: str) -> bool:
        """Follow a command; False where it leaves."""
        name = SYNONYMS.get(word.lower(), word.lower())
        if name not in COMMANDS:
            *most, last = COMMANDS
            known = f"{', '.join(most)} or {last}"
            raise UsageError(f"there is no command {word}: type {known}, or /{word} to send it as a message.")
        if more:
            raise UsageError(f"{word} stands alone on its line: leave out {more!r}, or type /{word} to send a message.")
        if name == "/retry":
            if self.conversation.sampling.temperature == 0 and self.conversation.turns:
                self.say("at temperature 0 the answer is always the same.")
            self.answer(self.conversation.retry())
        elif name == "/undo":
            self.say(f"took back {shortened(self.conversation.undo().message)} and its answer.")
        elif name == "/clear":
            self.conversation.clear()
            self.say("the conversation begins again.")
        elif name == "/help":
            print("\n".join(f"{name:<8}{what}" for name, what in COMMANDS.items()), file=sys.stderr)
        return name != "/exit"

    def answer(self, turn: "Turn") -> None:
        """Print an answer as it comes, and what is to be said of it."""
        turns = self.conversation.turns
        dropped = turn.left_out - (turns[-2].left_out if len(turns) > 1 else 0)
        if dropped and not turn.attempt:
            what = "message and its answer" if dropped == 1 else f"{dropped} messages and their answers"
            self.say(f"the context is full: the oldest {what} were left out.")
        try:
            self.show(turn)
        except ValueError:
            self.conversation.undo()
            raise
        self.remark(turn)

    def show(self, turn: "Turn") -> None:
        """Compute an answer and print it."""
        with progress("answering") if self.command.json else nullcontext():
            for text in turn if self.command.json else begun(iter(turn)):
                if not self.command.json:
                    write(text)
                if self.interrupt.pressed:
                    break
        if self.command.json:
            print_json(as_json(self.conversation))
            sys.stdout.flush()
        else:
            write("\n")

    def remark(self, turn: "Turn") -> None:
        """Say why an answer ended, where that is not its own end."""
        sampling = self.conversation.sampling
        if turn.finish_reason == "stopped":
            self.say("stopped: the model remembers its answer up to here. Ctrl-C once more leaves.")
        elif turn.finish_reason == "length" and len(turn.ids) >= sampling.max_tokens:
            self.say(f"the answer was cut after {counted(len(turn.ids), 'token')}: --max-tokens sets how many.")
        elif turn.finish_reason == "length":
            self.say(f"the answer was cut after {counted(len(turn.ids), 'token')}: the context is full.")
        elif not turn.text:
            self.say("the model ended its answer before it said anything.")

    def say(self, text: str) -> None:
        """A line on standard error."""
        print(f"gpt2: {text}", file=sys.stderr, flush=True)


def is_row(message: str) -> bool:
    """Whether a line is a row to fine-tune on, or a message as JSON, and not what a user says."""
    try:
        row = json.loads(message) if message.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and bool({"messages", "conversations", "role", "prompt", "instruction"} & {*row})


def as_json(conversation: "Conversation") -> dict[str, Any]:
    """The last answer as the JSON output has it."""
    turn = conversation.turns[-1]
    return {
        "message": conversation.messages()[-1],
        "prompt_ids": turn.prompt_ids,
        "ids": turn.ids,
        "finish_reason": turn.finish_reason,
        "left_out": turn.left_out,
    }
