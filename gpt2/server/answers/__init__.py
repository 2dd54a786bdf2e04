"""One file a question of the page: its parameters, and the function that answers it."""
