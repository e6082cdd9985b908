"""The command palette, with the slash commands in it: choosing one puts it before the message being typed."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, partial

from textual.await_complete import AwaitComplete
from textual.command import CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.css.query import NoMatches
from textual.widgets import Input
from textual.worker import Worker

from skills import registry
from tui.screens.chat import ChatScreen

_gather_commands = CommandPalette._gather_commands.__wrapped__  # type: ignore[attr-defined] # noqa: SLF001


_MAX_CHARACTERS = 200


class Palette(CommandPalette):
    """Textual's palette, which ends the app if keys or results reach it after it has been closed."""

    def on_mount(self) -> None:
        """Limit what is typed. A key takes as long as the text is: 12,000 characters held up the app for minutes."""
        self.query_one(Input).max_length = _MAX_CHARACTERS

    def dismiss(self, result: None = None) -> AwaitComplete:
        """Close the palette once, however often that is asked for."""
        return super().dismiss(result) if self.is_current else AwaitComplete()

    def _gather_commands(self, search_value: str) -> Worker[None]:
        async def gather() -> None:
            # Textual's worker would end the app if the list has gone because the palette is being closed.
            with suppress(NoMatches):
                await _gather_commands(self, search_value)

        return self.run_worker(gather, exclusive=True, group=self._GATHER_COMMANDS_GROUP)


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
    return [("model", "Have another model answer from here on."), ("set", "Change how replies are generated."), *skills]
