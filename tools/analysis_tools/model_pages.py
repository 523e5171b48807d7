r"""Write the tables of docs/en/model_zoo.md and docs/zh_cn/model_zoo.md, the pages of all models.

Examples::

    python tools/analysis_tools/model_pages.py           # say whether they are as they should be
    python tools/analysis_tools/model_pages.py --write

They come from the metafiles configs/*.yml, whose names, files and hashes are checked on the way.
"""
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.apis.command_line import described, explained
from rscc.config.metafiles import read_metafiles
from rscc.utils import atomic_write
from rscc.utils.files import read_text

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare the pages with the metafiles, or write them.

    Raises:
        SystemExit: With code 1 if a page differs and is not written.
    """
    parser = argparse.ArgumentParser(
        description=described(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--write', action='store_true', help='write the pages')
    parser.add_argument('--docs', type=Path, default=ROOT / 'docs', help='their folder (docs)')
    args = parser.parse_args(arguments)
    from tools.benchmark.model_page import PAGE, render_page  # they import torch
    from tools.benchmark.tables import LANGUAGES

    with explained():
        models = read_metafiles([ROOT / 'configs'])
        pages = {}
        for language in LANGUAGES:
            path = args.docs / language / PAGE
            text = read_text(path, 'page')
            pages[path] = text, render_page(text, models, language, ROOT)
    other = [path for path, (before, after) in pages.items() if before != after]
    for path in other if args.write else ():
        with atomic_write(path) as file:
            file.write(pages[path][1])
        print(f'wrote {path}')
    if other and not args.write:
        raise SystemExit(f'not as the metafiles have it: {", ".join(map(str, other))}. Run '
                         'python tools/analysis_tools/model_pages.py --write')
    if not other:
        print('the pages are as the metafiles have it')


if __name__ == '__main__':
    main()
