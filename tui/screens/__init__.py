"""The screens of the app: `chat` is the only one."""
