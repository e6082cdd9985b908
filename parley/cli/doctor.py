"""`parley doctor`: what this machine has, what Parley uses of it, and what is missing."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from assistant.text_cleaning import clean_line
from parley.cli.options import as_json_option, load_settings
from parley.cli.terminal import write_json, write_out

if TYPE_CHECKING:
    from assistant.settings import Settings
    from parley.doctor import Report

_LABEL_WIDTH = 14


@click.command()
@as_json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Tell what this machine has, what Parley will use, and what is missing.

    Made for bug reports too: it names no token, key or password. Exits with 1 if something is missing that a chat
    needs.
    """
    from assistant.errors import MissingExtraError, first_line

    try:
        from assistant.config_file import default_config_file
        from parley.doctor import examine
    except ImportError as error:
        raise MissingExtraError(
            f"Parley is not completely installed ({first_line(error)}): install it again."
        ) from error

    settings, settings_error = _settings(ctx)
    report = examine(settings, settings_error, str(ctx.find_root().params["config"] or default_config_file()))
    if as_json:
        write_json({**report.facts, "missing": [asdict(each) for each in report.missing]}, indent=2)
    else:
        write_out("\n".join(_lines(report)) + "\n")
    if not report.can_chat:
        raise click.exceptions.Exit(1)


def _settings(ctx: click.Context) -> "tuple[Settings, str]":
    """Return the settings, and why they are the defaults instead."""
    from assistant.errors import ConfigError
    from assistant.settings import Settings

    try:
        return load_settings(ctx).settings, ""
    except ConfigError as error:
        return Settings(), str(error)


def _lines(report: "Report") -> list[str]:
    facts = report.facts
    lines = [_line(name, _describe(name, facts.get(name, {}))) for name in _DESCRIBED]
    lines += ["", "Parley will use", *_uses(facts.get("uses", {})), "", "Missing"]
    for each in report.missing:
        mark = "!" if each.needed else "-"
        lines.append(f"  {mark} {clean_line(each.what)}: {clean_line(each.remedy)}")
    if not report.missing:
        lines.append("  nothing")
    return lines


def _line(label: str, text: str) -> str:
    return f"{label:{_LABEL_WIDTH}}{clean_line(text, 1000)}"


def _describe(name: str, section: dict[str, Any]) -> str:
    """Return a section in words, or what went wrong while it was looked at."""
    if error := section.get("error"):
        return f"cannot be told: {error}"
    return _DESCRIBED[name](section)


def _about(section: dict[str, Any]) -> str:
    return f"{section['version']}, Python {section['python']}, {section['system']}, {section['program']}"


def _processor(section: dict[str, Any]) -> str:
    features = " ".join(section["features"]) or "no vector instructions that are known"
    return f"{section['name']}, {section['cores']} cores, {section['threads']} threads; {features}"


def _memory(section: dict[str, Any]) -> str:
    from assistant.formatting import format_bytes

    return f"{format_bytes(section['free'])} of {format_bytes(section['total'])} free"


def _gpu(section: dict[str, Any]) -> str:
    from assistant.formatting import format_bytes

    cards = []
    for card in section["cards"]:
        memory = f", {format_bytes(card['memory'])}" if card["memory"] else ""
        driver = f", driver {card['driver']}" if card["driver"] else ""
        cards.append(f"{card['vendor']} {card['name']}{memory}{driver}".strip())
    build = section["torch_build"] or "missing"
    usable = f", used as {section['usable']}" if section["usable"] else ""
    return f"{'; '.join(cards) or 'none'} (torch: {build}{usable})"


def _folders(section: dict[str, Any]) -> str:
    from assistant.formatting import format_bytes

    described = []
    for folder in section["all"]:
        state = f"{format_bytes(folder['free'])} free" if folder["writable"] else "not writable"
        described.append(f"{folder['for']} {folder['path']} ({state})")
    return "; ".join(described)


def _audio(section: dict[str, Any]) -> str:
    kinds = ("microphones", "speakers")
    return "; ".join(f"{kind}: {', '.join(section[kind]) or 'none'}" for kind in kinds)


def _programs(section: dict[str, Any]) -> str:
    return "; ".join(f"{name}: {path or 'no'}" for name, path in section.items())


def _hub(section: dict[str, Any]) -> str:
    state = "offline by setting" if section["offline"] else "in reach" if section["reachable"] else "not in reach"
    return f"{section['address']} is {state}; {'a' if section['has_token'] else 'no'} token"


def _servers(section: dict[str, Any]) -> str:
    described = [
        f"{server['address']} {'answers' if server['reachable'] else 'does not answer'}"
        for server in section["configured"]
    ]
    return "; ".join(described) or "none"


def _packages(section: dict[str, Any]) -> str:
    return ", ".join(f"{name} {package['version']}" for name, package in section.items() if package["version"])


_DESCRIBED = {
    "parley": _about,
    "processor": _processor,
    "memory": _memory,
    "gpu": _gpu,
    "folders": _folders,
    "audio": _audio,
    "programs": _programs,
    "hub": _hub,
    "servers": _servers,
    "packages": _packages,
}
"""The sections in the order of the report, with how each is described."""


def _uses(section: dict[str, Any]) -> list[str]:
    if error := section.get("error"):
        return [f"  nothing: {clean_line(error)}"]
    place = f" ({section['quantization'] or 'as it is'} on {section['device']})" if section["device"] else ""
    states = {True: "; downloaded", False: "; not downloaded yet", None: ""}
    on_disk = states[section.get("downloaded")]
    voice_state = "" if section["voice_installed"] else "; not installed"
    heard = states[section["recognizer_downloaded"]]
    return [
        _line("  model", f"{section['model']}{place}: {section['why']}{on_disk}"),
        _line("  voice", f"{section['voice']}: {section['voice_why']}{voice_state}"),
        _line("  recognizer", f"{section['recognizer']}{heard}"),
    ]
