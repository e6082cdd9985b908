"""`parley voice` with real engines and a software room: spoken to, answering, interrupted, and hearing itself."""

import os
import random
import signal
import time
import wave
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest

from assistant.progress import no_progress
from assistant.settings import load
from parley.factory.voice import build_end_of_turn_model, build_stt, build_tts
from tests.fakes.audio import Floats
from tests.fakes.audio_server import (
    MISSING,
    REASON,
    RECORDING_RATE,
    audio_server,
    read_samples,
    wait_until,
)
from tests.fakes.call_log_schema import check_lines
from tests.fakes.voice_process import VoiceProcess
from voice.audio.decode import open_audio
from voice.stt.base import SpeechToText
from voice.stt.long_form import transcribe
from voice.tts.base import TextToSpeech

pytestmark = [
    pytest.mark.slow,
    pytest.mark.live,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(MISSING), reason=REASON),
]

KILLS = int(os.environ.get("KILLS", "3"))
FIRST_KILL = int(os.environ.get("FIRST_KILL", "0"))

STORY = (
    "Please tell me a long story about a little grey cat that lives in a big house near the river, "
    "and never sleeps at night, but sits at the window and counts the boats."
)


@pytest.fixture(scope="module", autouse=True)
def end_of_turn_model_downloaded() -> None:
    """Download the model first: `parley voice` would report that on standard error."""
    build_end_of_turn_model(load().settings)


@pytest.fixture(scope="module")
def tts() -> TextToSpeech:
    """Return the voice of the person. Smart Turn takes pauses of the bundled one for the end of what is said."""
    return build_tts(load({"voice": "piper"}).settings)


@pytest.fixture(scope="module")
def stt() -> SpeechToText:
    return build_stt(load().settings)


@pytest.fixture
def call(
    request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, tts: TextToSpeech
) -> Iterator[VoiceProcess]:
    with audio_server(tmp_path_factory.mktemp("pulse")) as server:
        call = VoiceProcess(server, tmp_path, tts, *getattr(request, "param", ()))
        with call.process:
            try:
                yield call
            finally:
                call.kill()


def transcript(path: Path, stt: SpeechToText) -> str:
    with open_audio(path) as audio:
        return " ".join(segment.text for segment in transcribe(stt, audio, no_progress, "en")).lower()


def test_question_and_follow_up_are_answered(call: VoiceProcess, stt: SpeechToText) -> None:
    noise = 0.02 * np.random.default_rng(0).standard_normal(3 * 16_000)
    call.server.say(noise, 16_000)
    with call.server.record() as path:
        call.say("What is the capital of France?")
        call.wait_for("reply")
    assert "capital of france" in transcript(path, stt)
    call.say("Is the river in that city very long?")
    second = call.wait_for("reply", 2)
    lines, errors = call.press_ctrl_c()
    assert "capital of france" in lines[0].lower()
    assert lines[1] == lines[0].replace("You: ", "Parley: You said: ")
    assert "river in that city" in lines[2]
    assert len(lines) == 4, "noise is no turn"
    assert errors == ["parley: Listening to default. Ctrl-C ends the conversation.\n"], "audio libraries stay silent"
    heard = call.events("heard")[-1]
    assert heard["decision"] == "turn"
    assert 0.3 < heard["words_seconds"] < second["first_token_seconds"] < second["first_audio_seconds"]
    assert second["spoken"]
    assert second["kept"] == second["text"]
    print({name: second[name] for name in ("first_token_seconds", "first_audio_seconds")}, heard["words_seconds"])


@pytest.mark.parametrize("call", [("--empathy",)], indirect=True)
def test_empathy_tells_the_model_of_distress(call: VoiceProcess) -> None:
    call.say("I am so angry, this is outrageous and I hate it!")
    call.wait_for("reply")
    for number, words in enumerate(("What is the capital of France?", "Is it a very large city?"), 2):
        call.say(words)
        call.wait_for("reply", number)
    _, errors = call.press_ctrl_c()
    upset, calm, known = call.events("mood")
    assert upset["label"] == "anger"
    assert upset["instructions"] == "The user sounds angry. Be kind and calm."
    assert calm["instructions"] is None
    assert set(upset["parts"]) == set(calm["parts"]) == {"text"}
    assert known["utterance"] == 3
    assert "parley: You sound angry: the model is told.\n" in errors


INTERRUPTIONS = (
    "Wait, I would rather hear about the old dog that lives in the garden behind the church, and never comes home.",
    "No, I would much rather know about the boats that wait on the river near the old harbor at night.",
    "Stop talking please, what time is it now?",
)


# The microphone of this room cannot hear its speaker, as with headphones.
@pytest.mark.parametrize("call", [("--headphones",)], indirect=True)
def test_speaking_over_the_reply_stops_it(call: VoiceProcess) -> None:
    call.say(STORY)
    delays: list[float] = []
    for number, interruption in enumerate(INTERRUPTIONS, 1):
        call.wait_for("speaking", number)
        with call.server.record("spk.monitor", 0) as reply, call.server.record("micfeed.monitor", 0) as person:
            # Both recordings hold some seconds of the reply before it is interrupted.
            time.sleep(2)
            call.say(interruption)
            call.wait_for("heard", number + 1)
        delays += silence_delay(read_samples(reply), read_samples(person))
    print(f"silent {', '.join(f'{1000 * delay:.0f}' for delay in delays)} ms after the onset of speech")
    # `benchmarks.barge_in` measures this; here it is only told from a reply that goes on.
    assert delays
    assert np.median(delays) < 0.8
    call.wait_for("reply", len(INTERRUPTIONS) + 1)
    call.press_ctrl_c()
    replies = [message for message in call.saved_messages() if message["role"] == "assistant"]
    assert [reply["interrupted"] for reply in replies] == [True, True, True, False]
    assert str(replies[0]["text"]).startswith("You said: Please tell me")
    assert not str(replies[0]["text"]).endswith("boats.")


def silence_delay(reply: Floats, person: Floats) -> list[float]:
    """Return the seconds from the onset of the person's speech until the reply is silent.

    Args:
        reply: Recording of the speaker.
        person: Recording of the microphone, which ended at the same time.

    Returns:
        One value, or none if the onset fell into a pause of the reply.
    """
    length = min(reply.size, person.size)
    onset = int(np.flatnonzero(np.abs(person[-length:]) > 0.02)[0])
    loud = np.abs(reply[-length:]) > 0.01
    assert loud[max(0, onset - RECORDING_RATE) : onset].any(), "the person speaks during the reply"
    if not loud[onset : onset + RECORDING_RATE // 20].any():
        return []
    return [(int(np.flatnonzero(loud[: onset + RECORDING_RATE])[-1]) - onset) / RECORDING_RATE]


def test_own_voice_is_not_answered(call: VoiceProcess) -> None:
    call.server.run("pactl", "load-module", "module-loopback", "source=spk.monitor", "sink=micfeed", "latency_msec=60")
    call.say("The grey cat sits at the window and counts the boats on the river.")
    call.wait_for("speaking")
    with call.server.record("micfeed.monitor", 0) as path:
        call.wait_for("reply")
        # Its last words, if they were taken for the user's, would be transcribed by then.
        time.sleep(4)
    assert np.abs(read_samples(path)).max() > 0.1, "the microphone hears the reply"
    lines, _ = call.press_ctrl_c()
    assert [line.split(":")[0] for line in lines] == ["You", "Parley"], lines


@pytest.mark.parametrize("call", [("--headphones",)], indirect=True)
def test_devices_that_come_back_are_used_again(call: VoiceProcess, stt: SpeechToText) -> None:
    call.say(STORY)
    call.wait_for("speaking")
    wait_until(call.server.is_playing)
    call.server.stop()
    reply = call.wait_for("reply")
    assert reply["kept"] == reply["text"]
    assert reply["text"].endswith("counts the boats.")
    assert not reply["interrupted"]
    call.wait_for("device", 2)
    call.server.start()
    call.wait_for("device", 4)
    wait_until(call.server.is_recording)
    with call.server.record() as path:
        call.say("What is the capital of France?")
        assert call.wait_for("reply", 2)["spoken"]
    assert "capital of france" in transcript(path, stt)
    lines, errors = call.press_ctrl_c()
    # A notice in the middle of a reply begins another line.
    assert [speaker for speaker, _ in groupby(line.split(":")[0] for line in lines)] == ["You", "Parley"] * 2
    notices = [line.removeprefix("parley: ").split(":")[0] for line in errors[1:]]
    assert sorted(notices) == [
        "The microphone 'default' was disconnected", "The microphone is back", "The speaker 'default' was disconnected",
        "The speaker is back",
    ]  # fmt: skip


def channels(path: Path) -> Floats:
    """Return the samples of a WAV file as an array (samples, channels)."""
    with wave.open(str(path)) as file:
        data = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
        assert len(data) == file.getnframes()
    return data / 32768


def rate_of(path: Path) -> int:
    """Return the sample rate of a WAV file in Hz."""
    with wave.open(str(path)) as file:
        rate: int = file.getframerate()
    return rate


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_ends_the_log_with_its_name_and_keeps_turn_and_recordings(
    number: signal.Signals, tmp_path: Path, tts: TextToSpeech, stt: SpeechToText
) -> None:
    record, folder = tmp_path / "call.wav", tmp_path / "audio"
    with audio_server(tmp_path) as server:
        call = VoiceProcess(
            server,
            tmp_path,
            tts,
            "--headphones",
            "--record",
            str(record),
            "--keep-audio",
            str(folder),
            "-s",
            "Be brief.",
        )
        with call.process:
            try:
                call.say(STORY)
                call.wait_for("speaking")
                time.sleep(3)
                assert call.end_with(number) == 128 + number
            finally:
                call.kill()
    lines = check_lines(call.log)
    begin, end = lines[0], lines[-1]
    assert (begin["event"], begin["system"], begin["recording"]) == ("begin", "Be brief.", "call.wav")
    assert (end["event"], end["failure"]) == ("end", None)
    assert end["reason"] == ("stopped" if number == signal.SIGINT else number.name)
    (reply,) = call.events("reply")
    assert reply["interrupted"]
    assert reply["kept"]
    assert call.saved_messages()[-1]["text"] == reply["kept"]
    heard = channels(folder / reply["audio"])
    # As far as a busy machine came within the three seconds.
    played = transcript(folder / reply["audio"], stt)
    assert any(word in played for word in ("said", "please", "tell", "little")), "what was heard of the reply"
    both = channels(record)
    assert both.shape[1] == 2
    left, right = (np.abs(both[:, side]) > 0.02 for side in (0, 1))
    assert np.flatnonzero(left)[0] < np.flatnonzero(right)[0], "the question comes before the answer"
    assert right[np.flatnonzero(left)[-1] :].any()
    assert (
        abs(
            np.flatnonzero(right).size / 16_000
            - np.count_nonzero(np.abs(heard) > 0.02) / rate_of(folder / reply["audio"])
        )
        < 0.7
    )
    print({path.name: channels(path).shape for path in [record, *folder.iterdir()]})


@pytest.mark.timeout(KILLS * 120)
def test_calls_that_are_killed_at_any_moment_leave_whole_lines_and_all_finished_turns(
    tmp_path: Path, tts: TextToSpeech
) -> None:
    """KILLS sets how many calls there are; FIRST_KILL sets the number of the first, to make others than last time."""
    kinds: Counter[str] = Counter()
    with audio_server(tmp_path) as server:
        for number in range(FIRST_KILL, FIRST_KILL + KILLS):
            folder = tmp_path / str(number)
            folder.mkdir()
            rng = random.Random(number)
            kind = rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
            call = VoiceProcess(server, folder, tts, "--headphones", "--record", str(folder / "call.wav"))
            with call.process:
                try:
                    call.say("What is the capital of France?")
                    if (moment := rng.choice(("at once", "heard", "speaking", "reply"))) != "at once":
                        call.wait_for(moment)
                    time.sleep(rng.uniform(0, 2))
                    code = call.end_with(kind)
                finally:
                    call.kill()
            check_killed_call(call, kind, code, folder)
            kinds[kind.name] += 1
            print(number, kind.name, [line["event"] for line in check_lines(call.log)], flush=True)
    print(f"\n{KILLS} calls, 0 turns lost: {', '.join(f'{name} {count}' for name, count in kinds.most_common())}")


def check_killed_call(call: VoiceProcess, kind: signal.Signals, code: int, folder: Path) -> None:
    lines = check_lines(call.log)
    assert lines[0]["event"] == "begin"
    channels(folder / "call.wav")
    if kind == signal.SIGKILL:
        assert code == -kind
    else:
        assert code == 128 + kind
        assert (lines[-1]["event"], lines[-1]["reason"]) == ("end", kind.name)
    kept = [line["kept"] for line in lines if line["event"] == "reply" and line["kept"]]
    if kept:
        saved = [message["text"] for message in call.saved_messages() if message["role"] == "assistant"]
        # One more may have been saved in the moment before its line was written.
        assert saved[: len(kept)] == kept
        assert len(saved) <= len(kept) + 1
