"""The emotion skill: results from several modalities, in conversations, and on the command line."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from click.testing import Result

from assistant.conversation.session import Session
from assistant.errors import SkillError, VoiceError
from assistant.events import SkillResult
from assistant.messages import user
from assistant.models.scripted import ScriptedModel
from parley.factory.voice import load_audio
from skills.emotions.emotion import emotion
from skills.emotions.labels import EMOTIONS, FINE_EMOTIONS
from skills.emotions.result import EmotionResult
from skills.emotions.voice import VocalEmotion
from skills.slash_commands import SlashCommandRouter
from tests.fakes.audio import Floats, WriteWave
from tests.fakes.command_line import run
from tests.fakes.conversation import run_turn
from tests.fakes.skills import RATE, FakeEmotionModels, make_image, peaked_at, silence


def silence_samples(seconds: float) -> Floats:
    return np.zeros(int(seconds * RATE), np.float32)


SAD_VOICE = VocalEmotion(peaked_at("sadness"), boredom=0.1, seconds=1.0)


def test_a_text_a_face_or_a_voice_is_required() -> None:
    with pytest.raises(SkillError, match="give a text, a face or a voice"):
        emotion.run({}, FakeEmotionModels())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"face": make_image(400, 300, "black")}, "No face is found in the picture."),
        ({"voice": silence()}, "Nobody speaks in the recording for half a second."),
        ({"text": " \n"}, "The text is empty."),
    ],
)
def test_an_input_without_an_emotion_is_a_result(values: Mapping[str, Any], message: str) -> None:
    result = emotion(models=FakeEmotionModels(), **values)
    assert (result.label, result.confidence, result.probabilities, result.faces) == (None, None, {}, [])
    assert str(result) == message


def test_an_input_without_an_emotion_is_a_notice_beside_another_one() -> None:
    result = emotion(models=FakeEmotionModels(), text="Thank you so much!", face=make_image(400, 300, "black"))
    assert [part.source for part in result.parts] == ["text"]
    assert "No face is found in the picture." in result.notices


def test_text_and_voice_are_fused_and_both_are_shown() -> None:
    models = FakeEmotionModels(VocalEmotion(peaked_at("anger"), boredom=0.02, seconds=2.0))
    result = emotion(models=models, text="Thank you so much!", voice=silence())
    assert [part.source for part in result.parts] == ["text", "voice"]
    assert sum(part.weight for part in result.parts) == pytest.approx(1, abs=1e-3)
    assert result.parts[1].label == "anger"
    assert result.boredom == pytest.approx(0.02)
    assert "voice: anger 94 %\n" in f"{result}\n"


def test_a_runner_up_is_shown_if_it_is_close() -> None:
    close = FakeEmotionModels(VocalEmotion(peaked_at("joy", 0.34) | {"neutral": 0.31}, boredom=0.02, seconds=2.0))
    assert str(emotion(models=close, voice=silence())) == "joy  (34 % sure, or neutral 31 %)"
    result = emotion(models=close, text="Thank you so much!", voice=silence())
    assert "voice: joy 34 %, or neutral 31 %\n" in f"{result}\n"
    clear = FakeEmotionModels(VocalEmotion(peaked_at("joy", 0.4) | {"neutral": 0.31}, boredom=0.02, seconds=2.0))
    assert str(emotion(models=clear, voice=silence())) == "joy  (40 % sure)"


def test_a_text_judged_by_the_model_has_a_notice() -> None:
    result = emotion(models=FakeEmotionModels(), text="You never listen!", by="model")
    assert (result.label, result.parts[0].by, result.fine) == ("anger", "scripted", {})
    assert any("not calibrated" in notice for notice in result.notices)


def test_a_result_with_notices_is_not_called_sure() -> None:
    assert "sure)" in str(emotion(models=FakeEmotionModels(), text="Thank you so much!"))
    doubtful = emotion(models=FakeEmotionModels(), text="!!!")
    assert doubtful.notices
    assert "sure)" not in str(doubtful)


class TestConversation:
    async def ask(self, models: FakeEmotionModels, text: str, *, with_audio: bool = True) -> EmotionResult:
        """Return the result of a slash command."""
        model = ScriptedModel()
        router = SlashCommandRouter(lambda: model, models, (lambda _: (silence(), [])) if with_audio else None)
        events = await run_turn(Session(model, router=router), user(text))
        [event] = [event for event in events if isinstance(event, SkillResult)]
        assert isinstance(event.result, EmotionResult)
        return event.result

    async def test_the_words_after_the_command_are_the_text(self) -> None:
        models = FakeEmotionModels()
        result = await self.ask(models, "/emotion Thank you so much!")
        assert models.texts == ["Thank you so much!"]
        assert result.parts[0].source == "text"

    async def test_a_recording_is_named_by_its_path(self) -> None:
        result = await self.ask(FakeEmotionModels(SAD_VOICE), '/emotion --voice "my clip.wav"')
        assert result.label == "sadness"

    async def test_a_path_alone_is_a_recording_or_a_text(self, tmp_path: Path) -> None:
        models = FakeEmotionModels(SAD_VOICE)
        (tmp_path / "clip.wav").write_bytes(b"RIFF")
        (tmp_path / "my note.txt").write_text("Thank you so much!")
        assert (await self.ask(models, f"/emotion {tmp_path}/clip.wav")).parts[0].source == "voice"
        assert (await self.ask(models, f'/emotion "{tmp_path}/my note.txt"')).parts[0].source == "text"
        assert models.texts == ["Thank you so much!"]

    async def test_a_path_without_a_file_or_a_known_suffix_is_text(self, tmp_path: Path) -> None:
        models = FakeEmotionModels()
        await self.ask(models, f"/emotion {tmp_path}/gone.txt")
        assert models.texts[-1].endswith("gone.txt")
        (tmp_path / "happy").write_bytes(b"")
        await self.ask(models, f"/emotion {tmp_path}/happy")
        assert models.texts[-1].endswith("happy")

    async def test_two_recordings_are_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "clip.wav").write_bytes(b"RIFF")
        with pytest.raises(SkillError, match=r"--voice of the skill emotion and the file .* are two"):
            await self.ask(FakeEmotionModels(SAD_VOICE), f"/emotion --voice other.wav {tmp_path}/clip.wav")

    async def test_a_face_cannot_be_named_by_an_option(self) -> None:
        with pytest.raises(SkillError, match="--face is the picture that is attached"):
            await self.ask(FakeEmotionModels(), "/emotion --face face.png")

    async def test_without_a_loader_recordings_are_an_error(self) -> None:
        with pytest.raises(SkillError, match="cannot be listened to"):
            await self.ask(FakeEmotionModels(), "/emotion --voice clip.wav", with_audio=False)


class TestCommand:
    @pytest.fixture(autouse=True)
    def _emotion_models(self, nobodys_machine: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("parley.factory.emotion.EmotionBackends", lambda *_, **__: FakeEmotionModels(SAD_VOICE))

    def run(self, *arguments: str) -> Result:
        return run("emotion", *arguments)

    def test_json_has_one_line_with_all_probabilities(self) -> None:
        result = self.run("--text", "Thank you so much!", "--json")
        assert result.exit_code == 0, result.output
        record = json.loads(result.stdout)
        assert record["label"] in EMOTIONS
        assert len(record["fine"]) == len(FINE_EMOTIONS)

    def test_files_of_a_folder_go_to_the_parameter_of_their_type(self, tmp_path: Path, write_wave: WriteWave) -> None:
        folder = tmp_path / "mixed"
        folder.mkdir()
        PIL.Image.new("RGB", (200, 200)).save(folder / "a.png")
        write_wave("mixed/b.wav", silence_samples(1))
        (folder / "c.txt").write_text("Thank you so much!")
        (folder / "d.pdf").write_text("neither image nor recording nor text")
        face, voice, text = map(json.loads, self.run("mixed", "--json").stdout.splitlines())
        assert face["file"] == "mixed/a.png"
        assert (face["label"], face["faces"]) == (None, [])
        assert "error" not in face
        assert (voice["file"], voice["label"]) == ("mixed/b.wav", "sadness")
        assert (text["file"], text["parts"][0]["source"]) == ("mixed/c.txt", "text")

    def test_a_picture_without_a_face_is_no_failure(self, tmp_path: Path) -> None:
        PIL.Image.new("RGB", (200, 200)).save(tmp_path / "a.png")
        PIL.Image.new("RGB", (200, 200)).save(tmp_path / "b.png")
        for arguments in (["a.png"], ["--face", "a.png"]):
            result = self.run(*arguments)
            assert (result.exit_code, result.stdout) == (0, "No face is found in the picture.\n")
        result = self.run("a.png", "--out", "all.jsonl")
        assert result.exit_code == 0, result.stderr
        result = self.run("a.png", "b.png", "--out", "all.jsonl", "--resume")
        assert (result.exit_code, "failed" in result.stderr) == (0, False)
        records = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
        assert [(record["file"], record["label"]) for record in records] == [("a.png", None), ("b.png", None)]

    def test_the_type_of_a_file_without_a_suffix_is_detected(self, tmp_path: Path, write_wave: WriteWave) -> None:
        PIL.Image.new("RGB", (200, 200)).save(tmp_path / "photo", "PNG")
        write_wave("voice", silence_samples(1))
        (tmp_path / "letter.md").write_text("Thank you so much!")
        result = self.run("photo", "voice", "letter.md", "gone.xyz", "--json")
        photo, voice, letter, gone = map(json.loads, result.stdout.splitlines())
        assert photo["label"] is None
        assert voice["label"] == "sadness"
        message = "letter.md is no picture, recording or text: let the name of a text end in .txt."
        assert letter["error"] == message
        assert gone["error"] == "gone.xyz does not exist: check the path."

    def test_a_folder_without_usable_files_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "papers").mkdir()
        result = self.run("papers")
        assert result.exit_code == 1
        assert result.stderr == "parley: There are no pictures, recordings or texts in papers: name another folder.\n"

    def test_an_option_combines_with_files_of_other_types(self, tmp_path: Path, write_wave: WriteWave) -> None:
        write_wave("a.wav", silence_samples(1))
        (tmp_path / "b.txt").write_text("Thank you so much!")
        result = self.run("--voice", "a.wav", "b.txt", "--json")
        assert [part["source"] for part in json.loads(result.stdout)["parts"]] == ["text", "voice"]
        result = self.run("--voice", "a.wav", "b.txt", "a.wav", "--json")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == "parley: a.wav is for --voice, which is given as well: leave one of them out.\n"

    def test_a_file_that_is_no_recording_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "a.wav").write_text("words")
        result = self.run("--voice", "a.wav")
        assert result.exit_code == 1
        assert "a.wav is not an audio" in result.stderr

    def test_no_input_is_a_usage_error(self) -> None:
        result = self.run()
        assert result.exit_code == 2
        assert "needs something to go by" in result.stderr


def test_the_first_two_minutes_of_a_long_recording_are_loaded(tmp_path: Path, write_wave: WriteWave) -> None:
    audio, notices = load_audio(str(write_wave("long.wav", silence_samples(130))))
    assert len(audio.data) == 4 * 120 * RATE
    assert "first 120 seconds" in notices[0]
    with pytest.raises(VoiceError):
        load_audio(str(tmp_path / "gone.wav"))
