"""A conversation and its turns: read `session`, then `context_window`."""
