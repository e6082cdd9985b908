"""The widgets of the app, one a module.

The transcript consists of `welcome`, `user_message` (with `image_preview`), `assistant_message` and `notice`. The
composer consists of `attachment_chip` and `prompt`. `status_bar` is the last line.
"""
