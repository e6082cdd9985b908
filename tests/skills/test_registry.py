"""The registry: built-in skills, and those of other packages, which may be broken."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from assistant.errors import SkillError
from assistant.messages import Image
from skills import VisionClient, registry
from tests.fakes.skills import InstallSkill

SKILLS_PAGE = (Path(__file__).parents[2] / "docs" / "skills.md").read_text("utf-8")


def test_summaries_and_help_of_built_in_skills_are_complete() -> None:
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


def test_every_public_name_can_be_imported() -> None:
    import skills

    for name in skills.__all__:
        assert getattr(skills, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = skills.nonsense


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ChatVision", "VisionClient"),
        ("Input", "Parameter"),
        ("Photo", "Image"),
        ("Sound", "Audio"),
        ("load_photo", "load_image"),
    ],
)
def test_deprecated_names_can_still_be_imported(old: str, new: str) -> None:
    import skills

    assert getattr(skills, old) is getattr(skills, new)


def test_names_and_summaries_import_nothing_heavy() -> None:
    heavy = "torch numpy PIL pydantic transformers cv2 textual asyncio".split()
    program = (
        "import sys\nfrom skills import registry\n"
        "print([registry.summary(name) for name in registry.names()] != [])\n"
        f"print([name for name in {heavy} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "True\n[]\n"


def test_the_skill_in_the_documentation_works(install_skill: InstallSkill, photo: Image, model: VisionClient) -> None:
    [code] = re.findall(r"```python\n(from pydantic.*?)```", SKILLS_PAGE, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    install_skill("mood", code)
    assert "mood" in registry.names()
    assert registry.summary("mood") == "From the package mood-pack."
    result = registry.find("mood").run({"image": photo}, model)
    assert result.model_dump() == {"mood": "You said: What is the mood of this image? (and showed photo.png)"}


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import no_such_module", "cannot be used .ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemError('boo')", "cannot be used .SystemError: boo"),
        ("broken = 3", "is no skill: decorate it with @skill"),
        ("from skills import skill\n@skill\ndef broken(x: list[int]) -> int: return 1", "which cannot be entered"),
    ],
)
def test_a_broken_skill_is_a_notice_and_does_not_affect_others(
    install_skill: InstallSkill, code: str, message: str
) -> None:
    install_skill("broken", code)
    found, notices = registry.all_skills()
    assert [each.name for each in found] == list(registry.BUILT_IN)
    [notice] = notices
    assert re.search(message, notice)


def test_an_entry_point_named_unlike_its_function_is_an_error(install_skill: InstallSkill) -> None:
    install_skill(
        "sad",
        "from pydantic import BaseModel\nfrom skills import skill\n"
        "class R(BaseModel): x: int\n@skill\ndef glad(word: str) -> R: return R(x=1)\n",
        skill="glad",
    )
    with pytest.raises(SkillError, match="sad-pack declares its skill glad as sad: use one name"):
        registry.find("sad")


def test_a_package_cannot_replace_a_built_in_skill(install_skill: InstallSkill) -> None:
    install_skill("caption", "raise SystemError('boo')")
    assert registry.names().count("caption") == 1
    assert registry.find("caption").is_built_in


def test_an_unknown_name_is_an_error_that_lists_the_skills() -> None:
    with pytest.raises(SkillError, match="There is no skill nonsense; there are caption"):
        registry.find("nonsense")
