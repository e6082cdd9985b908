"""Slash commands in the command palette: choosing one puts it before the message being typed."""

import asyncio
from collections.abc import Sequence
from functools import cache, partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from skills import registry
from tui.screens.chat import ChatScreen


class SkillCommands(Provider):
    """One entry for each slash command."""

    async def discover(self) -> Hits:
        for name, summary in await asyncio.to_thread(command_summaries):
            yield DiscoveryHit(f"/{name}", partial(self._choose, name), help=summary)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, summary in await asyncio.to_thread(command_summaries):
            if score := max(matcher.match(f"/{name}"), matcher.match(summary)):
                yield Hit(score, matcher.highlight(f"/{name}"), partial(self._choose, name), help=summary)

    def _choose(self, name: str) -> None:
        if isinstance(self.screen, ChatScreen):
            self.screen.prepend_command(name)


@cache
def command_summaries() -> Sequence[tuple[str, str]]:
    """Return the name and summary of each slash command. The first call imports the skills of other packages."""
    external = {skill.name: skill.summary for skill in registry.all_skills()[0] if not skill.is_built_in}
    skills = [(name, external.get(name) or registry.summary(name)) for name in registry.names()]
    return [("model", "Have another model answer from here on."), *skills]
