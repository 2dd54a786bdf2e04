"""The front page of the site: the live page of the bundled model, as `gpt2 explain TEXT --site DIR` writes it.

In: links to the documents. Out: HTML, and the files beside it, by name. Read next: site_pages.py, which puts them into
the site.

It is made once a process: `scripts/site serve` reads the hooks anew at every change of a document, but not this.
"""

from functools import cache

TEXT = "The cat had a blue spoon. One day, the cat lost the blue"


@cache
def front_page(links: tuple[tuple[str, str], ...]) -> tuple[str, dict[str, bytes]]:
    """The page that opens with TEXT and has these (title, address) above it, and the model's files."""
    from gpt2.checkpoint.files import load
    from gpt2.server.jobs import silent
    from gpt2.server.live import site_files
    from gpt2.server.session import Session

    return site_files(Session(load("storyteller")), TEXT, silent, links)
