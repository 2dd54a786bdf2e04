"""The front page of the site: one run of the bundled model, as `gpt2 explain TEXT --html FILE` writes it.

In: links to the documents. Out: HTML. Read next: site_pages.py, which puts it into the site.

It is many answers to compute, so it is made once a process: `scripts/site serve` reads the hooks anew at every change
of a document, but not this.
"""

from functools import cache

TEXT = "The cat sat on the"


@cache
def front_page(links: tuple[tuple[str, str], ...]) -> str:
    """The exported page of TEXT with these (title, address) above it."""
    from gpt2.checkpoint.files import load
    from gpt2.server.export import Export, page_html
    from gpt2.server.jobs import silent
    from gpt2.server.session import Session

    return page_html(Session(load("storyteller")), Export(text=TEXT), silent, links)
