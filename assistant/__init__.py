"""The ground floor: values, settings, attachments, history, models and conversations, without any front end.

Reading order: `errors`, `messages`, `events`, `models.base`, `conversation.session`, `history.store`,
`attachments.images`, `settings`.
"""

__version__ = "0.1.0"
