"""Pictures of the site, from running the pages that show them: `python -m scripts.pictures`.

Drawings that show no result are made by `docs/drawings.py`.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from docs.drawings import DRAWINGS

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
MADE_BY = {  # page: what it leaves in its working directory
    "start/predict.md": ("guesses.png",),
    "guides/explain.md": ("map.png", "prototypes.png"),
    "guides/training.md": ("batch.png", "schedules.png"),
    "start/look.md": ("runs/first/curves.png", "wrong.png"),
}
WIDEST, COLOURS = 1000, 64  # pixels of a picture, and colours in it


def main() -> None:
    """Runs every page in an empty folder, draws, and keeps the pictures, small."""
    for page, pictures in MADE_BY.items():
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "100"}
            command = [sys.executable, "-m", "tests.docs.page", str(ROOT / "docs" / page)]
            subprocess.run(command, cwd=folder, env=environment, check=True)
            for name in pictures:
                keep(Path(folder, name))
    with tempfile.TemporaryDirectory() as folder:
        for name, draw in DRAWINGS.items():
            draw(Path(folder, name))
            keep(Path(folder, name))


def keep(path: Path) -> None:
    """Writes a picture into the site's folder, at most so wide and of so many colours."""
    FOLDER.mkdir(exist_ok=True)
    picture = Image.open(path).convert("RGB")
    picture.thumbnail((WIDEST, WIDEST))
    picture.quantize(COLOURS).save(FOLDER / path.name, optimize=True)


if __name__ == "__main__":
    main()
