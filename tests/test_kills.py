"""The benchmark that kills commands, in one sequence: what it counts must be true before its zeros say anything."""

import os
import random
import signal
from pathlib import Path

import pytest

from benchmarks.kills.commands import Place, Prepare
from benchmarks.kills.measure import killed, undisturbed


class InOneProcess(Prepare):
    def words(self, place: Place) -> list[str]:
        return [*super().words(place)[:-1], "1"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_a_killed_preparation_goes_on_and_is_equal(tmp_path: Path) -> None:
    read, write = os.pipe()
    pid = os.fork()  # the benchmark takes orphans in and changes how signals are taken: not in this process
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(120)
        code = 1
        try:
            case = InOneProcess(tmp_path)
            case.text.write_text(case.text.read_text(encoding="utf-8")[:20_000])
            expected, _ = undisturbed(case, tmp_path / "whole")
            found = killed(case, tmp_path / "killed", expected, 0.0, 1, random.Random(0), real=False)
            os.write(write, repr((len(found.kills), found.wrong, found.equal)).encode())
            code = int(bool(Place(tmp_path / "killed" / "out").left()))
        finally:
            os._exit(code)
    os.close(write)
    with open(read, encoding="utf-8") as said:
        assert said.read() == repr((1, [], True))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
