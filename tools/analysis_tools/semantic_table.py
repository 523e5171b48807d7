r"""Scores of class maps of both dates beside their baselines, out of a predictions file.

Examples::

    python tools/test.py configs/semantic_synth.py CKPT --out predictions.json
    python tools/analysis_tools/semantic_table.py predictions.json           # show the table
    python tools/analysis_tools/semantic_table.py predictions.json --write   # and write it

``--write`` puts it between the marks ``<!-- benchmark:semantic -->`` of docs/en/evaluation.md and
docs/zh_cn/evaluation.md, where configs/semantic.yml reads it for the page of all models.
"""
import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.apis.command_line import described, explained
from rscc.utils import atomic_write
from rscc.utils.files import read_json, read_text

ROOT = Path(__file__).resolve().parents[2]
PAGE, SECTION = 'evaluation.md', 'semantic'
#: Metrics of ``FromToMetric`` and the heads of their columns, English and Chinese.
COLUMNS = {'SeK_pooled': ('SeK pooled', 'SeK 合并'), 'SeK_from_to': ('SeK from-to', 'SeK 转变'),
           'F_scd_pooled': ('F_scd pooled', 'F_scd 合并'),
           'F_scd_from_to': ('F_scd from-to', 'F_scd 转变'),
           'F1_changed': ('F1 changed', '变化 F1')}
#: Keys of the baselines and what they are, English and Chinese.
BASELINES = {
    'repeated_first/': ('its classes of the first date at both', '两个时相都用其前时相的类别'),
    'true_first/': ('the true classes of the first date at both, where it truly changed',
                    '在真正变化处，两个时相都用前时相的真实类别')}


def main(arguments: Sequence[str] | None = None) -> None:
    """Show the table; write it into the pages if asked to."""
    parser = argparse.ArgumentParser(
        description=described(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('predictions', metavar='JSON', help='as tools/test.py --out wrote it')
    parser.add_argument('--write', action='store_true', help='write the table into the docs')
    parser.add_argument('--docs', type=Path, default=ROOT / 'docs', help='their folder (docs)')
    args = parser.parse_args(arguments)
    from tools.benchmark.tables import LANGUAGES, place

    with explained():
        tables = [table(read_json(args.predictions), args.predictions, language)
                  for language in range(len(LANGUAGES))]
        print(tables[0])
        pages = {}
        for language, text in zip(LANGUAGES, tables, strict=True) if args.write else ():
            path = args.docs / language / PAGE
            page = read_text(path, 'page')
            if f'<!-- benchmark:{SECTION} -->' not in page:
                raise ValueError(f"'{path}' has no mark '<!-- benchmark:{SECTION} -->'; put it and "
                                 f"'<!-- /benchmark:{SECTION} -->' where the table should stand")
            pages[path] = place(page, SECTION, text, path)
    for path, page in pages.items():
        with atomic_write(path) as file:
            file.write(page)
        print(f'wrote {path}')


def table(told: Mapping[str, Any], where: str, language: int) -> str:
    """Return the table in Markdown, with what was tested and by which commands.

    Args:
        told: Content of the predictions file.
        where: Its name, for messages.
        language: 0 for English, 1 for Chinese.

    Raises:
        ValueError: If the file has no scores of class maps.
    """
    scores = told.get('metrics', {}) if isinstance(told, Mapping) else {}
    lacking = [name for name in COLUMNS if f'semantic/{name}' not in scores]
    if lacking:
        raise ValueError(f"'{where}' has no semantic/{lacking[0]}: expected the predictions file "
                         'of tools/test.py --out, of a config whose test_evaluator has a '
                         'FromToMetric')
    config = Path(told['config']).stem
    rows = [['', *(head[language] for head in COLUMNS.values())], ['---'] * (1 + len(COLUMNS))]
    for key, name in {'': (config, config), **BASELINES}.items():
        found = [scores.get(f'semantic/{key}{column}') for column in COLUMNS]
        rows.append([name[language], *('–' if value is None else f'{value:.3f}'
                                       for value in found)])
    pairs, split, data = len(told['samples']), told['split'], told['dataset']['dataset_type']
    note = (f'{pairs} pairs of {data}, split {split}. Baselines are about the classes alone and '
            'have no change map of their own.',
            f'{data} 的 {split} 划分，{pairs} 对。基线只涉及类别，没有自己的变化图。')[language]
    commands = (f'python tools/test.py configs/{config}.py CKPT --out predictions.json',
                'python tools/analysis_tools/semantic_table.py predictions.json --write')
    return '\n'.join([*(f'| {" | ".join(row)} |' for row in rows), '', f'- {note}',
                      f'- {(", ", "；")[language].join(f"`{command}`" for command in commands)}'])


if __name__ == '__main__':
    main()
