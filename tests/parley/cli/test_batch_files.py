"""Skills over many files through a batch API: the questions as a file, and the answers as results."""

import json
from collections.abc import Sequence
from pathlib import Path

import PIL.Image
import pytest
from click.testing import Result

from tests.fakes.batch_api import answer, completion, failure, question, requests
from tests.fakes.command_line import image_names, parse_records, run

pytestmark = pytest.mark.usefixtures("scripted_machine")

MODEL = ("-m", "some/vlm")
REQUESTS, ANSWERS, RESULTS = Path("requests.jsonl"), Path("answers.jsonl"), Path("out.jsonl")


@pytest.fixture
def album(tmp_path: Path) -> list[str]:
    """Four images that differ."""
    names = []
    for number, colour in enumerate(("red", "green", "blue", "white")):
        names.append(f"{number}.png")
        PIL.Image.new("RGB", (40, 30), colour).save(tmp_path / names[-1])
    return names


def write_requests(*arguments: str) -> Result:
    return run(*arguments, *MODEL, "--batch-file", str(REQUESTS))


def read_answers(*arguments: str) -> Result:
    return run(*arguments, *MODEL, "--from-batch", str(ANSWERS), "--out", str(RESULTS))


def test_the_answers_of_a_batch_become_the_results_in_the_order_of_the_files(album: Sequence[str]) -> None:
    written = write_requests("caption", *album)
    assert (written.exit_code, written.stdout) == (0, "")
    assert "4 new requests for 4 files in requests.jsonl" in written.stderr
    listed = requests(REQUESTS)
    numbers = {each["custom_id"]: number for number, each in enumerate(listed)}
    assert len(numbers) == 4
    assert {(each["method"], each["url"], each["body"]["model"]) for each in listed} == {
        ("POST", "/v1/chat/completions", "some/vlm")
    }
    assert listed[0]["body"].keys() == {"model", "messages", "max_completion_tokens", "temperature"}
    # Known by their order alone.
    texts = iter(("white", "blue", "green", "red"))
    answer(listed, ANSWERS, lambda _: f"It is {next(texts)}.")
    assert read_answers("caption", *album).exit_code == 0
    records = parse_records(RESULTS.read_text())
    assert [(each["photo"], each["text"]) for each in records] == [
        (name, f"It is {colour}.") for name, colour in zip(album, ("red", "green", "blue", "white"), strict=True)
    ]
    assert {each["model"] for each in records} == {"some/vlm"}


def test_the_lines_are_those_of_a_live_server(album: Sequence[str]) -> None:
    """The scripted model says what it was asked; a batch API that does the same gives the same lines."""
    arguments = ("vqa", *album, "What is it?", "--choice", "You", "--choice", "me")
    run(*arguments, "-m", "scripted", "--out", "live.jsonl")
    write_requests(*arguments)
    answer(requests(REQUESTS), ANSWERS, lambda _: "You said: it")
    read_answers(*arguments)
    live, batch = parse_records(Path("live.jsonl").read_text()), parse_records(RESULTS.read_text())
    assert [each.keys() for each in live] == [each.keys() for each in batch]
    assert [each["answer"] for each in batch] == ["You"] * 4


def test_a_file_that_cannot_be_read_is_reported_at_once_and_an_error_in_its_place_later(album: Sequence[str]) -> None:
    Path("bad.png").write_text("no picture")
    names = [album[0], "bad.png", "gone.png", album[1]]
    written = write_requests("caption", *names)
    assert written.exit_code == 1
    assert "bad.png is a text" in written.stderr
    assert "gone.png" in written.stderr
    assert len(requests(REQUESTS)) == 2
    answer(requests(REQUESTS), ANSWERS, lambda _: "A colour.")
    assert read_answers("caption", *names).exit_code == 1
    records = parse_records(RESULTS.read_text())
    assert [each["photo"] for each in records] == names
    assert ["error" in each for each in records] == [False, True, True, False]


def test_errors_of_the_batch_are_kept_and_can_be_asked_again(album: Sequence[str]) -> None:
    write_requests("caption", *album)
    filtered = completion(None, finish_reason="content_filter")
    replies = iter([failure("Too many images."), completion("Nice."), filtered, completion("Fine.")])
    answer(requests(REQUESTS), ANSWERS, lambda _: next(replies))
    result = read_answers("caption", *album)
    assert result.exit_code == 1
    errors = [each.get("error", "") for each in parse_records(RESULTS.read_text())]
    assert errors[0] == errors[2] == ""
    assert "content filter" in errors[1]
    assert errors[3] == "The batch gave an error in place of an answer: Too many images (status 400)."
    # The refused request is asked again, an empty answer is an answer.
    again = run("caption", *album, *MODEL, "--from-batch", str(ANSWERS), "--batch-file", "again.jsonl")
    assert [each["custom_id"] for each in requests(Path("again.jsonl"))] == [requests(REQUESTS)[3]["custom_id"]]
    assert "1 new request for 1 file in again.jsonl" in again.stderr
    answer(requests(Path("again.jsonl")), Path("more.jsonl"), lambda _: "White.")
    retried = (*MODEL, "--from-batch", "more.jsonl", "--from-batch", str(ANSWERS), "--out", str(RESULTS))
    run("caption", *album, *retried, "--retry-errors")
    assert {each["photo"]: each.get("text") for each in parse_records(RESULTS.read_text())} == {
        **dict(zip(album, ("Fine.", None, "Nice.", "White."), strict=True))
    }


def test_questions_without_an_answer_are_named_and_written_by_another_run(album: Sequence[str]) -> None:
    write_requests("caption", *album)
    answer(requests(REQUESTS)[:3], ANSWERS, lambda _: "A colour.")
    result = read_answers("caption", *album)
    assert result.exit_code == 1
    assert "3.png: The batch has no answer to this yet: write what is missing with --batch-file" in result.stderr
    run("caption", *album, *MODEL, "--from-batch", str(ANSWERS), "--batch-file", "rest.jsonl")
    assert requests(Path("rest.jsonl")) == requests(REQUESTS)[3:]


def test_a_skill_that_asks_again_takes_several_rounds(album: Sequence[str]) -> None:
    asks = ("caption", "--style", "dense", album[0])
    write_requests(*asks)
    assert len(requests(REQUESTS)) == 1
    answer(requests(REQUESTS), ANSWERS, lambda _: "All of it.")
    second = run(*asks, *MODEL, "--from-batch", str(ANSWERS), "--batch-file", "tiles.jsonl")
    assert "new request" in second.stderr
    tiles = requests(Path("tiles.jsonl"))
    assert tiles
    assert {question(each["body"]) for each in tiles} == {"Describe the picture."}
    answer(tiles, Path("more.jsonl"), lambda _: "A part.")
    both = (*MODEL, "--from-batch", str(ANSWERS), "--from-batch", "more.jsonl")
    caption = json.loads(run(*asks, *both, "--json").stdout)
    assert (caption["text"], {each["text"] for each in caption["regions"]}) == ("All of it.", {"A part."})
    nothing = run(*asks, *both, "--batch-file", "none.jsonl")
    assert "Nothing is left to ask" in nothing.stderr
    assert Path("none.jsonl").read_text() == ""


def test_writing_is_resumed_without_repeating_a_request(album: Sequence[str]) -> None:
    write_requests("caption", *album[:2])
    whole = REQUESTS.read_text()
    REQUESTS.write_text(whole + whole.splitlines()[0][:70])
    refused = write_requests("caption", *album)
    assert refused.exit_code == 1
    assert "requests.jsonl exists already: go on with --resume" in refused.stderr
    assert run("caption", *album, album[3], *MODEL, "--batch-file", str(REQUESTS), "--resume").exit_code == 0
    assert REQUESTS.read_text().startswith(whole)
    assert len({each["custom_id"] for each in requests(REQUESTS)}) == len(requests(REQUESTS)) == 4


@pytest.mark.parametrize("content", ["something dear", "something dear\n", '{"custom_id": "mine"}\n', "{}"])
def test_another_file_is_never_touched(album: Sequence[str], content: str) -> None:
    REQUESTS.write_text(content)
    result = run("caption", *album, *MODEL, "--batch-file", str(REQUESTS), "--resume")
    assert result.exit_code == 1
    assert "Line 1 of requests.jsonl is no request of Parley's: name another file." in result.stderr
    assert REQUESTS.read_text() == content


def test_reading_is_resumed_like_any_run(album: Sequence[str]) -> None:
    write_requests("caption", *album)
    answer(requests(REQUESTS), ANSWERS, lambda _: "A colour.")
    read_answers("caption", *album[:2])
    before = RESULTS.read_text()
    run("caption", *album, *MODEL, "--from-batch", str(ANSWERS), "--out", str(RESULTS), "--resume")
    assert RESULTS.read_text().startswith(before)
    assert image_names(RESULTS.read_text()) == list(album)


def test_answers_to_another_question_or_of_another_model_are_not_taken(album: Sequence[str]) -> None:
    write_requests("vqa", album[0], "What is it?")
    answer(requests(REQUESTS), ANSWERS, lambda _: "A wall.")
    for others in (("Where is it?", *MODEL), ("What is it?", "-m", "other/vlm")):
        result = run("vqa", album[0], *others, "--from-batch", str(ANSWERS))
        assert (result.exit_code, result.stdout) == (1, "")
        assert "no answer to this yet" in result.stderr
    assert run("vqa", album[0], "What is it?", *MODEL, "--from-batch", str(ANSWERS)).stdout == "A wall.\n"


def test_damaged_answers_are_counted_and_the_others_are_read(album: Sequence[str]) -> None:
    write_requests("caption", *album[:2])
    answer(requests(REQUESTS), ANSWERS, lambda _: "A colour.")
    good = ANSWERS.read_text()
    ANSWERS.write_text(f'not json\n[1]\n{{"custom_id": "other-1", "response": null, "error": null}}\n\n{good}{{"cus')
    result = read_answers("caption", *album[:2])
    assert result.exit_code == 0
    assert "3 lines of answers.jsonl cannot be read as answers of a batch and are left out." in result.stderr
    missing = run("caption", album[0], *MODEL, "--from-batch", "nowhere.jsonl")
    assert missing.exit_code == 1
    assert "The answers in nowhere.jsonl cannot be read (No such file or directory): check the path." in missing.stderr


@pytest.mark.parametrize("model", ["auto", "pocket-small", "scripted"])
def test_a_batch_needs_the_name_of_its_model(album: Sequence[str], model: str) -> None:
    for option in ("--batch-file", "--from-batch"):
        result = run("caption", album[0], "-m", model, option, "file.jsonl")
        assert result.exit_code == 2
        assert "A batch file needs the name of the model that will answer it" in result.stderr
    assert not Path("file.jsonl").exists()


def test_a_name_of_the_catalog_becomes_the_one_that_the_hub_knows(album: Sequence[str]) -> None:
    run("caption", album[0], "-m", "qwen3-vl-8b", "--batch-file", str(REQUESTS))
    assert requests(REQUESTS)[0]["body"]["model"] == "Qwen/Qwen3-VL-8B-Instruct"


@pytest.mark.parametrize("option", ["--json", "--retry-errors", "--out=o.jsonl"])
def test_requests_are_no_results(album: Sequence[str], option: str) -> None:
    result = write_requests("caption", album[0], option)
    assert result.exit_code == 2
    assert f"writes requests and no results: leave {option.partition('=')[0]} out" in result.stderr


def test_skills_without_a_chat_model_have_no_such_options(photo: Path) -> None:
    for skill in ("read", "emotion"):
        assert "--batch-file" not in run(skill, "--help").stdout
    for skill in ("caption", "vqa"):
        assert "--from-batch" in run(skill, "--help").stdout
