"""Exit codes of all commands: 2 for invalid usage or settings, 1 for errors."""

from pathlib import Path

import PIL.Image
import pytest

from tests.fakes.command_line import run


@pytest.fixture(autouse=True)
def _files(scripted_machine: None) -> None:
    PIL.Image.new("RGB", (9, 9)).save("a.png")
    Path("words.txt").write_text("no JSON")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nonsense"], "No such option"),
        (["nonsense"], "No such command"),
        (["ask"], "The prompt is empty"),
        (["ask", "-i", "-"], "The prompt is missing"),
        (["ask", "a.png"], "parley ask 'What is this?' -i a.png"),
        (["ask", "what", "is it", "a.png"], "parley ask 'what is it' -i a.png"),
        (["ask", "compare", "-i", "a.png", "b.png"], "parley ask compare -i a.png -i b.png"),
        (["ask", "/help"], "/help is for an open conversation"),
        (["ask", "/captoin a.png"], "is it /caption that you mean?"),
        (["captoin"], "Did you mean 'caption'?"),
        (["histroy", "list"], "Did you mean 'history'?"),
        (["a.png"], "To ask about it: parley ask 'What is this?' -i a.png"),
        (["gone.jpeg", "what", "is", "it?"], "To ask about it: parley ask 'what is it?' -i gone.jpeg"),
        (["what is it?", "a.png"], "To ask about it: parley ask 'what is it?' -i a.png"),
        (["ask", "hi", "--modle", "x"], "'--model'"),
        (["vqa", "What is it?", "a.png"], "The picture comes first: parley vqa a.png 'What is it?'"),
        (["vqa", "a.png", "a.png"], "The question is missing"),
        (["caption", "a.png", "--language", "German", "--model", "pocket"], "The bundled model writes English only"),
        (["vqa", "a.png", "What?", "--choice", "a", "--model", "pocket"], "needs two different answers"),
        (["ask", ""], "The prompt is empty"),
        (["ask", "hi", "-i", ""], "The path of a picture is empty"),
        (
            ["ask", "hi", "--device", "gpu"],
            """--device is 'gpu', but it should be "auto", "cpu", "mps", "xpu", "cuda" or "cuda:1".""",
        ),
        (
            ["ask", "hi", "--quantize", "int3"],
            """--quantize is 'int3', but it should be "auto", "none", "int8", "nf4",""",
        ),
        (["ask", "hi", "--temperature", "hot"], "--temperature is 'hot', but it should be a number from 0 to 2."),
        (["ask", "hi", "--top-p", "7"], "--top-p is '7', but it should be a number above 0 and up to 1."),
        (
            ["--max-tokens", "0", "models"],
            "--max-tokens is '0', but it should be a whole number from 1 up to 2147483647.",
        ),
        (["--seed", "1.5", "completion", "bash"], "--seed is '1.5', but it should be a whole number from 0 up to"),
        (
            ["transcribe", "a.wav", "--track", "0"],
            "--track is '0', but it should be a whole number from 1 up to 1000000.",
        ),
        (["caption", "a.png", "--jobs", "many"], "--jobs is 'many', but it should be a whole number from 1 up to 256."),
        (["caption", "a.png", "--on-error", "cry"], "--on-error is 'cry', but it should be skip or stop."),
        (["caption", "a.png", "--style", "odd"], "--style is 'odd', but it should be short,"),
        (["ask", "hi", "--model", "gone"], "There is no model gone: choose one that `parley models` lists"),
        (["ask", "hi", "--model", "gone.gguf"], "There is no file gone.gguf"),
        (["ask", "hi", "--model", "pockt"], "Did you mean pocket?"),
        (["models", "pull", "gone"], "There is no model gone"),
        (["models", "rm", "gone"], "There is no model gone"),
        (["models", "use", "gone"], "There is no model gone"),
        (["ask", "hi", "--backend", "remote"], "needs the address of a server"),
        (["--config", "gone.toml", "ask", "hi"], "There is no configuration file gone.toml"),
        (["caption"], "PHOTO... is missing."),
        (["caption", ""], "One of the paths is empty"),
        (["caption", "a.png", "--resume"], "name it with --out"),
        (["vqa", "a.png"], "PHOTO... and QUESTION have to be given, in this order."),
        (["vqa", "a.png", ""], "needs a question"),
        (["vqa", "a.png", "What?", "--yes-no", "--choice", "a"], "give one of them"),
        (["vqa", "a.png", "a.png", "What?", "--choice", "a"], "needs two different answers"),
        (["emotion"], "needs something to go by"),
        (["emotion", "--text", ""], "needs something to go by"),
        (["transcribe"], "Missing argument 'FILE...'"),
        (["speak", ""], "The text is empty"),
        (["speak", "hi", "-o", "a.wav", "--voice", "nonsense"], "There is no voice nonsense"),
        (["speak", "hi", "-o", "a.wav", "--voice", "gone.onnx"], "no file gone.onnx"),
        (["speak", "hi", "-o", "a.wav", "--voice", "espeak:xx-nobody"], "espeak-ng has no voice 'xx-nobody'"),
        (
            ["evaluate", "nonsense", "a", "b"],
            "TASK is 'nonsense', but it should be caption, vqa, emotion or transcribe.",
        ),
        (["evaluate", "vqa", "a", "b", "--samples", "1"], "--samples is '1', but it should be a whole number from 10"),
        (["history", "show"], "Missing argument 'CONVERSATION'"),
        (["pull", "nonsense"], "MODEL is 'nonsense', but it should be pocket, pocket-small, whisper or voice."),
    ],
)
def test_invalid_usage_exits_with_two(arguments: list[str], message: str) -> None:
    result = run(*arguments, stdin="")
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count(message) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ask", "hi", "-i", "gone.png"], "gone.png does not exist"),
        (["caption", "gone.png"], "gone.png does not exist"),
        (["caption", "*.jpg"], "No file matches *.jpg"),
        (["vqa", "gone.png", "What?"], "gone.png does not exist"),
        (["emotion", "gone.wav"], "no file gone.wav"),
        (["transcribe", "gone.wav"], "no file gone.wav"),
        (["evaluate", "caption", "words.txt", "gone.jsonl"], "gone.jsonl does not exist"),
        (["evaluate", "caption", "words.txt", "words.txt"], "Line 1 of words.txt is no JSON"),
        (["history", "show", "gone"], "There is no conversation gone"),
        (["--continue", "ask", "hi"], "no conversation to continue"),
    ],
)
def test_errors_exit_with_one(arguments: list[str], message: str) -> None:
    result = run(*arguments, stdin="")
    assert (result.exit_code, result.stdout) == (1, "")
    assert message in result.stderr


def test_wrong_usage_of_a_skill_is_reported_before_a_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("parley.factory.models.build_vision_clients", fail)
    for arguments in (
        ["caption", "a.png", "--language", "German", "--model", "pocket"],
        ["vqa", "a.png", "What?", "--choice", "a"],
        ["vqa", "a.png", "What?", "--choice", "a", "--yes-no", "--choice", "b"],
        ["vqa", "a.png", ""],
    ):
        assert run(*arguments).exit_code == 2, arguments
