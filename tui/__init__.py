"""The terminal app, built with Textual.

Reading order: `app` builds the session and the voice behind the first paint; `screens.chat` turns messages into turns;
`turn_view` shows the events of a turn with `widgets`; `voice_controller` starts and stops the spoken conversation.
"""
