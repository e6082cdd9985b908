"""Which skills there are: Parley's own, and those of packages that may be broken."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from assistant.errors import SkillError
from assistant.messages import Image
from skills import VisionClient, registry
from tests.fakes.skills import InstallSkill

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def test_help_says_of_each_what_its_docstring_says() -> None:
    for name, built_in in registry.BUILT_IN.items():
        found = registry.find(name)
        assert found.name == name
        assert found.summary == built_in.summary
        assert all(each.help for each in found.parameters if each.is_option), f"an option of {name} is not explained"
        assert found.result_type.model_fields


def test_every_built_in_skill_can_be_imported_from_the_package() -> None:
    import skills

    for name in registry.BUILT_IN:
        assert getattr(skills, name.replace("-", "_")) is registry.find(name)
        assert name.replace("-", "_") in skills.__all__


def test_all_public_names_are_there() -> None:
    import skills

    for name in skills.__all__:
        assert getattr(skills, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = skills.nonsense


def test_names_are_known_without_importing_a_skill_or_anything_heavy() -> None:
    heavy = "torch numpy PIL pydantic transformers cv2 textual asyncio".split()
    program = (
        "import sys\nfrom skills import registry\n"
        "print([registry.summary(name) for name in registry.names()] != [])\n"
        f"print([name for name in {heavy} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "True\n[]\n"


def test_the_skill_of_the_readme_works(install_skill: InstallSkill, photo: Image, model: VisionClient) -> None:
    [code] = re.findall(r"```python\n(from pydantic.*?)```", README, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    install_skill("mood", code)
    assert "mood" in registry.names()
    assert registry.summary("mood") == "From the package mood-pack."
    result = registry.find("mood").run({"photo": photo}, model)
    assert result.model_dump() == {"mood": "You said: What is the mood of this picture? (and showed photo.png)"}


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("import no_such_module", "cannot be used .ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemError('boo')", "cannot be used .SystemError: boo"),
        ("broken = 3", "is no skill: decorate it with @skill"),
        ("from skills import skill\n@skill\ndef broken(x: list[int]) -> int: return 1", "which cannot be entered"),
    ],
)
def test_a_broken_one_is_a_notice_and_spoils_nothing(install_skill: InstallSkill, code: str, sentence: str) -> None:
    install_skill("broken", code)
    found, notices = registry.all_skills()
    assert [each.name for each in found] == list(registry.BUILT_IN)
    [notice] = notices
    assert re.search(sentence, notice)


def test_a_name_that_is_not_the_functions_is_refused(install_skill: InstallSkill) -> None:
    install_skill(
        "sad",
        "from pydantic import BaseModel\nfrom skills import skill\n"
        "class R(BaseModel): x: int\n@skill\ndef glad(word: str) -> R: return R(x=1)\n",
        skill="glad",
    )
    with pytest.raises(SkillError, match="sad-pack declares its skill glad as sad: use one name"):
        registry.find("sad")


def test_nobody_takes_the_place_of_a_built_in_skill(install_skill: InstallSkill) -> None:
    install_skill("caption", "raise SystemError('boo')")
    assert registry.names().count("caption") == 1
    assert registry.find("caption").is_built_in


def test_there_is_no_other() -> None:
    with pytest.raises(SkillError, match="There is no skill nonsense; there are caption"):
        registry.find("nonsense")
