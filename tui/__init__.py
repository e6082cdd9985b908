"""The terminal app, built with Textual.

Reading order: `app` builds the session and the voice behind the first paint; `screens.chat` turns messages into turns;
`turn_view` and `spoken_view` show the events of turns with `widgets`; `voice_controller` starts and stops the spoken
conversation.
Between the app and the terminal are `terminal_driver`, `text_filter`, `shown_text` and `markdown_parser`; `kept_draft`
and `crash_report` are for its end.
"""
