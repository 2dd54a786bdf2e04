"""What other programs call things, and what to type here: a table, and the one question that it answers.

In: an option that a command does not have, as `transformers`, lm-eval, llama.cpp, nanoGPT, nanochat or gpt-2-simple
spell it; the options and places that the command has. Out: what to type in its place. Read next: parsing.py.
"""

import json
import os
import re
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gpt2.base.names import SETTINGS

if TYPE_CHECKING:
    from gpt2.cli.parsing import Known

TABLE = {
    # where the model is, where the text is, where the result goes
    "m model model-name model-name-or-path model-path model-dir model-id pretrained checkpoint ckpt ckpt-path run-name":
        "@model the model stands without an option: {prog} storyteller | --model MODEL | --train.init MODEL",
    "train.init": "--train.init MODEL | --model MODEL",
    "tokenizer-name tokenizer-path tokenizer-name-or-path": "--tokenizer DIR",
    "p prompt text input inputs query prefix start message": '--prompt TEXT | '
        "@chat type the message at the prompt of `gpt2 chat`, or pipe it in: {piped} | "
        '@text the text stands without an option, in quotes: {prog} "Once upon a time" | '
        "@files the file stands without an option: {prog} FILE",
    "f file prompt-file input-file text-file":
        "@files the file stands without an option: {prog} FILE | @text pipe the file in: {prog} < FILE",
    "data.train":
        "--data.train DIR | @files the file stands without an option: {prog} FILE | @text pipe it in: {prog} < FILE",
    "text-field text-column column-name": "--field NAME",
    "prompt-field prompt-column input-field input-column instruction-field instruction-column question-field "
    "completion-field completion-column response-field response-column output-field output-column answer-field "
    "target-field target-column label-column":
        '@finetune rename the fields in the file: what is asked to "prompt", and the answer to "completion" | '
        "--field NAME",
    "data.val":
        "--data.val DIR | --val FILE",
    "o output out-dir output-dir output-path save-dir save-path out output-file out-file": "--out DIR | "
        "@directory the directory stands without an option: {prog} MODEL DIR | "
        "--json, and write it to a file with > FILE",
    "overwrite-output-dir force overwrite": "--overwrite | nothing is replaced by this command, so leave it out",
    "resume-from-checkpoint resume-from continue-training": "--resume RUN",
    # how a text is continued
    "n num count": "--max-tokens N, the most tokens that are added | @next --top N | --limit N",
    "n-predict max-new-tokens max-length max-tokens length num-tokens new-tokens max-gen-len n-tokens tokens":
        "--max-tokens N, the most tokens that are added | --context N",
    "num-return-sequences num-samples nsamples n-samples samples number-of-samples": "--n N | @next --top N",
    "num-beams beam-size beams num-beam-groups best-of length-penalty early-stopping":
        "beams are not built; --n N draws several texts | beams are not built, so leave it out",
    "do-sample sample sampling":
        "--temperature X, which draws where X is above 0; with 0 the likeliest token is taken",
    "greedy no-sample argmax": "--temperature 0, which takes the likeliest token each time",
    "temp": "--temperature X",
    "k topk": "--top-k K | --top K",
    "topp nucleus top-p-sampling": "--top-p P",
    "repeat-penalty penalty": "--repetition-penalty X",
    "no-repeat-ngram ngram no-repeat-ngram-size": "--no-repeat-ngram-size N | --repetition-penalty X",
    "stop-sequence stop-sequences stop-string stop-strings stop-token eos eos-token eos-token-id reverse-prompt "
    "truncate-at": "--stop TEXT",
    "logit-bias bias bad-words-ids suppress-tokens":
        "logit_bias is a setting of gpt2.Sampling in Python, as in gpt2.generate(model, tokenizer, text, "
        "logit_bias={262: -100}), and of a request to `gpt2 serve`",
    "truncation truncate truncation-side": "--truncate left",
    "train.seed s": "--seed N | --train.seed N",
    "no-cache use-cache cache kv-cache": "keys and values are always kept and change no text, so leave it out",
    "stream no-stream streaming": "the text is written as it comes; --json prints it whole at the end",
    "i interactive cnv conversation chat": "`gpt2 chat` keeps the model and talks | "
        "@text a text at a time is read; {prog} - reads it from standard input",
    "include-prefix return-full-text echo": "the prompt stands before its text; --json gives the two apart",
    # how a model is trained
    "optim.lr": "--optim.lr RATE | --lr RATE",
    "optim.floor": "--optim.floor X, a share of the rate",
    "optim.schedule": "--optim.schedule NAME",
    "optim.warmup_steps":
        "@finetune --optim.warmup-steps N, a whole number; without it a tenth of the steps are warm-up, at most 20 | "
        "--optim.warmup-steps N, a number of steps",
    "optim.weight_decay": "--optim.weight-decay X",
    "optim.clip": "--optim.clip X",
    "optim.name": "--optim.name NAME",
    "betas adam-betas": "--optim.beta1 X and --optim.beta2 X",
    "optim.beta1": "--optim.beta1 X",
    "optim.beta2": "--optim.beta2 X",
    "optim.eps": "--optim.eps X",
    "train.batch_size b":
        "--train.batch-size N | --batch-size N | how much is computed at once is chosen here, so leave it out",
    "train.micro_batch_size":
        "--train.micro-batch-size N, the rows computed at once | --micro-batch-size N, the rows computed at once",
    "epochs num-train-epochs num-epochs n-epochs": "--epochs N | --train.steps N, a number of steps: "
        "the first line of a run says how many steps one pass over the data is",
    "train.steps": "--train.steps N | "
        "--epochs N, a number of passes over the text, such as 3: "
        "the second line of a run says how many steps these are",
    "train.context c max-length-tokens window max-model-len": "--train.context N | --context N | "
        "the context is the model's own, so leave it out",
    "dropout": "--model.dropout P | --dropout P | --lora-dropout P",
    "lora-r lora-rank r rank use-lora peft": "--lora RANK",
    "lora adapter adapters lora-path lora-model lora-adapter adapter-path adapter-model peft-model adapter-name":
        "--adapter NAME=DIR | @finetune --model {adapter} --lora {rank} | "
        "--model {adapter} alone: an adapter is a model, and names its base by itself | "
        "@model an adapter is a model, which stands without an option: type `{prog} {adapter}`",
    "freeze freeze-layers freeze-blocks freeze-embeddings frozen unfreeze trainable-layers freeze-base":
        "no block is frozen here; --lora RANK leaves all weights of the model as they are | "
        "no block is frozen here, so leave it out",
    "target-modules lora-target-modules lora-modules": "--lora-targets NAME | --adapter NAME=DIR",
    "early-stopping-patience": "--patience N",
    "train.eval_every": "--train.eval-every N | --eval-every N",
    "train.log_every": "--train.log-every N",
    "train.save_every": "--train.save-every N",
    "train.keep_last": "--train.keep-last N",
    "train.activation_checkpointing": "--train.activation-checkpointing",
    "train.compile": "--train.compile",
    "ddp fsdp": "--train.parallel ddp or fsdp",
    "report-to wandb use-wandb wandb-log wandb-project tensorboard":
        "--train.tensorboard; `gpt2 runs` draws the curves too | `gpt2 runs` draws the curves of a run",
    "model.n_layer": "--model.n-layer N",
    "model.n_head": "--model.n-head N | --heads N",
    "model.n_embd embd n-embed": "--model.n-embd N",
    "max-train-samples max-samples num-examples num-samples-eval": "--limit N",
    "vocab": "--vocab-size N",
    "val-fraction val-split validation-split split-ratio test-size val-size eval-fraction holdout val-ratio test-split":
        "@prepare nothing is held out here: move some lines to a file of their own, such as val.txt, and prepare that "
        "one too: `gpt2 prepare val.txt --out data/val` | --data.val DIR, a data set of its own | "
        "--val FILE, or leave it out: without it a tenth of the rows is held out",
    # what is measured and shown
    "perplexity ppl": "@score `gpt2 eval` gives the perplexity: type `{evaluated}` | "
        "@text `gpt2 eval` gives the perplexity: type `{evaluated}` | "
        "@files perplexity is printed without any option, so leave it out",
    "target token next-token candidate candidates word choices target-token completion": "--target TOKEN | "
        "@text `gpt2 score` gives the probability of every token: put the token at the end of the text, as in "
        '`gpt2 score "The cat sat on the grass"`',
    "layer layers block blocks l": "@walk --block {value} | "
        "@attention write --head {value}.head.*, all heads of block {value} | "
        "@off the component stands without an option, by its address: type `gpt2 explain off {value}.mlp` | "
        "@neurons the neuron stands without an option: type `gpt2 explain neurons {value}.mlp.post#123` | "
        "--read {value}.resid_post, the value by its address | "
        "--points {value}.resid_post, the value by its address | --of {value}.mlp | "
        "@effects every block is shown, so leave it out | @stream every block is shown, so leave it out | "
        "@text `gpt2 explain lens` shows every block: type `gpt2 explain lens {first}` | --model.n-layer N | "
        "@explain this analysis is about every block or about none, so leave it out",
    "attention attentions output-attentions show-attention": "--read 3.attn.pattern | "
        "@text `gpt2 explain attention` shows it: type `gpt2 explain attention {first}`",
    "hidden-states output-hidden-states activations names-filter hook hooks": "--read 3.resid_post | "
        "@text `gpt2 explain trace` reads any value: type `gpt2 explain trace {first} --read 3.resid_post`",
    "blimp minimal-pairs pair": "--pairs FILE | @files `gpt2 score` judges pairs: type `gpt2 score --pairs {first}`",
    "log-samples save-items predictions": "--items FILE.jsonl",
    "csv-file json-file to-csv to-json": "--csv, and write it to a file with > FILE | "
        "--json, and write it to a file with > FILE",
    "surprisal log-prob log-probs logprob logits probs probabilities scores output-scores return-logits":
        "--logprobs 5 | "
        "@score it is printed without any option, so leave it out | "
        "@next it is printed without any option, so leave it out | "
        "@text `gpt2 score` prints it: type `gpt2 score {first}`",
    "context-text preceding": "--context-file FILE, with the columns id, context and text",
    "base log-base unit units nats":
        "@score surprisal and entropy are in bits, log p is in nats, so leave it out | "
        "@files losses are in nats; bits per byte are printed beside them, so leave it out",
    "decode detokenize ids token-ids input-ids from-ids": "@tokenize the ids of a text are shown without any option; "
        "ids become a text in Python: type "
        "`python -c \"import gpt2; print(gpt2.load('storyteller').tokenizer.decode([464, 318]))\"`",
    "special special-tokens add-special-tokens parse-special": "--allow-special",
    # where and in which numbers
    "fp16 float16 half": "--dtype float16 | --train.dtype NAME | "
        "the machine chooses in which numbers it computes, so leave it out",
    "bf16 bfloat16 torch-dtype precision mixed-precision amp": "--dtype bfloat16 | --train.dtype NAME | "
        "the machine chooses in which numbers it computes, so leave it out",
    "load-in-8bit load-in-4bit load-in-8-bit quantize quantization q4 q8 bits wbits kind qtype ftype outtype":
        "--precision int8, or --precision int4 | "
        "@score surprisal and entropy are in bits, log p is in nats, so leave it out | "
        "quantise the model once, `gpt2 quantise MODEL DIR`, and give --model DIR | "
        "@model `gpt2 quantise` writes int8 and int4 weights: type `gpt2 quantise {first} DIR`",
    "gpu gpus cuda use-cuda use-gpu ngl n-gpu-layers device-map": "--device cuda | "
        "nothing is computed on a GPU here, so leave it out",
    "device": "--device WHERE | nothing is computed on a GPU here, so leave it out",
    "dtype": "--dtype TYPE | --precision int8, or --precision int4 | "
        "--train.dtype NAME | the machine chooses in which numbers it computes, so leave it out",
    "json": "this command prints no JSON, so leave it out",
    "seed": "--seed N | --train.seed N | nothing is drawn by chance here, so leave it out",
    "cpu no-cuda no-gpu use-cpu": "--device cpu",
    "t threads num-threads n-threads threads-per-process": "--threads N | --processes N | "
        "write OMP_NUM_THREADS=N before the command",
    "num-workers workers num-proc dataloader-num-workers jobs j":
        "--processes N | --jobs N | "
        "write OMP_NUM_THREADS=N before the command",
    "np parallel max-num-seqs max-batch-size max-concurrent-requests": "--rows N, the texts at the same time",
    "enable-lora": "--adapter NAME=DIR",
    "allowed-origins cors-origins cors": "--allow-origin ORIGIN",
    "served-model-name alias": "clients name the model as --model does, so leave it out",
    "push-to-hub upload hub-model-id hub-id repo-id": "nothing is uploaded here, so leave it out; afterwards "
        "`hf upload OWNER/NAME DIR`, of huggingface_hub, uploads a directory",
    "trust-remote-code": "code that comes with a checkpoint is never run, so leave it out",
    "tasks task-name": "--task NAME",
    "no-attention no-attn no-mlp no-mask no-norm no-layernorm no-ln no-residuals no-residual no-positions no-bias "
    "no-dropout without remove drop ablate component components variant variants contestant contestants":
        "@ablate what is left out stands in a study: type `gpt2 ablate recipes/ablation/minute.toml --plan`, which "
        "names its contestants, and then --only NAMES instead of --plan",
    "num-fewshot fewshot": "no examples are put before an item, so leave it out",
    "format output-format": "--json, for programs",
    # fine-tuning and chat
    "system-prompt system-message system-text sys": "--system TEXT | `gpt2 chat` alone takes a system message",
    "chat-template chat-template-file chat-template-path jinja": "the template is a file of the model: "
        "write gpt2 export MODEL DIR, copy yours to DIR/chat_template.jinja, and give --model DIR",
    "history load-history conversation-file session prompt-cache":
        "--context-file FILE, with the columns id, context and text | "
        "@chat a conversation begins empty: "
        "pipe the user's messages in, a line each, as in `gpt2 chat --model MODEL < messages.txt`",
    "v verbose debug": "write GPT2_TRACEBACK=1 before the command to see where an error arises",
}  # fmt: skip
"""Names with spaces between them, without their hyphens; what to do, the first that the command has, between bars.
A setting of a recipe, "optim.lr", stands for all names that SETTINGS has for it.

An answer names the options that it needs (`--lr`), a command (`gpt2 chat`), or begins with the place (@text) or the
command or analysis (@score) that it is for. {prog} stands for the command, {first} for the user's text or file, {value}
for what the user gave to the option, {evaluated} for a command that gives the perplexity of {first}, {adapter} and
{rank} for the directory and the rank of the adapter in {value}, {piped} for the command with {value} through a pipe.
"""

VALUES_ELSEWHERE = {
    "--precision": {
        **dict.fromkeys("8 8bit 8-bit q8 q8_0 i8 w8 load-in-8bit".split(), "type --precision int8"),
        **dict.fromkeys("4 4bit 4-bit q4 q4_0 q4_k_m i4 w4 nf4 fp4 load-in-4bit".split(), "type --precision int4"),
    },
    "--format": {
        **dict.fromkeys(
            "onnx coreml tflite torchscript tensorflow openvino mlx awq gptq exl2".split(),
            "leave --format out, and give the directory to a program that makes such a file of Hugging Face's format",
        ),
        **dict.fromkeys("ggml llama.cpp llamacpp ollama".split(), "write --format gguf"),
        **dict.fromkeys(
            "safetensors pytorch torch pt bin huggingface transformers".split(),
            "write --format hf, a directory whose weights are safetensors",
        ),
    },
    "--task": {
        **dict.fromkeys(
            "blimp blimp_all minimal-pairs pairs syntaxgym cola".split(),
            "minimal pairs are judged by `gpt2 score`: type `gpt2 score --pairs {first}`",
        ),
        **dict.fromkeys(
            "wikitext wikitext2 wikitext-2 wikitext103 wikitext-103 ptb enwik8 text8 perplexity ppl lm pile c4".split(),
            "that is a text: type `gpt2 eval {first}`",
        ),
        **dict.fromkeys("lambada_openai lambada_standard".split(), "type `gpt2 eval --task lambada {first}`"),
    },
}
"""What to do with the value of an option, as other programs have it."""

LEAVE_OUT = {("gpt2 explain heads", "--head"): "leave it out, the table has a row for each head"}
"""Why a command does without an option that another has."""

OPTION = re.compile(r"--[a-z][\w.-]*[a-z\d]|--n\b")
COMMAND = re.compile(r"`gpt2 (\w+)")
_KEYS = {key: answers.split(" | ") for keys, answers in TABLE.items() for key in keys.split()}
_OF_SETTINGS = {
    name.replace("_", "-"): _KEYS[key]
    for key in _KEYS
    if "." in key
    for name in (key.partition(".")[2], *SETTINGS[key].split())
}
_ANSWERS = _OF_SETTINGS | {key: answers for key, answers in _KEYS.items() if "." not in key}


def answer(
    typed: str,
    options: Collection[str],
    places: Collection[str],
    commands: Collection[str],
    prog: str,
    first: str = "",
    value: str = "",
    retyped: str = "",
) -> str:
    """What to do in place of an option that other programs have; "" where the table says nothing that this command has.

    typed     the option, with its hyphens
    options   those of the command; `places`: its positional arguments
    commands  those that there are, for answers that name another
    first     the user's text or file, `value`: what was given to the option; as they are typed, "" where there is none
    retyped   the command line without the option and its value
    """
    first = first or ("FILE" if "files" in places else "TEXT")
    for text in _ANSWERS.get(typed.lstrip("-").replace("_", "-").lower(), ()):
        place = re.match(r"@(\w+) ", text)
        if place and place[1] not in {*places, *prog.split()[1:]}:
            continue
        needed = OPTION.findall(text)
        if all(one in options for one in needed) and all(one in commands for one in COMMAND.findall(text)):
            said = text.partition(" ")[2] if place else text
            evaluated = f"gpt2 eval {first}" if os.path.isfile(first) else f"printf %s {first} | gpt2 eval -"
            stand = {"{prog}": prog, "{first}": first, "{value}": value or "3", "{evaluated}": evaluated}
            stand["{adapter}"], stand["{rank}"] = _adapter(value)
            stand["{piped}"] = f"`printf '%s\\n' {value or 'Hi'} | {retyped or prog}`"
            for name, typed in stand.items():
                said = said.replace(name, typed)
            return f"write {said}" if said.startswith("--") else said
    return ""


def _adapter(value: str) -> tuple[str, str]:
    """The directory of the adapter that was named, itself or as a run, and its rank."""
    run = value if value and not value.isdigit() else "RUN"
    place = run if os.path.isfile(f"{run}/adapter_config.json") else f"{run}/model"
    with suppress(OSError, ValueError, KeyError, TypeError):
        return place, str(int(json.loads(Path(place, "adapter_config.json").read_text(encoding="utf-8"))["r"]))
    return place, "RANK"


def another(
    typed: str, places: Collection[str], prog: str, known_of: "Callable[[type], Known]"
) -> "tuple[str, Known] | None":
    """The command of ours, or the analysis, that has an option which this one lacks, and what may be typed for it.

    A command that reads the same (a text, files) goes before another.

    known_of  what may be typed for a command
    """
    from importlib import import_module

    from gpt2.cli.commands import COMMANDS
    from gpt2.cli.explain.analyses import ANALYSES

    homes = [(f"gpt2 {name}", home, "Command") for name, (home, _) in COMMANDS.items()]
    homes += [(f"gpt2 explain {name}", home, kind) for name, (home, kind, _) in ANALYSES.items()]
    every = [(name, known_of(getattr(import_module(home), kind))) for name, home, kind in homes]
    found = [(name, known) for name, known in every if name != prog and typed in known.options]
    return min(found, key=lambda one: not {*one[1].places} & {*places}, default=None)
