"""Opening the page: a signal that comes before the server listens for one ends the computations too."""

import pytest

import gpt2.server.serving
from gpt2.base.errors import UsageError
from gpt2.cli.main import main
from gpt2.server.api.run import listen as listen_on
from gpt2.server.jobs import Jobs
from gpt2.server.run import listen, open_page
from tests.explained import storyteller


def test_ctrl_c_just_after_the_address_stops_the_work(monkeypatch, capsys):
    """The process waited for the means of the bundled stories, which nobody had told to stop."""

    def interrupted(self, work):
        raise KeyboardInterrupt

    ended, end = [], Jobs.end
    monkeypatch.setattr(Jobs, "start", interrupted)
    monkeypatch.setattr(Jobs, "end", lambda self: (ended.append(self), end(self)))
    monkeypatch.setattr(gpt2.server.serving, "serve", lambda *given: pytest.fail("it went on"))
    assert open_page(storyteller(), "a", port=0, browser=False)
    assert len(ended) == 1
    assert "Ctrl-C ends it" in capsys.readouterr().err


@pytest.mark.parametrize("port", [99999, 65536, -1, 2**70])
def test_a_number_that_is_no_port_is_refused(port, capsys):
    """The system took port 99999 for 34463, its last 16 bits, and the server stood there."""
    for opening in (lambda: open_page(None, "a", port), lambda: listen(port), lambda: listen_on("127.0.0.1", port)):
        with pytest.raises(UsageError, match=f"port is {port}: choose 0 to 65,535."):
            opening()
    for words in (["serve"], ["explain", "a", "--page"]):
        assert main([*words, f"--port={port}", "--model", "nowhere"]) == 2
        assert f"--port is {port}: choose 0 to 65,535." in capsys.readouterr().err
