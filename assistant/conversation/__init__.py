"""A conversation and its turns.

Reading order: `session`, `context_window`, `turn_log`, `commands`, `model_command`.
"""
