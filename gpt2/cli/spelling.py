"""How options are spelled. In: the name of an argument or an option. Out: what is typed. Read next: parsing.py."""


def option(name: str) -> str:
    """The option of an argument or setting: --lora-alpha, --train.batch-size."""
    return f"--{name.replace('_', '-')}"


def opposite(flag: str) -> str:
    """--no-x of --x, --section.no-x of --section.x, and the reverse."""
    start, dot, name = flag.removeprefix("--").rpartition(".")
    return f"--{start}{dot}{name.removeprefix('no-') if name.startswith('no-') else f'no-{name}'}"
