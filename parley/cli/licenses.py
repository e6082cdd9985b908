"""`parley licences`, and the question whether the license of a voice is accepted before it is downloaded."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from assistant.errors import ConfigError, SkillUsageError, first_line
from assistant.parsing import ParseError, decode_text, read_bounded
from assistant.text_cleaning import clean_line
from parley.cli.options import as_json_option
from parley.cli.table import format_table
from parley.cli.terminal import is_terminal, notify, write_json, write_out

if TYPE_CHECKING:
    from assistant.settings import Settings

_MAX_LOCK_BYTES = 4 << 20


def ask_for_license(settings: "Settings") -> None:
    """Ask once whether the license of the selected voice is accepted, and record a yes.

    Nothing is asked if the voice has no license or it is accepted already, without a terminal, and while the voice's
    package is missing. Loading the voice reports an error in these cases.

    Raises:
        ConfigError: There is no such voice, or no such audio file to clone.
        VoiceError: The acceptance cannot be recorded.
    """
    from voice.tts.registry import parse_voice_name

    parsed = parse_voice_name(settings.voice)
    if parsed is None:
        return
    engine, argument = parsed
    if engine.license is None or engine.license.is_accepted(settings):
        return
    engine.check(argument)
    if not is_terminal(sys.stdin, sys.stderr) or not engine.is_installed():
        return
    notify(engine.license.text)
    if click.confirm("Do you accept it?", default=False, err=True):
        engine.license.accept(settings.data_dir)


@click.command()
@click.argument("package", required=False)
@click.option("--sbom", "as_sbom", is_flag=True, help="Print a software bill of materials (CycloneDX 1.6, JSON).")
@click.option("--lock", type=click.Path(readable=False, path_type=Path), help="Lock file with the packages and hashes.")
@as_json_option
def licences(package: str | None, lock: Path | None, *, as_sbom: bool, as_json: bool) -> None:
    """Print the licence of every part of Parley, or the text of that of PACKAGE."""
    from parley import components

    if package is not None:
        text = components.license_text(package)
        if text is None:
            raise SkillUsageError(
                f"There is no licence text of {clean_line(package, 40)} here: `parley licences` lists all parts."
            )
        write_out(f"{text.rstrip()}\n")
        return
    parts = components.all_components(_read_lock(lock) if lock else None)
    if as_sbom:
        write_json(components.sbom(parts), indent=2)
    elif as_json:
        write_json([asdict(part) for part in parts], indent=2)
    else:
        rows = [("part", "version", "licence", "from")]
        rows += [(part.name, part.version, part.license, part.package or part.kind) for part in parts]
        write_out("\n".join(format_table(rows)) + "\n")


def _read_lock(path: Path) -> str:
    try:
        return decode_text(read_bounded(path, _MAX_LOCK_BYTES))
    except OSError as error:
        raise ConfigError(f"The lock file {path} cannot be read: {first_line(error)}.") from error
    except ParseError as error:
        raise ConfigError(f"The lock file {path} {error}.") from error
