"""Draw the picture of the README: what rscc-small says of a real and of a rendered pair.

Run it again when its weights have changed, and adapt the sentences below the picture:

    python docs/result_picture.py
"""
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / 'docs/en/images/rscc_small.jpg'
TITLES = {'naip': 'Aerial photographs, North Dakota, 2010 and 2014 (USDA NAIP, public domain)',
          'houses': 'A rendered pair'}


def answers() -> Iterator[tuple[str, Any]]:
    """Yield title and answer of both pairs, examples of the web page."""
    from rscc.apis import ChangeInferencer
    from rscc.demo.examples import Examples
    inferencer = ChangeInferencer('rscc-small')
    with tempfile.TemporaryDirectory() as folder:
        for name, title in TITLES.items():
            yield title, inferencer(*Examples(Path(folder)).files(name))


def main() -> None:
    """Print the sentences and write the picture."""
    sys.path.insert(0, str(ROOT))
    panels = []
    for title, answer in answers():
        print(f'{title}: {answer.caption}')
        panel = answer.panel(title)
        last = np.flatnonzero((panel < 250).any((1, 2)))[-1]
        panels.append(panel[:last + 20])
    Image.fromarray(np.concatenate(panels)).save(PICTURE, quality=85, optimize=True)
    print(f'{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size / 1000:.0f} kB')


if __name__ == '__main__':
    main()
