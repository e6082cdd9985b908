"""Families of the catalog that need the packages of the extra `gpu`, end to end, without a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assistant.messages import assistant, user
from assistant.models.local.chat_template import ChatTemplate
from assistant.models.local.loader import load
from assistant.models.local.placement import choose_device
from tests.fakes.tiny_models import make_image

pytestmark = pytest.mark.gpu_stack

SQUARISH, WIDE = make_image(1), make_image(2, 96, 32)


@pytest.fixture(params=["qwen3_vl", "smolvlm2", "internvl", "gemma"])
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def folder(family: str, request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"{family}_folder")
    return found


def test_the_tokens_of_each_image_are_where_it_was_sent(family: str, folder: Path) -> None:
    loaded = load(str(folder), choose_device("cpu", "none"))
    conversation = [user("Which is which?", SQUARISH, WIDE), assistant("A dog."), user("And this?", SQUARISH)]
    prompt = loaded.decoder.build_prompt(
        ChatTemplate(loaded.processor, "tiny").render(conversation), [SQUARISH, WIDE, SQUARISH]
    )
    image_token = loaded.config.image_token_id
    text = loaded.processor.tokenizer.decode([one for one in prompt.ids if one != image_token])
    assert text.index("Which") < text.index("A dog.") < text.index("And this?")
    # 2 x 3 and 2 x 4 blocks of 32 pixels; 2 x 2 and 1 x 2 tiles + thumbnail; one tile, and 3 + thumbnail; one size.
    squarish, wide = {"qwen3_vl": (6, 8), "smolvlm2": (20, 12), "internvl": (4, 16), "gemma": (4, 4)}[family]
    before_reply = _count_before(loaded.processor.tokenizer, prompt.ids, "A dog.", image_token)
    assert (before_reply, prompt.ids.count(image_token) - before_reply) == (squarish + wide, squarish)


def test_a_question_about_images_is_answered_from_the_shell(family: str, folder: Path, tmp_path: Path) -> None:
    for name, image in (("squarish.png", SQUARISH), ("wide.png", WIDE)):
        (tmp_path / name).write_bytes(image.data)
    one = ask(tmp_path, folder, "squarish.png", "wide.png")
    swapped = ask(tmp_path, folder, "wide.png", "squarish.png")
    assert one["model"] == folder.name
    assert one["reply_tokens"] > 1
    assert one["prompt_tokens"] == swapped["prompt_tokens"]
    # The random Gemma repeats its last token whatever it sees; only its logits, tested elsewhere, differ.
    assert one["answer"] != swapped["answer"] or family == "gemma"


def test_an_nf4_model_answers_from_the_shell(qwen3_vl_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "wide.png").write_bytes(WIDE.data)
    answered = ask(tmp_path, qwen3_vl_folder, "wide.png", quantize="nf4")
    assert (answered["quantization"], answered["device"]) == ("nf4", "cpu")
    assert answered["answer"]


def ask(home: Path, folder: Path, *images: str, quantize: str = "none") -> dict[str, Any]:
    """Return what `parley ask --json` prints about `images`, without any settings; it may print nothing else."""
    command = [sys.executable, "-m", "parley", "ask", "Which?", "--json", "--model", str(folder)]
    command += f"--device cpu --quantize {quantize} --max-tokens 40 --temperature 2 --seed 1".split()
    for image in images:
        command += ["-i", image]
    settings = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "CACHE")}
    own = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")}
    finished = subprocess.run(
        command,
        cwd=home,
        env={**own, **settings, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (finished.returncode, finished.stderr.splitlines()[1:]) == (0, []), finished.stderr
    answered: dict[str, Any] = json.loads(finished.stdout)
    return answered


def _count_before(tokenizer: Any, ids: list[int], text: str, token: int) -> int:
    """Count the occurrences of `token` before `text`."""
    end = next(index for index in range(len(ids)) if text in tokenizer.decode(ids[:index]))
    return ids[:end].count(token)
