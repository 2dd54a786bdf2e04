"""`gpt2` as a program that starts at once: each command is a fork of a process that has imported PyTorch already.

In: a folder for the program. Out: the program; a command has the words, the folder, the variables and the streams of
whoever starts it. It is for many commands that are not about the start of Python itself, which takes seconds.
"""

import json
import os
import select
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]
PROGRAM = """\
#!{python} -SE
import json, os, socket, sys
to = socket.socket(socket.AF_UNIX)
to.connect({path!r})
socket.send_fds(to, [b"."], [0, 1, 2])
to.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode())
to.shutdown(socket.SHUT_WR)
raise SystemExit(to.recv(1)[0])
"""


@contextmanager
def forking(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Inside this block `folder` has the program `gpt2`, whose modules were imported with these variables."""
    with TemporaryDirectory() as short:  # the path of a socket has at most 104 bytes
        path = f"{short}/socket"
        words = [sys.executable, "-m", "tests.forked", path]
        with subprocess.Popen(
            words, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as server:
            assert server.stdin is not None
            assert server.stdout is not None
            assert server.stdout.read(1) == b"."  # it listens
            program = folder / "gpt2"
            program.write_text(PROGRAM.format(python=sys.executable, path=path))
            program.chmod(0o755)
            yield
            server.stdin.close()


def serve(path: str) -> None:
    """Fork for every command that comes, until standard input ends."""
    import gpt2.cli.explain.command
    import gpt2.cli.generate
    import gpt2.cli.train  # noqa: F401

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        os.write(1, b".")
        while listener in select.select([listener, 0], [], [])[0]:
            asked, _ = listener.accept()
            if os.fork() == 0:
                become(asked)
            asked.close()
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def become(asked: socket.socket) -> None:
    """Turn this fork into the command that is asked for; does not return."""
    from gpt2.cli.main import main

    code = 1
    try:
        _, streams, _, _ = socket.recv_fds(asked, 1, 3)
        words, folder, variables = json.load(asked.makefile())
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", 1, encoding="utf-8", closefd=False)  # noqa: SIM115
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        sys.argv = ["gpt2", *words]
        code = main(words)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        asked.sendall(bytes([code]))
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
