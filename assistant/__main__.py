"""`python -m assistant` is `parley`."""

from assistant.cli import main

main()
