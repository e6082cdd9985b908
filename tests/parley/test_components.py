"""The list of parts and their licences, and the SBOM."""

import json
import re
from pathlib import Path

import pytest

from assistant.wheels import WheelAsset
from parley.components import DISTRIBUTION, UNKNOWN, all_components, license_text, sbom
from tests.fakes.command_line import run

ROOT = Path(__file__).parents[2]
LOCK = """# A comment
click==8.5.1 \\
    --hash=sha256:{a} \\
    --hash=sha256:{b}
no-such-package[extra]==1.0 ; sys_platform == 'win32' \\
    --hash=sha256:{a}
""".format(a="a" * 64, b="b" * 64)

pytestmark = pytest.mark.usefixtures("unset")


def test_every_part_is_listed_with_a_licence() -> None:
    parts = all_components()
    by_name = {part.name: part for part in parts}
    assert by_name["click"].license == "BSD-3-Clause"
    assert by_name["textual-image"].license == "LGPL-3.0-or-later"
    assert by_name["hibari-tts"].license == by_name["hibari voice"].license == "Apache-2.0"
    assert by_name["smart-turn-v3.2-cpu.onnx"].package == "pipecat-ai==1.14.0"
    assert by_name["skills/emotions/weights/voice.safetensors"].license.startswith("research only")
    assert DISTRIBUTION not in by_name
    assert "pytest" not in by_name, "what only developers need is no part"
    assert "piper-tts" not in by_name, "nor is what an extra adds"
    assert all(part.license for part in parts)
    assert [part.name for part in parts if part.license == UNKNOWN] == []


def test_every_wheel_asset_of_the_product_is_listed() -> None:
    packages = {part.package.partition("==")[0] for part in all_components()}
    for package in ("assistant", "skills", "voice", "tui", "parley"):
        for path in (ROOT / package).rglob("*.py"):
            for name in re.findall(r'WheelAsset\(\s*"([\w-]+)"', path.read_text("utf-8")):
                assert name in packages, f"{path} has an asset that parley/components.py does not list"


def test_all_weights_of_the_package_are_listed() -> None:
    listed = {part.name for part in all_components()}
    weights = [
        path.relative_to(ROOT).as_posix()
        for folder in ("assistant", "skills", "voice", "tui")
        for path in (ROOT / folder).rglob("*.safetensors")
    ]
    assert weights
    assert set(weights) <= listed


def test_packages_of_a_lock_file_have_its_versions_and_hashes() -> None:
    click, unknown = all_components(LOCK)[:2]
    assert (click.version, click.license, click.sha256) == ("8.5.1", "BSD-3-Clause", ("a" * 64, "b" * 64))
    assert (unknown.name, unknown.version, unknown.license) == ("no-such-package", "1.0", UNKNOWN)


def test_the_lock_file_of_the_repository_is_read_completely() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    packages = [part for part in all_components(lock) if part.kind == "package"]
    assert len(packages) == len(re.findall(r"(?m)^[\w.-]+(?:\[[^\]]*\])?==", lock))
    assert all(part.sha256 for part in packages)


def test_nothing_that_make_chat_installs_is_under_the_gpl() -> None:
    packages = all_components((ROOT / "requirements.lock").read_text("utf-8"))
    assert "hibari-tts" in {part.name for part in packages}
    assert [part.name for part in packages if re.search(r"(?<!L)GPL", part.license)] == []
    assert "piper-tts" not in {part.name for part in packages}


def test_the_sbom_has_the_structure_of_cyclonedx() -> None:
    """The required fields and the forms of values of the published schema, version 1.6."""
    bom = sbom(all_components(LOCK))
    assert (bom["bomFormat"], bom["specVersion"], bom["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bom["serialNumber"])
    assert bom == sbom(all_components(LOCK)), "the same parts give the same file"
    references = [component["bom-ref"] for component in bom["components"]]
    assert len(set(references)) == len(references)
    (dependency,) = bom["dependencies"]
    assert dependency["ref"] == bom["metadata"]["component"]["bom-ref"]
    assert set(dependency["dependsOn"]) == set(references)
    for component in bom["components"]:
        assert component.keys() <= {"type", "bom-ref", "name", "version", "licenses", "purl", "hashes"}
        assert component["type"] in ("library", "machine-learning-model")
        assert component["name"]
        assert component["version"]
        (terms,) = component["licenses"]
        assert terms.keys() in ({"expression"}, {"license"})
        assert "expression" in terms or terms["license"].keys() in ({"id"}, {"name"})
        assert re.fullmatch(r"pkg:pypi/[a-z0-9-]+@[\w.+!-]+", component.get("purl", "pkg:pypi/x@1"))
        for found in component.get("hashes", []):
            assert found["alg"] == "SHA-256"
            assert re.fullmatch(r"[0-9a-f]{64}", found["content"])


def test_the_text_of_a_licence() -> None:
    assert "Redistribution and use" in (license_text("click") or "")
    assert license_text("no-such-package") is None


class TestCommand:
    def test_a_list_and_json(self) -> None:
        lines = run("licences").stdout.splitlines()
        assert lines[0].split() == ["part", "version", "licence", "from"]
        listed = json.loads(run("licences", "--json").stdout)
        assert len(listed) == len(lines) - 1

    def test_an_sbom_of_a_lock_file(self, tmp_path: Path) -> None:
        (tmp_path / "lock").write_text(LOCK)
        bom = json.loads(run("licences", "--sbom", "--lock", str(tmp_path / "lock")).stdout)
        assert bom["components"][0]["purl"] == "pkg:pypi/click@8.5.1"

    @pytest.mark.parametrize("name", ["nope", "../x", "", "x" * 5000, "\udcff"])
    def test_an_unknown_package_is_one_sentence(self, name: str) -> None:
        result = run("licences", name)
        assert result.exit_code == 2
        assert "There is no licence text of" in result.stderr
        assert len(result.stderr) < 300

    def test_a_lock_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        assert "cannot be read: No such file" in run("licences", "--lock", str(tmp_path / "no")).stderr
        (tmp_path / "binary").write_bytes(b"\xff")
        assert "is not text in UTF-8" in run("licences", "--lock", str(tmp_path / "binary")).stderr


def test_an_asset_without_a_known_licence_is_named_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asset = WheelAsset("some-package", "1", "0" * 64, "some/file.bin", "1" * 64, 1)
    monkeypatch.setattr("voice.turns.smart_turn.SMART_TURN", asset)
    (part,) = [part for part in all_components(LOCK) if part.name == "file.bin"]
    assert part.license == UNKNOWN
