"""The terminal app: screens, widgets, messages and styles."""
