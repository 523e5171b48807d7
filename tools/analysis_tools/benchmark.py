r"""Measure speed and memory: medians of interleaved rounds in one process, after a warm-up.

Examples::

    python tools/analysis_tools/benchmark.py model configs/blip_synth.py --random-weights
    python tools/analysis_tools/benchmark.py model configs/blip_levircc.py --random-weights \
        --size 256 --batch-size 2 --precisions fp32 bf16
    python tools/analysis_tools/benchmark.py recent
    python tools/analysis_tools/benchmark.py text configs/changeclip_vit_levircd.py
    python tools/analysis_tools/benchmark.py windows --size 1024 --window-batch 16
    python tools/analysis_tools/benchmark.py language --tokens 20
    python tools/analysis_tools/benchmark.py frozen
    python tools/analysis_tools/benchmark.py timm tf_efficientnet_lite0 convnext_tiny
    python tools/analysis_tools/benchmark.py peers
    python tools/analysis_tools/benchmark.py earlier ../before
    python tools/analysis_tools/benchmark.py int8
    python tools/analysis_tools/benchmark.py denoiser
    python tools/analysis_tools/benchmark.py loader --root data/LEVIR-CC
    python tools/analysis_tools/benchmark.py scene --detectors resnet18 --rounds 2
    python tools/analysis_tools/benchmark.py gpu --write
    python tools/analysis_tools/benchmark.py gpu training scenes --minutes 4 --root data/LEVIR-CC
    python tools/analysis_tools/benchmark.py pretrained --seeds 3 --write
    python tools/analysis_tools/benchmark.py ablation whole random --seeds 1
    python tools/analysis_tools/benchmark.py all --write

``--write`` puts the table between its marks in docs/en/benchmarks.md and docs/zh_cn/benchmarks.md.
``pretrained`` and ``ablation`` train for half an hour and for hours and measure scores, not speed;
``all`` leaves them out, and ``gpu``, which measures a GPU within eight minutes, and ``earlier``,
which needs another version in a folder.
"""
import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.apis.command_line import add_config_options, described, output_folder

ROOT = Path(__file__).resolve().parents[2]
PEERS = ['blip', 'prefix', 'scores', 'images', 'encoder']
WORKS = ['rn50', 'rn50_new', 'vit', 'vit_new', 'rn50_training', 'blip', 'blip_batch', 'kdrscc',
         'gpt2', 'scores']
GPU_PARTS = ['training', 'captioners', 'scenes', 'detectors']
VARIANTS = ['whole', 'random', 'rendered', 'open', 'undated', 'plain', 'mild', 'unguided']
BTC = ['configs/btc_synth.py', 'configs/btc_random_synth.py']
BLIP, CHANGECLIP = 'configs/blip_levircc.py', 'configs/changeclip_rn50_levircd.py'
SMALL = ('rscc-small', )
TIMM = ('tf_efficientnet_lite0', 'vit_tiny_patch16_224')
CLIPGPT, KDRSCC = 'configs/clipgpt_mlp_ucm.py', 'configs/kdrscc_levircc.py'
#: Command lines of ``all``, each a process of its own: none sees the memory of another.
ALL = (
    ['model', 'configs/blip_synth.py', BLIP, 'configs/blip_levirmci.py', CHANGECLIP,
     CHANGECLIP.replace('rn50', 'vit'), '--random-weights'],
    ['recent'], ['text'], ['windows'], ['captions'], ['precision'], ['decode'], ['language'],
    ['frozen'], ['timm'], ['peers'], ['int8'], ['denoiser'], ['loader'], ['metric'],
    ['scene', '--detectors', 'resnet18', 'quickstart', '--rounds', '2'])


def parse_args(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; a config in the place of a benchmark means ``model``."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments and arguments[0].endswith('.py'):
        arguments.insert(0, 'model')
    parser = argparse.ArgumentParser(
        description=described(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    benchmarks = parser.add_subparsers(dest='benchmark', required=True, metavar='BENCHMARK')
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument('--write', action='store_true', help='write the table into the docs')
    common.add_argument('--docs', type=Path, default=ROOT / 'docs', help='their folder (docs)')
    rounds = argparse.ArgumentParser(add_help=False)
    rounds.add_argument('--rounds', type=int, help='timed calls of each case '
                        '(as many as fit into minutes)')
    model, size = _model_arguments(), _size_argument()
    captioner, detector = _one_config('a captioner', BLIP), _one_config('a detector', CHANGECLIP)
    writer = _one_config('a captioner with a language model', CLIPGPT)

    def add(name: str, *parents: argparse.ArgumentParser, text: str) -> argparse.ArgumentParser:
        return benchmarks.add_parser(name, parents=[*parents, common], help=text, description=text)

    sub = add('model', model, size, rounds, text='size, GFLOP, time and memory of any configs')
    sub.add_argument('configs', nargs='+', metavar='CONFIG')
    sub.add_argument('--random-weights', action='store_true',
                       help='nothing from a hub: random weights of the same shape')
    sub.add_argument('--channels-last', action='store_true', help='that memory layout, too')
    sub.add_argument('--compile', dest='compiled', action='store_true', help='compiled, too')
    _add_precisions(sub)
    _add_tokens(sub)
    sub = add('recent', model, rounds, text='the same, briefly, of one recent config of each kind')
    sub.add_argument('configs', nargs='*', default=(), metavar='CONFIG',
                     help='one of each kind by default')
    _add_tokens(sub)
    sub = add('text', detector, model, size, rounds, text='inference with text cache and without')
    _add_precisions(sub, 'fp32')
    sub = add('windows', detector, model, rounds, text='large images: windows alone, in batches')
    sub.add_argument('--size', type=int, default=1024, help='side of the frames (%(default)s)')
    sub.add_argument('--crop', type=int, default=256, help='side of a window (%(default)s)')
    sub.add_argument('--stride', type=int, default=128, help='pixels between (%(default)s)')
    sub.add_argument('--window-batch', type=int, default=8, help='windows a call (%(default)s)')
    sub = add('captions', captioner, model, size, rounds,
                text='a training step on one caption and on five')
    _add_precisions(sub)
    add('precision', captioner, model, size, rounds,
        text='a training step in float32 and in bfloat16')
    sub = add('decode', captioner, model, size, rounds,
                text='encoder, greedy search and beam search')
    sub.add_argument('--beams', type=int, default=3, help='width of the beam search (3)')
    _add_tokens(sub)
    sub = add('language', writer, model, rounds,
                text='batched cached search of a language model, and image by image')
    sub.add_argument('--images', type=int, default=4,
                       help='images a round where one comes after the other (%(default)s)')
    _add_tokens(sub, 40)
    add('frozen', writer, model, rounds,
        text='a training step with a frozen language model and a trained one')
    sub = add('timm', rounds, text='the encoder of timm models against the bare models')
    sub.add_argument('models', nargs='*', metavar='MODEL', default=TIMM,
                     help=f'names in timm ({" ".join(TIMM)})')
    sub.add_argument('--size', type=int, default=224, help='side of the images (%(default)s)')
    sub.add_argument('--batch-size', type=int, default=2, help='pairs a call (%(default)s)')
    sub.add_argument('--device', default='cpu', help='cpu, cuda or cuda:N (%(default)s)')
    sub = add('peers', rounds, text='beside transformers, pycocoevalcap, OpenCV and timm')
    sub.add_argument('names', nargs='*', metavar='PEER', default=(), help=f'{", ".join(PEERS)} '
                     '(all)')
    sub.add_argument('--batch-size', type=int, default=4, help='pairs a batch (%(default)s)')
    sub.add_argument('--pairs', type=int, default=1929, help='captions that are scored '
                     '(%(default)s)')
    _add_tokens(sub)
    sub = add('earlier', rounds, text='an earlier version of rscc in another folder, which was '
              'measured beside the originals')
    sub.add_argument('folder', metavar='FOLDER', help='git worktree add FOLDER 3528c9e')
    sub.add_argument('names', nargs='*', metavar='WORK', default=(), help=f'{", ".join(WORKS)} '
                     '(all)')
    _add_precisions(sub)
    sub = add('int8', rounds, text='exported models in int8 beside float: size, time, quality')
    sub.add_argument('models', nargs='*', metavar='MODEL', default=SMALL, help='checkpoints, '
                     'published models, or .onnx files that the export wrote (rscc-small)')
    sub.add_argument('--root', help='folder of the built-in dataset; rendered by default')
    sub.add_argument('--pairs', type=int, default=100, help='that are answered (%(default)s)')
    sub = add('denoiser', _one_config('a captioner that draws from noise', KDRSCC), model, size,
                rounds, text='diffusion captioning: kept keys and values, a batch and one alone')
    sub.add_argument('--steps', type=int, default=10,
                       help='sampling steps of a timed round (%(default)s)')
    sub.add_argument('--total', type=int, default=50,
                       help='steps whose time the table gives, made out from them (%(default)s)')
    _add_precisions(sub)
    sub = add('loader', rounds, text='pairs a second of image files, HDF5 and the frame cache')
    sub.add_argument('--root', help="folder in LEVIR-CC's layout; rendered pairs by default")
    sub.add_argument('--split', default='train', help='its split (%(default)s)')
    sub.add_argument('--pairs', type=int, default=200, help='pairs a round (%(default)s)')
    sub.add_argument('--batch-size', type=int, default=16, help='pairs a batch (%(default)s)')
    sub = add('metric', rounds, text='the caption metric on a whole test split')
    sub.add_argument('--references', metavar='FILE', help="annotations in LEVIR-CC's style; those"
                       ' below RSCC_SAMPLES, else made-up ones, by default')
    sub.add_argument('--predictions', metavar='FILE', help='one sentence a line')
    sub.add_argument('--split', default='test', help='of the references (%(default)s)')
    sub.add_argument('--pairs', type=int, default=1929, help='made-up captions (%(default)s)')
    sub = add('scene', rounds, text='scenes from files to files: throughput, memory, parts')
    sub.add_argument('--sides', type=int, nargs='+', default=[2500, 5000, 10000], metavar='PIXELS',
                     help='of the scenes, two or more (2500 5000 10000)')
    sub.add_argument('--detectors', nargs='+', metavar='D',
                     help='of resnet18, which takes half an hour, and quickstart (quickstart)')
    sub.add_argument('--batch-size', type=int, default=8, help='windows at once (%(default)s)')
    sub.add_argument('--block-size', type=int, default=4096, metavar='PIXELS',
                     help='side of a block, about (%(default)s)')
    sub = add('pretrained', text='scores after the same steps, from starting weights and from '
              'random ones')
    sub.add_argument('configs', nargs='*', metavar='CONFIG', default=BTC,
                     help=f'detectors to compare ({" ".join(BTC)})')
    sub.add_argument('--seeds', type=int, default=3, help='trainings of each (%(default)s)')
    sub.add_argument('--work-dir', type=output_folder, default='work_dirs/pretrained',
                     help='their folder; what is trained there is not trained again (%(default)s)')
    sub.add_argument('--samples', metavar='DIR', help='real pairs with masks (RSCC_SAMPLES); '
                     'without them the built-in test split alone')
    sub = add('ablation', text="what the parts of rscc-small's training are worth")
    sub.add_argument('variants', nargs='*', metavar='VARIANT', default=(),
                     help=f'{", ".join(VARIANTS)} (all)')
    sub.add_argument('--steps', type=int, default=600, help='of each training (%(default)s)')
    sub.add_argument('--seeds', type=int, default=3, help='trainings of each (%(default)s)')
    sub.add_argument('--work-dir', type=output_folder, default='work_dirs/ablation',
                     help='their folder; what is trained there is not trained again (%(default)s)')
    sub.add_argument('--runs', metavar='CSV', help='finished runs, of other days and machines too, '
                     'to which the new ones are added (runs.csv in the folder)')
    sub.add_argument('--samples', metavar='DIR', help='real pairs (RSCC_SAMPLES)')
    _add_gpu(add('gpu', rounds, text='a GPU within minutes: training (MFU, loader), sentences, '
                 'scenes, detectors'))
    add('all', text='every benchmark at sensible sizes')
    return parser.parse_args(arguments)


def _model_arguments() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument('--batch-size', type=int, help='samples a step')
    shared.add_argument('--device', default='cpu', help='cpu, cuda or cuda:N (%(default)s)')
    shared.add_argument('--vocab', metavar='FILE', help="BERT's vocab.txt; made up by default")
    add_config_options(shared)
    return shared


def _size_argument() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument('--size', type=int, help="side of the frames (the config's, else 256)")
    return shared


def _one_config(kind: str, default: str) -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument('config', nargs='?', default=str(ROOT / default),
                        help=f'{kind} ({default}, random weights)')
    shared.add_argument('--own-weights', dest='random_weights', action='store_false',
                        help='load what the config names as pretrained')
    return shared


def _add_precisions(parser: argparse.ArgumentParser,
                    default: str = 'fp32 and, where the device has it, bf16') -> None:
    parser.add_argument('--precisions', nargs='+', metavar='P',
                        help=f'of fp32, bf16, fp16; by default {default}')


def _add_tokens(parser: argparse.ArgumentParser, default: int = 12) -> None:
    parser.add_argument('--tokens', type=int, default=default,
                        help='length of sentences (%(default)s)')


def _add_gpu(sub: argparse.ArgumentParser) -> None:
    sub.add_argument('parts', nargs='*', metavar='PART', default=(),
                     help=f'{", ".join(GPU_PARTS)} (all)')
    sub.add_argument('--minutes', type=float, default=8, help='for all of them (%(default)s)')
    sub.add_argument('--device', default='cuda', help='cuda or cuda:N; cpu to try it out '
                     '(%(default)s)')
    sub.add_argument('--captioner', metavar='CONFIG', help=f'({BLIP})')
    sub.add_argument('--diffusion', metavar='CONFIG', help=f'({KDRSCC})')
    sub.add_argument('--detectors', nargs='+', metavar='CONFIG',
                     help=f'({CHANGECLIP} {CHANGECLIP.replace("rn50", "vit")})')
    sub.add_argument('--batch-sizes', type=int, nargs='+', metavar='N', help='pairs of a training '
                     'step of the captioner; the rest takes the first (32 128)')
    sub.add_argument('--steps', type=int, nargs='+', metavar='N', help='of sampling (50 10)')
    sub.add_argument('--beams', type=int, default=3, help='of the captioner (%(default)s)')
    _add_tokens(sub)
    sub.add_argument('--no-compile', dest='compiled', action='store_false',
                     help='leave out torch.compile, which takes a minute for each way')
    sub.add_argument('--root', help="folder in LEVIR-CC's layout for the loader; rendered pairs by "
                     'default')
    sub.add_argument('--pairs', type=int, default=512, help='rendered pairs (%(default)s)')
    sub.add_argument('--workers', type=int, help='of the loader (one a core, 16 at most)')
    sub.add_argument('--scene-side', type=int, default=4096, metavar='PIXELS',
                     help='of the scene (%(default)s)')
    sub.add_argument('--peak-tflops', dest='peak', type=float, metavar='TFLOPS',
                     help='of the GPU, dense bfloat16; known GPUs have theirs')
    sub.add_argument('--vocab', metavar='FILE', help="BERT's vocab.txt; made up by default")


def run(arguments: argparse.Namespace) -> None:
    """Run one benchmark, print its tables and write each where asked as soon as it is there."""
    from tools.benchmark import BENCHMARKS
    from tools.benchmark.tables import Section, to_text, write_section
    warn_if_busy()
    options = {key: value for key, value in vars(arguments).items()
               if key not in ('benchmark', 'write', 'docs') and value is not None}
    try:
        found = BENCHMARKS[arguments.benchmark](**options)
        for section in [found] if isinstance(found, Section) else found:
            print(f'\n{to_text(section)}\n', flush=True)
            for page in write_section(section, arguments.docs) if arguments.write else []:
                print(f"written to '{os.path.relpath(page)}'")
    except (ValueError, OSError, ImportError, KeyError) as error:
        raise SystemExit(f'error: {error.args[0] if type(error) is KeyError else error}') from error


def warn_if_busy() -> None:
    """Say so where others use the machine: the figures would be theirs as well."""
    load, cores = os.getloadavg()[0] if hasattr(os, 'getloadavg') else 0, os.cpu_count() or 1
    if load > 2 * cores:
        print(f'warning: {load:.0f} processes want {cores} cores; these timings will not repeat',
              file=sys.stderr)


def main() -> None:
    """Run the command line."""
    arguments = parse_args()
    if arguments.benchmark != 'all':
        run(arguments)
        return
    shared = ['--write'] if arguments.write else []
    if arguments.docs != ROOT / 'docs':
        shared += ['--docs', str(arguments.docs.resolve())]
    script = Path(__file__).resolve().relative_to(ROOT)
    for words in ALL:
        done = subprocess.run([sys.executable, str(script), *words, *shared], cwd=ROOT, check=False)
        if done.returncode:
            raise SystemExit(done.returncode)


if __name__ == '__main__':
    main()
