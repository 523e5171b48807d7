r"""Plot quality and time of diffusion captioning against the number of sampling steps.

Examples::

    python tools/analysis_tools/sampling_steps.py configs/kdrscc_synth.py \
        work_dirs/kdrscc_synth/epoch_30.pth
    python tools/analysis_tools/sampling_steps.py configs/kdrscc_synth.py \
        work_dirs/kdrscc_synth/epoch_30.pth --steps 1 4 10 50 --samplers dpmpp_2m heun \
        --beside configs/blip_synth.py work_dirs/blip_synth/epoch_8.pth --write

Predicts the test split with every sampler and number of steps, on images that are encoded once, and
writes ``sampling_steps.md``, ``.json`` and ``.png`` into ``--out``. ``--write`` puts table and
picture into docs/en/benchmarks.md and docs/zh_cn/benchmarks.md.
"""
import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.apis.command_line import (
    add_config_options,
    described,
    explained,
    output_folder,
    whole_number,
)
from rscc.apis.launch import default_work_dir, set_data_root
from rscc.utils import atomic_write, write_json
from rscc.visualization.picture_files import save_small
from tools.benchmark.sampling import STEPS, SamplingBenchmark, benchmark_sampling
from tools.benchmark.tables import to_markdown, to_text, write_section

DOCS = Path(__file__).resolve().parents[2] / 'docs'


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=described(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config with a KarrasCaptionHead or a '
                        'MaskedCaptionHead')
    parser.add_argument('checkpoint', help='its trained weights')
    parser.add_argument('--steps', nargs='+', type=whole_number(1), default=list(STEPS),
                        metavar='N', help='numbers of sampling steps; all are compared with the '
                        'captions of the largest (%(default)s)')
    parser.add_argument('--samplers', nargs='+', default=['dpmpp_2m'], metavar='NAME',
                        help='samplers (%(default)s)')
    parser.add_argument('--samples', type=whole_number(1), default=1, metavar='K',
                        help='sentences drawn for every pair, of which minimum Bayes risk chooses '
                        'the best (%(default)s)')
    parser.add_argument('--beside', nargs=2, metavar=('CONFIG', 'CHECKPOINT'), action='append',
                        default=[], help='another captioner, word by word for instance, on the '
                        'same data; may be given several times')
    parser.add_argument('--out', type=output_folder, metavar='DIR',
                        help='folder for table and picture (work_dirs/<config>/sampling_steps)')
    parser.add_argument('--limit', type=whole_number(1), metavar='N',
                        help='pairs, evenly spread over the test split; all by default')
    parser.add_argument('--batch-size', type=whole_number(1), default=32,
                        help='pairs a batch (%(default)s)')
    parser.add_argument('--device', default='cpu', help='cpu, cuda or cuda:N (%(default)s)')
    parser.add_argument('--data-root', help='folder of the datasets; sets RSCC_DATA')
    add_config_options(parser)
    parser.add_argument('--write', action='store_true', help='write table and picture into the '
                        'docs')
    parser.add_argument('--docs', type=Path, default=DOCS, help='their folder (docs)')
    return parser.parse_args(arguments)


def write(measured: SamplingBenchmark, folder: Path) -> list[Path]:
    """Write table, figures and picture; return the files."""
    table, figures = folder / 'sampling_steps.md', folder / 'sampling_steps.json'
    with atomic_write(table) as file:
        file.write(to_markdown(measured.section, 'en', 'sampling_steps.png') + '\n')
    write_json(figures, measured.as_json())
    picture = save_small(folder / 'sampling_steps.png', measured.section.picture.image)
    return [table, figures, picture]


def main() -> None:
    """Run the command line."""
    args = vars(parse_args())
    data_root, docs, wanted = args.pop('data_root'), args.pop('docs'), args.pop('write')
    folder = Path(args.pop('out') or Path(default_work_dir(args['config']), 'sampling_steps'))
    with explained():
        set_data_root(data_root)
        measured = benchmark_sampling(**args)
        print(f'\n{to_text(measured.section)}\n')
        written = write(measured, folder)
        written += write_section(measured.section, docs) if wanted else []
    print('written: ' + ', '.join(os.path.relpath(path) for path in written))


if __name__ == '__main__':
    sys.exit(main())
