"""What the packages of a machine with a GPU make possible, run without one: the catalogue's families, end to end."""

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
from tests.assistant.models.conftest import make_picture

pytestmark = pytest.mark.gpu_stack

SQUARISH, WIDE = make_picture(1), make_picture(2, 96, 32)


@pytest.fixture(params=["qwen3_vl", "smolvlm2", "internvl", "gemma"])
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def folder(family: str, request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(f"{family}_folder")
    return found


def test_every_picture_has_its_places_where_it_was_shown(family: str, folder: Path) -> None:
    loaded = load(str(folder), choose_device("cpu", "none"))
    talk = [user("Which is which?", SQUARISH, WIDE), assistant("A dog."), user("And this?", SQUARISH)]
    prompt = loaded.decoder.build_prompt(ChatTemplate(loaded.processor, "tiny").render(talk), [SQUARISH, WIDE, SQUARISH])
    token = loaded.config.image_token_id
    words = loaded.processor.tokenizer.decode([one for one in prompt.ids if one != token])
    before, between, after = words.index("Which"), words.index("A dog."), words.index("And this?")
    assert before < between < after
    # 2 x 3 and 2 x 4 blocks of 32 pixels; 2 x 2 and 1 x 2 tiles and the whole; one tile, and 3 and the whole; one size.
    squarish, wide = {"qwen3_vl": (6, 8), "smolvlm2": (20, 12), "internvl": (4, 16), "gemma": (4, 4)}[family]
    answer = _count_before(loaded.processor.tokenizer, prompt.ids, "A dog.", token)
    assert (answer, prompt.ids.count(token) - answer) == (squarish + wide, squarish)


def test_a_question_about_pictures_is_answered_from_the_shell(family: str, folder: Path, tmp_path: Path) -> None:
    for name, picture in (("squarish.png", SQUARISH), ("wide.png", WIDE)):
        (tmp_path / name).write_bytes(picture.data)
    shown = ask(tmp_path, folder, "squarish.png", "wide.png")
    turned = ask(tmp_path, folder, "wide.png", "squarish.png")
    assert shown["model"] == folder.name
    assert shown["reply_tokens"] > 1
    assert shown["prompt_tokens"] == turned["prompt_tokens"]
    # The random Gemma repeats its last token whatever it sees; only its logits, tried elsewhere, tell pictures apart.
    assert shown["answer"] != turned["answer"] or family == "gemma"


def test_one_in_four_bits_answers_from_the_shell(qwen3_vl_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "wide.png").write_bytes(WIDE.data)
    shown = ask(tmp_path, qwen3_vl_folder, "wide.png", quantize="nf4")
    assert (shown["quantization"], shown["device"]) == ("nf4", "cpu")
    assert shown["answer"]


def ask(home: Path, folder: Path, *pictures: str, quantize: str = "none") -> dict[str, Any]:
    """What `parley ask --json` prints about `pictures` on a machine of nobody's, where nothing else may be said."""
    command = [sys.executable, "-m", "parley", "ask", "Which?", "--json", "--model", str(folder)]
    command += f"--device cpu --quantize {quantize} --max-tokens 40 --temperature 2 --seed 1".split()
    for picture in pictures:
        command += ["-i", picture]
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


def _count_before(tokenizer: Any, ids: list[int], words: str, token: int) -> int:
    """How often `token` stands before `words`."""
    end = next(place for place in range(len(ids)) if words in tokenizer.decode(ids[:place]))
    return ids[:end].count(token)
