"""`parley models`: what there is to choose from, what lies on this machine, and whether it would run here."""

import json
import os
from typing import TYPE_CHECKING, NamedTuple

import click

from assistant.formatting import format_bytes
from parley.cli.options import load_settings
from parley.cli.terminal import ProgressLine, notify, write_out

if TYPE_CHECKING:
    from pathlib import Path

    from assistant.settings import Settings

EMBEDDED = "pocket"
_EMBEDDED_BYTES = 1_400_000_000
"""What the bundled model takes while it answers about a picture, as measured."""

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


class Row(NamedTuple):
    """One model: `memory` in bytes as it would be held here, `held` how, `cached` bytes on the disk; 0 is none."""

    name: str
    memory: int
    held: str
    fits: str
    cached: int
    licence: str
    note: str


@click.group(invoke_without_command=True)
@as_json_option
@click.pass_context
def models(ctx: click.Context, as_json: bool) -> None:
    """List the models to choose from, and fetch, remove and choose one."""
    if ctx.invoked_subcommand is None:
        _print(list_rows(load_settings(ctx).settings), as_json=as_json)


@models.command("list")
@as_json_option
@click.pass_context
def list_(ctx: click.Context, as_json: bool) -> None:
    """List the catalogue, and what else lies in the cache."""
    _print(list_rows(load_settings(ctx).settings), as_json=as_json)


@models.command()
@click.argument("model")
@click.pass_context
def pull(ctx: click.Context, model: str) -> None:
    """Fetch MODEL: a name that the list shows, or an id on the hub.

    What an earlier try has fetched is kept. Prints the folder it is in.
    """
    with ProgressLine() as progress:
        if model == EMBEDDED:
            from parley.factory.models import assemble_pocket

            folder = assemble_pocket(load_settings(ctx).settings, progress, verify_hashes=True)
        else:
            from assistant.models.local.checkpoint import fetch_checkpoint

            folder = fetch_checkpoint(model, progress)
    write_out(f"{folder}\n")


@models.command()
@click.argument("model")
@click.pass_context
def rm(ctx: click.Context, model: str) -> None:
    """Delete MODEL from this machine. It can be fetched again."""
    if model == EMBEDDED:
        freed = _remove_embedded(load_settings(ctx).settings.cache_dir)
    else:
        from assistant.models import catalog, hub

        entry = catalog.find(model)
        freed = hub.remove(entry.repository if entry else model)
    write_out(f"Deleted {model} ({format_bytes(freed)})\n")


@models.command()
@click.argument("model")
@click.pass_context
def use(ctx: click.Context, model: str) -> None:
    """Have MODEL answer from now on: "auto", a name that the list shows, a folder, or an id on the hub."""
    from assistant.settings import ENVIRONMENT_PREFIX, save_setting
    from parley.factory.models import is_remote

    settings = load_settings(ctx, {"model": model}).settings
    if not is_remote(settings):
        model = _known(settings.model)
    path = save_setting("model", model, ctx.find_root().params.get("config"))
    write_out(f"{model} is the model of {path}\n")
    if variable := os.environ.get(f"{ENVIRONMENT_PREFIX}MODEL"):
        notify(f"{ENVIRONMENT_PREFIX}MODEL is set to {variable} and comes before the file: unset it.")


def _known(model: str) -> str:
    """`model` if there can be one of that name, a folder by its whole path. Raises `ModelError` if there cannot."""
    from pathlib import Path

    from assistant.errors import ModelError
    from assistant.models import catalog

    if Path(model).is_dir():
        return str(Path(model).resolve())
    if model in ("auto", EMBEDDED) or catalog.find(model) or model.count("/") == 1:
        return model
    raise ModelError(
        f"There is no model {model}: choose one that `parley models` lists, a folder, or an id on the hub."
    )


def list_rows(settings: "Settings") -> list[Row]:
    """The bundled model, the catalogue, and other models with eyes in the cache."""
    from assistant.models import catalog, hub
    from assistant.models.local.placement import choose_device
    from assistant.models.memory import RESERVED_FRACTION, free_bytes

    placement = choose_device(settings.device, settings.quantize)
    room = free_bytes(placement.device) * (1 - RESERVED_FRACTION)
    cached = {model.repository: model for model in hub.list_cached()}
    bundled = sum(_size(folder) for folder in _embedded_folders(settings.cache_dir))
    rows = [Row(EMBEDDED, _EMBEDDED_BYTES, "int8", _fits(_EMBEDDED_BYTES, room), bundled, "research only", "")]
    for entry in catalog.CATALOG:
        held = entry.quantization_for(placement.quantization)
        memory = entry.memory_bytes(held, placement.device_type)
        found = cached.pop(entry.repository, None)
        note = _note(entry.required_packages, gated=entry.gated, whole=found is None or found.complete)
        rows.append(Row(entry.name, memory, held, _fits(memory, room), found.size if found else 0, entry.licence, note))
    rows += [Row(name, 0, "", "", model.size, "", _note((), whole=model.complete)) for name, model in cached.items()]
    return rows


def _fits(memory: int, room: float) -> str:
    return "yes" if memory <= room else "no"


def _note(needs: tuple[str, ...], *, gated: bool = False, whole: bool = True) -> str:
    from importlib.util import find_spec

    missing = [package for package in needs if find_spec(package) is None]
    notes = [f"needs {' and '.join(missing)}"] if missing else []
    notes += ["terms to accept on the hub"] if gated else []
    notes += [] if whole else ["not all of it is fetched"]
    return ", ".join(notes)


def _print(rows: list[Row], *, as_json: bool) -> None:
    if as_json:
        fits = {"yes": True, "no": False}
        write_out(json.dumps([{**row._asdict(), "fits": fits.get(row.fits)} for row in rows], indent=2) + "\n")
        return
    table = [("model", "held as", "memory", "fits here", "on the disk", "licence", "")]
    for row in rows:
        memory = format_bytes(row.memory) if row.memory else "?"
        disk = format_bytes(row.cached) if row.cached else "-"
        table.append((row.name, row.held or "?", memory, row.fits or "?", disk, row.licence, row.note))
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    for line in table:
        write_out("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip() + "\n")


def _embedded_folders(cache_dir: "Path") -> list["Path"]:
    from assistant.models.pocket.assemble import DECODER, TOWER
    from assistant.wheel_assets import asset_dir

    # The other assets are those of the voice and of Whisper.
    assets = (asset_dir(asset, cache_dir) for asset in (DECODER, TOWER))
    return [*cache_dir.glob("models/pocket-*"), *(folder for folder in assets if folder.is_dir())]


def _size(folder: "Path") -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _remove_embedded(cache_dir: "Path") -> int:
    import shutil

    from assistant.errors import ModelError

    folders = _embedded_folders(cache_dir)
    if not folders:
        raise ModelError(f"{EMBEDDED} is not on this machine: see `parley models` for what is.")
    freed = sum(_size(folder) for folder in folders)
    for folder in folders:
        shutil.rmtree(folder)
    return freed
