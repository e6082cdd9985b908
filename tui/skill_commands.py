"""The skills, and the choice of a model, in the command palette: each begins a message with its slash command."""

import asyncio
from collections.abc import Sequence
from functools import cache, partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from skills import registry
from tui.screens.chat import ChatScreen


class SkillCommands(Provider):
    """An entry for each slash command, by its name."""

    async def discover(self) -> Hits:
        for name, summary in await asyncio.to_thread(summaries):
            yield DiscoveryHit(f"/{name}", partial(self._begin, name), help=summary)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for name, summary in await asyncio.to_thread(summaries):
            if score := max(matcher.match(f"/{name}"), matcher.match(summary)):
                yield Hit(score, matcher.highlight(f"/{name}"), partial(self._begin, name), help=summary)

    def _begin(self, name: str) -> None:
        if isinstance(self.screen, ChatScreen):
            self.screen.begin_command(name)


@cache
def summaries() -> Sequence[tuple[str, str]]:
    """Names of slash commands, and what they do. Skills of other packages are imported for that, once."""
    foreign = {skill.name: skill.summary for skill in registry.all_skills()[0] if not skill.is_built_in}
    skills = [(name, foreign.get(name) or registry.summary(name)) for name in registry.names()]
    return [("model", "Have another model answer from here on."), *skills]
