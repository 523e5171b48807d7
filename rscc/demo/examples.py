"""Example images of the page: rendered pairs, and aerial photographs in the public domain."""
import threading
from pathlib import Path

import numpy as np

from rscc.demo.words import Problem
from rscc.synth.generator import plan_pair, render_pair
from rscc.visualization.picture_files import save_image

#: Name of a rendered example -> its place in the test split of the built-in dataset.
_RENDERED = {'houses': 24, 'parking': 18}
#: The pair of docs/real_pair: NAIP, U.S. Department of Agriculture.
_PHOTOGRAPHS = {'naip': ('2010.png', '2014.png')}
_FOLDER = Path(__file__).with_name('examples')
PAIRS = (*_RENDERED, *_PHOTOGRAPHS)
SINGLES = ('single', )


class Examples:
    """Files of the examples; rendered ones are drawn when they are first asked for.

    Args:
        folder: Where they are drawn.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()

    def files(self, name: str) -> tuple[Path, ...]:
        """Return the images of an example, earliest first.

        Raises:
            Problem: If there is none of that name.
        """
        if name in _PHOTOGRAPHS:
            return tuple(_FOLDER / file for file in _PHOTOGRAPHS[name])
        if name in SINGLES:
            return self._rendered('houses')[1:]
        if name not in _RENDERED:
            raise Problem('unknown_example')
        return self._rendered(name)

    def _rendered(self, name: str) -> tuple[Path, ...]:
        files = tuple(self._folder / name / f'{date}.png' for date in ('before', 'after'))
        with self._lock:
            if not files[-1].is_file():
                pair = render_pair(plan_pair(0, 'test', _RENDERED[name], 'varied'))
                for file, frame in zip(files, pair, strict=True):
                    file.parent.mkdir(parents=True, exist_ok=True)
                    save_image(file, np.asarray(frame))
        return files
