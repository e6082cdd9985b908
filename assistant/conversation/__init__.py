"""A conversation and its turns.

Reading order: `session`, `turn`, `context_window`, `turn_log`, `current_model`, `commands`, `model_command`,
`set_command`.
"""
