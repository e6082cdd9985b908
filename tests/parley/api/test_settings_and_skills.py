"""Settings and notices of an `Assistant`, skills as functions, and scripts."""

from pathlib import Path

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest

import parley
from assistant.settings import Settings
from parley import Assistant, ParleyError, caption, emotion, read, vqa
from parley.api import SettingsOptions
from tests.fakes.scripts import run_script

pytestmark = pytest.mark.usefixtures("nobodys_machine")


def test_by_default_nothing_is_written_to_disk(tmp_path: Path, photo: str) -> None:
    with Assistant(model="scripted") as assistant:
        assistant.ask("What is this?", photo)
        caption(photo, assistant=assistant)
    assert [path.name for path in tmp_path.rglob("*")] == [photo]


def test_a_history_is_kept_if_wanted(tmp_path: Path) -> None:
    with Assistant(model="scripted", history=True, data_dir=tmp_path / "kept") as assistant:
        assistant.ask("What is this?")
    assert (tmp_path / "kept" / "history.sqlite3").exists()


def test_settings_are_keyword_arguments_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_MODEL", "nonsense")
    monkeypatch.setenv("PARLEY_MAX_TOKENS", "3")
    with Assistant(model="scripted") as assistant:
        assert assistant.ask("one two three") == "You said: one"


def test_a_setting_without_a_valid_value_is_named() -> None:
    with pytest.raises(ParleyError, match="max_tokens in the arguments is 0"):
        Assistant(max_tokens=0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'modle'"):
        Assistant(modle="pocket")  # type: ignore[call-arg]


def test_all_options_are_settings() -> None:
    assert SettingsOptions.__annotations__.keys() <= Settings.model_fields.keys()


def test_a_missing_file_is_an_error_that_names_it(assistant: Assistant) -> None:
    with pytest.raises(ParleyError, match=r"gone\.jpg does not exist"):
        assistant.ask("What is this?", "gone.jpg")
    with pytest.raises(ParleyError, match=r"gone\.jpg does not exist"):
        caption("gone.jpg", assistant=assistant)
    with pytest.raises(ParleyError, match=r"gone\.wav"):
        emotion(voice="gone.wav", assistant=assistant)


def test_notices_are_logged_or_go_where_they_are_wanted(photo: str, caplog: pytest.LogCaptureFixture) -> None:
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save("cat.gif", save_all=True, append_images=frames[1:])
    with Assistant(model="scripted") as assistant:
        assistant.ask("What is this?", "cat.gif")
    assert "cat.gif is animated" in caplog.text
    notices: list[str] = []
    with Assistant(model="scripted", on_notice=notices.append) as assistant:
        assistant.ask("What is this?", "cat.gif")
    [notice] = notices
    assert "cat.gif is animated" in notice


def test_skills_are_functions_over_files(assistant: Assistant, photo: str) -> None:
    described = caption(photo, style="alt-text", assistant=assistant)
    assert (described.style, described.model) == ("alt-text", "scripted")
    answered = vqa(photo, question="Is there a dog?", yes_no=True, assistant=assistant)
    assert answered.answer in ("yes", "no")
    assert vqa(photo, question="Which?", choices=["a cat", "a dog"], assistant=assistant).answer in ("a cat", "a dog")


def test_skills_are_no_part_of_the_conversation(assistant: Assistant, photo: str) -> None:
    assistant.ask("Hello")
    caption(photo, assistant=assistant)
    session = assistant._session
    assert session is not None
    assert len(session.messages) == 2


def test_skills_share_an_assistant(photo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_MODEL", "scripted")
    monkeypatch.setattr("parley.file_skills._shared", None)
    try:
        assert caption(photo).model == vqa(photo, question="What?").model == "scripted"
    finally:
        from parley import file_skills

        assert file_skills._shared is not None
        file_skills._shared.close()


def test_reading_words_loads_no_chat_model() -> None:
    image = PIL.Image.new("RGB", (400, 120), "white")
    PIL.ImageDraw.Draw(image).text((20, 20), "HELLO", "black", PIL.ImageFont.load_default(72))
    image.save("sign.png")
    with Assistant(model="/no/such/model") as assistant:
        assert [line.text for line in read("sign.png", assistant=assistant).lines] == ["HELLO"]


def test_a_script_needs_no_close(photo: str) -> None:
    program = (
        "from parley import Assistant, caption\n"
        "print(Assistant(model='scripted').ask('What is this?', 'dog.png'))\n"
        "print(caption('dog.png'))\n"
    )
    assert run_script(program) == (
        "You said: What is this? (and showed dog.png)\nYou said: Describe the photo. (and showed dog.png)\n"
    )


def test_names_are_listed_and_others_are_not_there() -> None:
    assert all(getattr(parley, name) for name in parley.__all__)
    assert len(parley.__all__) <= 10
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        parley.nonsense  # noqa: B018


@pytest.mark.slow
def test_the_bundled_model_answers_and_describes(photo: str) -> None:
    with Assistant(model="pocket", max_tokens=24) as assistant:
        assert assistant.ask("What colour is this?", photo).strip()
        assert caption(photo, assistant=assistant).text
        assert vqa(photo, question="Is it red?", yes_no=True, assistant=assistant).confidence is not None
        assert emotion(text="I am so happy today!", assistant=assistant).label == "joy"
