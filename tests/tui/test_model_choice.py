"""Choosing another model in the middle of a conversation."""

import threading

from assistant.conversation.session import Session
from assistant.errors import ModelError
from assistant.models.scripted import ScriptedModel
from assistant.progress import Progress
from tests.tui.conftest import Use
from tui.app import ParleyApp


class Slow:
    """Has one other model, which comes when it is let."""

    def __init__(self, model: ScriptedModel) -> None:
        self.model = model
        self.let = threading.Event()
        self.found = threading.Event()
        self.found.set()

    def fetch(self, name: str, progress: Progress) -> None:
        self.found.wait()
        if name != "other":
            raise ModelError(f"There is no model {name}.")

    def load(self, name: str, progress: Progress) -> ScriptedModel:
        while not self.let.wait(0.01):
            progress("loading other", 1, 4)
        return self.model


async def test_a_model_is_chosen_from_the_palette_and_answers_the_next_message(use: Use) -> None:
    slow = Slow(ScriptedModel("Two.", context_tokens=1000))
    app = ParleyApp(lambda _: Session(ScriptedModel("One."), models=slow, model_name="scripted"))
    async with use(app) as person:
        await person.sees("ready", "StatusBar")
        await person.type("Count.")
        await person.press("enter")
        await person.sees("One.", "AssistantMessage")
        await person.press("ctrl+p")
        await person.until(lambda: len(person.app.screen_stack) == 2)
        await person.press(*"/model")
        await person.sees("Have another model")
        await person.press("enter")
        await person.until(lambda: len(person.app.screen_stack) == 1)
        await person.until(lambda: person.input == "/model ")
        await person.type("other")
        await person.press("enter")
        await person.sees("loading other 25 %", "StatusBar")
        assert "/model" not in person.read("Transcript")
        slow.let.set()
        await person.sees("scripted answers from here on.")
        await person.type("Go on.")
        await person.press("enter")
        await person.sees("Two.")
        assert slow.model.prompts[0][0].text == "Count."


async def test_it_is_told_at_once_though_the_hub_has_not_answered_yet(use: Use) -> None:
    slow = Slow(ScriptedModel())
    slow.found.clear()
    app = ParleyApp(lambda _: Session(ScriptedModel("One."), models=slow, model_name="scripted"))
    async with use(app) as person:
        await person.sees("ready", "StatusBar")
        await person.type("/model other")
        await person.press("enter")
        await person.sees("changing to other …", "StatusBar")
        slow.found.set()
        await person.sees("loading other 25 %", "StatusBar")
        slow.let.set()
        await person.sees("scripted answers from here on.")


async def test_a_model_that_cannot_be_had_is_a_notice_and_the_input_is_free(use: Use) -> None:
    app = ParleyApp(lambda _: Session(ScriptedModel("One."), models=Slow(ScriptedModel()), model_name="scripted"))
    async with use(app) as person:
        await person.sees("ready", "StatusBar")
        await person.type("/model third")
        await person.press("enter")
        await person.sees("There is no model third.")
        await person.sees("ready", "StatusBar")
        assert person.input == ""
        await person.type("Go on.")
        await person.press("enter")
        await person.sees("One.", "AssistantMessage")


async def test_leaving_ends_the_loading_of_another_model(use: Use) -> None:
    slow = Slow(ScriptedModel())
    app = ParleyApp(lambda _: Session(ScriptedModel(), models=slow, model_name="scripted"))
    async with use(app) as person:
        await person.sees("ready", "StatusBar")
        await person.type("/model other")
        await person.press("enter")
        await person.sees("loading other 25 %", "StatusBar")
        await person.press("ctrl+q")
    # The test would not come here: only the loading itself can end.
    assert not slow.let.is_set()
