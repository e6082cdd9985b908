"""The skills, and the choice of a model, in the command palette: each begins a message with its slash command."""

from collections.abc import Iterator
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from skills import registry
from tui.screens.conversation import ConversationScreen


class SkillCommands(Provider):
    """An entry for each slash command, by its name; no skill is imported for that."""

    async def discover(self) -> Hits:
        for name, summary in _commands():
            yield DiscoveryHit(f"/{name}", partial(self._begin, name), help=summary)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, summary in _commands():
            if score := max(matcher.match(f"/{name}"), matcher.match(summary)):
                yield Hit(score, matcher.highlight(f"/{name}"), partial(self._begin, name), help=summary)

    def _begin(self, name: str) -> None:
        if isinstance(self.screen, ConversationScreen):
            self.screen.begin_command(name)


def _commands() -> Iterator[tuple[str, str]]:
    yield "model", "Have another model answer from here on."
    yield from ((name, registry.summary(name)) for name in registry.names())
