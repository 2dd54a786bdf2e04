"""`python -m gpt2` is the command `gpt2`."""

from gpt2.cli.main import main

raise SystemExit(main())
