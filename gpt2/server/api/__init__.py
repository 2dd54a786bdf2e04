"""The HTTP API of `gpt2 serve`, which the clients of OpenAI's API use: see app.py for its routes."""
