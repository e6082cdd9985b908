"""The command /model in the app."""

from assistant.conversation.session import Session
from assistant.models.scripted import ScriptedModel
from tests.fakes.tui import RunApp, SlowModelSource
from tui.app import ParleyApp


def make_app(models: SlowModelSource) -> ParleyApp:
    return ParleyApp(lambda _: Session(ScriptedModel("One."), models=models, model_name="scripted"))


async def test_model_chosen_in_the_palette_answers_the_next_message(run_app: RunApp) -> None:
    models = SlowModelSource(ScriptedModel("Two.", context_tokens=1000))
    async with run_app(make_app(models)) as person:
        await person.expect_text("ready", "StatusBar")
        await person.send("Count.")
        await person.expect_text("One.", "AssistantMessage")
        await person.open_palette()
        await person.press(*"/model")
        await person.expect_text("Have another model")
        await person.choose_in_palette("/model")
        await person.wait_until(lambda: person.input == "/model ")
        await person.send("other")
        await person.expect_text("loading other 25 %", "StatusBar")
        assert "/model" not in person.read("Transcript")
        models.may_load.set()
        await person.expect_text("scripted answers from here on.")
        await person.send("Go on.")
        await person.expect_text("Two.")
        assert models.model.prompts[0][0].text == "Count."


async def test_status_shows_the_change_before_the_hub_answers(run_app: RunApp) -> None:
    models = SlowModelSource(ScriptedModel())
    models.may_fetch.clear()
    async with run_app(make_app(models)) as person:
        await person.expect_text("ready", "StatusBar")
        await person.send("/model other")
        await person.expect_text("changing to other …", "StatusBar")
        models.may_fetch.set()
        await person.expect_text("loading other 25 %", "StatusBar")
        models.may_load.set()
        await person.expect_text("scripted answers from here on.")


async def test_esc_does_not_stop_a_model_halfway(run_app: RunApp) -> None:
    models = SlowModelSource(ScriptedModel("Two."))
    async with run_app(make_app(models)) as person:
        await person.expect_text("ready", "StatusBar")
        await person.send("/model other")
        await person.expect_text("loading other 25 %", "StatusBar")
        await person.press("escape")
        models.may_load.set()
        await person.expect_text("scripted answers from here on.")
        await person.send("Go on.")
        await person.expect_text("Two.", "AssistantMessage")


async def test_without_a_name_it_says_which_model_answers(run_app: RunApp) -> None:
    async with run_app(make_app(SlowModelSource(ScriptedModel()))) as person:
        await person.expect_text("ready", "StatusBar")
        await person.send("/model")
        await person.expect_text("scripted answers. Another is chosen with /model NAME", "Notice")
        await person.send("Go on.")
        await person.expect_text("One.", "AssistantMessage")


async def test_unknown_model_is_a_notice_and_the_input_stays_empty(run_app: RunApp) -> None:
    async with run_app(make_app(SlowModelSource(ScriptedModel()))) as person:
        await person.expect_text("ready", "StatusBar")
        await person.send("/model third")
        await person.expect_text("There is no model third.")
        await person.expect_text("ready", "StatusBar")
        assert person.input == ""
        await person.send("Go on.")
        await person.expect_text("One.", "AssistantMessage")


async def test_quitting_ends_the_loading_of_a_model(run_app: RunApp) -> None:
    models = SlowModelSource(ScriptedModel())
    async with run_app(make_app(models)) as person:
        await person.expect_text("ready", "StatusBar")
        await person.send("/model other")
        await person.expect_text("loading other 25 %", "StatusBar")
        await person.press("ctrl+q")
    # Nothing but the abandoned loading could end here.
    assert not models.may_load.is_set()
