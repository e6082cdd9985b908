"""The emotion skill: what is made of what it is given, and what it says of what it cannot judge."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from click.testing import CliRunner

from assistant.conversation.session import Session
from assistant.errors import SkillError, VoiceError
from assistant.events import SkillResult
from assistant.messages import user
from assistant.models.scripted import ScriptedModel
from parley.cli.main import root
from skills.emotions.emotion import emotion
from skills.emotions.fusion import Modality, fuse, reliability
from skills.emotions.labels import EMOTIONS, FINE_EMOTIONS, GROUPS
from skills.emotions.result import EmotionResult, ModalityResult, describe_disagreement
from skills.emotions.text import (
    LAYERS,
    MAX_CHARACTERS,
    WINDOW_CHARACTERS,
    TextHead,
    classify_text,
    hash_ngrams,
    language_warning,
    split_windows,
)
from skills.emotions.voice import VocalEmotion
from skills.slash_commands import SlashCommandRouter
from tests.fakes.skills import STATE_WIDTH, FakeEmotionModels, make_image, peaked_at, silence
from voice.audio.types import SAMPLE_RATE


def part(source: Modality, name: str, share: float) -> ModalityResult:
    return ModalityResult(
        source=source, label=name, probability=share, probabilities=peaked_at(name, share), weight=0.5, by="network"
    )


class TestLabels:
    def test_each_fine_emotion_belongs_to_one_of_the_seven(self) -> None:
        grouped = [name for names in GROUPS.values() for name in names]
        assert tuple(GROUPS) == EMOTIONS
        assert sorted(grouped) == sorted(FINE_EMOTIONS)


class TestWindows:
    def test_a_short_text_is_read_as_it_is(self) -> None:
        assert split_windows("I am fine. And you?") == ["I am fine. And you?"]

    def test_a_long_one_in_whole_sentences_of_which_none_is_lost(self) -> None:
        text = " ".join(f"This is sentence number {number} of them." for number in range(60))
        pieces = split_windows(text)
        assert " ".join(pieces) == text
        assert all(len(piece) <= WINDOW_CHARACTERS and piece.endswith(".") for piece in pieces)

    def test_one_without_an_end_is_cut_at_words_or_anywhere(self) -> None:
        assert all(len(piece) <= WINDOW_CHARACTERS for piece in split_windows("word " * 500 + "x" * 5000))

    def test_the_head_looks_at_the_beginning_of_what_is_too_long_and_says_so(self) -> None:
        senses = FakeEmotionModels()
        reading = classify_text("I was so happy there. " * 2500, senses.hidden_states)
        assert sum(map(len, senses.texts)) <= MAX_CHARACTERS
        assert not classify_text("\n" * 20_000 + "I was so happy there.", senses.hidden_states).notices
        assert any("55,000 characters only the first 10,000" in notice for notice in reading.notices)


class TestWords:
    def test_the_probabilities_of_the_seven_are_shares(self) -> None:
        reading = classify_text("Thank you so much, that is wonderful!", FakeEmotionModels().hidden_states)
        assert sum(reading.probabilities.values()) == pytest.approx(1, abs=1e-4)
        assert tuple(reading.probabilities) == EMOTIONS
        assert all(0 <= share <= 1 for share in reading.fine.values())

    def test_words_alone_move_it(self) -> None:
        thanks, fear = (
            classify_text(text, FakeEmotionModels().hidden_states)
            for text in ("Thank you so much!", "I am scared and terrified")
        )
        assert thanks.fine["gratitude"] > fear.fine["gratitude"]
        assert fear.fine["fear"] > thanks.fine["fear"]

    def test_the_shipped_head_fits_what_it_is_shown(self) -> None:
        head = TextHead.load()
        assert head.hidden.shape[1] == len(LAYERS) * 2 * STATE_WIDTH
        assert head.ngram_weights.shape == (len(head.ngram_hashes), len(FINE_EMOTIONS) + len(EMOTIONS))
        assert (np.diff(head.ngram_hashes.astype(np.int64)) > 0).all()
        assert ((head.thresholds > 0) & (head.thresholds < 1)).all()

    def test_case_and_typographic_apostrophes_make_no_other_words(self) -> None:
        assert np.array_equal(hash_ngrams("Don’t GO"), hash_ngrams("don't go"))

    def test_a_special_token_in_a_text_is_not_one(self) -> None:
        senses = FakeEmotionModels()
        classify_text("He said <|im_end|> to me", senses.hidden_states)
        assert "<|" not in senses.texts[0]

    @pytest.mark.parametrize(
        "text",
        [
            "Ich bin heute so unglaublich wütend auf dich",
            "Je suis tellement content de te voir",
            "Я очень рад тебя видеть",
            "今日はとても悲しい",
        ],
    )
    def test_another_language_is_noticed(self, text: str) -> None:
        assert "does not look like English" in language_warning(text)

    @pytest.mark.parametrize("text", ["I can't believe you did that", "ok wow", "Love it"])
    def test_english_is_not(self, text: str) -> None:
        assert language_warning(text) == ""

    def test_signs_alone_are_told_apart_from_words(self) -> None:
        assert "no words" in language_warning("!!! 😀")


class TestFusion:
    KNOWN: Mapping[Modality, Mapping[str, object]] = {
        "text": {"weight": 1.0, "prior": [1 / 7] * 7},
        "face": {"weight": 0.5, "prior": [1 / 7] * 7},
    }

    def test_one_alone_is_left_as_it_is(self) -> None:
        assert fuse({"text": peaked_at("joy", 0.4)}, self.KNOWN) == peaked_at("joy", 0.4)

    def test_two_that_agree_are_surer_than_each(self) -> None:
        together = fuse({"text": peaked_at("joy", 0.6), "face": peaked_at("joy", 0.6)}, self.KNOWN)
        assert together["joy"] > 0.6
        assert sum(together.values()) == pytest.approx(1)

    def test_of_two_that_contradict_the_more_reliable_one_wins(self) -> None:
        together = fuse({"text": peaked_at("joy"), "face": peaked_at("anger")}, self.KNOWN)
        assert max(together, key=together.__getitem__) == "joy"

    def test_one_that_knows_nothing_changes_nothing(self) -> None:
        together = fuse({"text": peaked_at("fear"), "face": dict.fromkeys(EMOTIONS, 1 / 7)}, self.KNOWN)
        assert together == pytest.approx(peaked_at("fear"))

    def test_what_one_of_two_never_learned_does_not_win_where_they_contradict_each_other(self) -> None:
        knowing_six = [1e-4 if name == "surprise" else 1 / 6 for name in EMOTIONS]
        known: Mapping[Modality, Mapping[str, object]] = {
            "face": {"weight": 1.0, "prior": [1 / 7] * 7},
            "voice": {"weight": 1.0, "prior": knowing_six},
        }
        face = {**dict.fromkeys(EMOTIONS, 0.02), "fear": 0.55, "surprise": 0.35}
        voice = {**dict.fromkeys(EMOTIONS, 0.015), "joy": 0.925, "surprise": 0.0}
        together = fuse({"face": face, "voice": voice}, known)
        assert max(together, key=together.__getitem__) == "joy"

    def test_what_is_shipped_names_a_weight_for_each(self) -> None:
        for known in reliability().values():
            if "prior" in known:
                assert isinstance(known["weight"], float)
                assert known["weight"] > 0

    def test_opposites_are_a_disagreement_and_guesses_are_none(self) -> None:
        assert describe_disagreement([part("text", "joy", 0.8), part("face", "anger", 0.7)]) == (
            "They disagree: the words say joy and the face says anger."
        )
        assert describe_disagreement([part("text", "joy", 0.8), part("face", "anger", 0.3)]) == ""
        assert describe_disagreement([part("text", "joy", 0.8), part("voice", "joy", 0.9)]) == ""


class TestSkill:
    def test_something_has_to_be_given(self) -> None:
        with pytest.raises(SkillError, match="give a text, a face or a voice"):
            emotion.run({}, FakeEmotionModels())

    @pytest.mark.parametrize(
        ("values", "sentence"),
        [
            ({"face": make_image(400, 300, "black")}, "No face is found in photo.png"),
            ({"voice": silence()}, "Nobody speaks in the recording"),
            ({"text": " \n"}, "empty"),
        ],
    )
    def test_what_tells_nothing_is_said(self, values: Mapping[str, Any], sentence: str) -> None:
        with pytest.raises(SkillError, match=sentence):
            emotion(FakeEmotionModels(), **values)

    def test_beside_something_else_it_is_a_notice(self) -> None:
        feeling = emotion(FakeEmotionModels(), text="Thank you so much!", face=make_image(400, 300, "black"))
        assert [each.source for each in feeling.parts] == ["text"]
        assert "No face is found in photo.png." in feeling.notices

    def test_words_and_voice_go_together_and_show_their_parts(self) -> None:
        tone = VocalEmotion(peaked_at("anger"), boredom=0.02, seconds=2.0)
        feeling = emotion(FakeEmotionModels(tone), text="Thank you so much!", voice=silence())
        assert [each.source for each in feeling.parts] == ["text", "voice"]
        assert sum(each.weight for each in feeling.parts) == pytest.approx(1, abs=1e-3)
        assert feeling.parts[1].label == "anger"
        assert feeling.boredom == 0.02
        assert "voice: anger 94 %\n" in f"{feeling}\n"

    def test_one_that_is_nearly_as_likely_is_named_as_well(self) -> None:
        close = peaked_at("joy", 0.34) | {"neutral": 0.31}
        tone = VocalEmotion(close, boredom=0.02, seconds=2.0)
        assert str(emotion(FakeEmotionModels(tone), voice=silence())) == "joy  (34 % sure, or neutral 31 %)"
        feeling = emotion(FakeEmotionModels(tone), text="Thank you so much!", voice=silence())
        assert "voice: joy 34 %, or neutral 31 %\n" in f"{feeling}\n"
        clear = VocalEmotion(peaked_at("joy", 0.4) | {"neutral": 0.31}, boredom=0.02, seconds=2.0)
        assert str(emotion(FakeEmotionModels(clear), voice=silence())) == "joy  (40 % sure)"

    def test_the_model_itself_can_be_asked_and_that_is_said(self) -> None:
        feeling = emotion(FakeEmotionModels(), text="You never listen!", by="model")
        assert (feeling.label, feeling.parts[0].by, feeling.fine) == ("anger", "scripted", {})
        assert any("not calibrated" in notice for notice in feeling.notices)


def test_nothing_is_called_sure_that_there_is_a_reason_to_doubt() -> None:
    assert "sure)" in str(emotion(FakeEmotionModels(), text="Thank you so much!"))
    doubted = emotion(FakeEmotionModels(), text="!!!")
    assert doubted.notices
    assert "sure)" not in str(doubted)


class TestConversation:
    def ask(self, calls: SlashCommandRouter, model: ScriptedModel, text: str) -> EmotionResult:
        async def turn() -> list[Any]:
            session = Session(model, router=calls)
            async with aclosing(session.turn(user(text))) as events:
                return [event async for event in events]

        [result] = [event for event in asyncio.run(turn()) if isinstance(event, SkillResult)]
        assert isinstance(result.result, EmotionResult)
        return result.result

    def test_the_words_after_the_command_are_the_text(self) -> None:
        senses, model = FakeEmotionModels(), ScriptedModel()
        feeling = self.ask(SlashCommandRouter(lambda: model, senses), model, "/emotion Thank you so much!")
        assert senses.texts == ["Thank you so much!"]
        assert feeling.parts[0].source == "text"

    def test_a_recording_is_named_by_its_path(self) -> None:
        model = ScriptedModel()
        senses = FakeEmotionModels(VocalEmotion(peaked_at("sadness"), 0.0, 1.0))
        calls = SlashCommandRouter(lambda: model, senses, lambda path: (silence(), [f"{path} is long."]))
        feeling = self.ask(calls, model, '/emotion --voice "my clip.wav"')
        assert feeling.label == "sadness"

    def test_a_path_alone_is_its_file(self, tmp_path: Path) -> None:
        model = ScriptedModel()
        senses = FakeEmotionModels(VocalEmotion(peaked_at("sadness"), 0.0, 1.0))
        calls = SlashCommandRouter(lambda: model, senses, lambda _: (silence(), []))
        clip, note = tmp_path / "clip.wav", tmp_path / "my note.txt"
        clip.write_bytes(b"RIFF")
        note.write_text("Thank you so much!")
        assert self.ask(calls, model, f"/emotion {clip}").parts[0].source == "voice"
        assert self.ask(calls, model, f'/emotion "{note}"').parts[0].source == "text"
        assert senses.texts == ["Thank you so much!"]
        self.ask(calls, model, f"/emotion {tmp_path}/gone.txt")
        assert senses.texts[-1].endswith("gone.txt")
        # What is no recording and no text by its name is a word, whichever file is called so.
        (tmp_path / "happy").write_bytes(b"")
        self.ask(calls, model, f"/emotion {tmp_path}/happy")
        assert senses.texts[-1].endswith("happy")
        with pytest.raises(SkillError, match=r"--voice of the skill emotion and the file .* are two"):
            self.ask(calls, model, f"/emotion --voice other.wav {clip}")

    def test_a_face_is_a_picture_that_is_attached(self) -> None:
        model = ScriptedModel()
        with pytest.raises(SkillError, match="--face is the picture that is attached"):
            self.ask(SlashCommandRouter(lambda: model, FakeEmotionModels()), model, "/emotion --face face.png")

    def test_where_nobody_listens_that_is_said(self) -> None:
        model = ScriptedModel()
        with pytest.raises(SkillError, match="cannot be listened to"):
            self.ask(SlashCommandRouter(lambda: model, FakeEmotionModels()), model, "/emotion --voice clip.wav")


class TestCommand:
    @pytest.fixture(autouse=True)
    def _senses(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
        monkeypatch.setattr(
            "parley.factory.emotion.EmotionBackends",
            lambda *_, **__: FakeEmotionModels(VocalEmotion(peaked_at("sadness"), 0.1, 1.0)),
        )

    def run(self, *arguments: str) -> Any:
        return CliRunner().invoke(root, ["emotion", *arguments])

    def test_the_result_is_a_line_of_json(self) -> None:
        result = self.run("--text", "Thank you so much!", "--json")
        assert result.exit_code == 0, result.output
        entry = json.loads(result.stdout)
        assert entry["label"] in EMOTIONS
        assert len(entry["fine"]) == len(FINE_EMOTIONS)

    def test_files_go_where_their_kind_belongs(self, tmp_path: Path) -> None:
        folder = tmp_path / "mixed"
        folder.mkdir()
        PIL.Image.new("RGB", (200, 200)).save(folder / "a.png")
        _write_wav(folder / "b.wav")
        (folder / "c.txt").write_text("Thank you so much!")
        (folder / "d.pdf").write_text("no kind of it")
        result = self.run("mixed", "--json")
        face, voice, text = map(json.loads, result.stdout.splitlines())
        assert face["file"] == "mixed/a.png"
        assert "No face" in face["error"]
        assert (voice["file"], voice["label"]) == ("mixed/b.wav", "sadness")
        assert (text["file"], text["parts"][0]["source"]) == ("mixed/c.txt", "text")

    def test_what_a_file_without_an_ending_holds_says_where_it_belongs(self, tmp_path: Path) -> None:
        PIL.Image.new("RGB", (200, 200)).save(tmp_path / "photo", "PNG")
        _write_wav(tmp_path / "voice")
        (tmp_path / "letter.md").write_text("Thank you so much!")
        result = self.run("photo", "voice", "letter.md", "gone.xyz", "--json")
        photo, voice, letter, gone = map(json.loads, result.stdout.splitlines())
        assert "No face" in photo["error"]
        assert voice["label"] == "sadness"
        said = "letter.md is no picture, recording or text: let the name of a text end in .txt."
        assert letter["error"] == said
        assert gone["error"] == "gone.xyz does not exist: check the path."

    def test_a_folder_without_any_of_its_files_says_what_it_looked_for(self, tmp_path: Path) -> None:
        (tmp_path / "papers").mkdir()
        result = self.run("papers")
        assert result.exit_code == 1
        assert result.stderr == "parley: There are no pictures, recordings or texts in papers: name another folder.\n"

    def test_an_option_goes_with_files_of_other_kinds_and_with_none_of_its_own(self, tmp_path: Path) -> None:
        _write_wav(tmp_path / "a.wav")
        (tmp_path / "b.txt").write_text("Thank you so much!")
        result = self.run("--voice", "a.wav", "b.txt", "--json")
        assert [part["source"] for part in json.loads(result.stdout)["parts"]] == ["text", "voice"]
        result = self.run("--voice", "a.wav", "b.txt", "a.wav", "--json")
        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr == "parley: a.wav is for --voice, which is given as well: leave one of them out.\n"

    def test_a_recording_that_is_none_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "a.wav").write_text("words")
        result = self.run("--voice", "a.wav")
        assert result.exit_code == 1
        assert "a.wav is no recording" in result.stderr

    def test_nothing_is_too_little(self) -> None:
        result = self.run()
        assert result.exit_code == 2
        assert "needs something to go by" in result.stderr


def test_a_long_recording_is_heard_in_part(tmp_path: Path) -> None:
    from parley.factory.voice import load_audio

    _write_wav(tmp_path / "long.wav", seconds=130)
    heard, notices = load_audio(str(tmp_path / "long.wav"))
    assert len(heard.data) == 4 * 120 * SAMPLE_RATE
    assert "first 120 seconds" in notices[0]
    with pytest.raises(VoiceError):
        load_audio(str(tmp_path / "gone.wav"))


def _write_wav(path: Path, seconds: float = 1) -> None:
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(b"\0\0" * int(seconds * SAMPLE_RATE))
