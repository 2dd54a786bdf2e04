"""Opening the page: a signal that comes before the server listens for one ends the computations too."""

import pytest

import gpt2.server.serving
from gpt2.server.jobs import Jobs
from gpt2.server.run import open_page
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
