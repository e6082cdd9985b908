"""The skills in the command palette: choosing one begins a message with its slash command."""

from collections.abc import Iterator
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from skills import registry
from tui.screens.conversation import ConversationScreen


class SkillCommands(Provider):
    """An entry for each skill, by its name; none is imported for that."""

    async def discover(self) -> Hits:
        for name, summary in _skills():
            yield DiscoveryHit(f"/{name}", partial(self._begin, name), help=summary)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, summary in _skills():
            if score := max(matcher.match(f"/{name}"), matcher.match(summary)):
                yield Hit(score, matcher.highlight(f"/{name}"), partial(self._begin, name), help=summary)

    def _begin(self, name: str) -> None:
        if isinstance(self.screen, ConversationScreen):
            self.screen.begin_command(name)


def _skills() -> Iterator[tuple[str, str]]:
    return ((name, registry.summary(name)) for name in registry.names())
