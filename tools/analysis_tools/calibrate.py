r"""Calibrate the doubt of a trained model: one number from 0 to 1, and a threshold for "not sure".

The statistic of the encoder's features is taken from the training images, the calibration from the
validation answers (a sentence is wrong where flag, object, direction, number or place disagrees
with the references), and both go into a copy of the checkpoint; its weights stay as they are. What
the doubt is worth is then measured on the test split: reliability, risk over coverage beside the
caption score alone, and what abstaining on the most doubtful tenth does.

Examples::

    python tools/analysis_tools/calibrate.py configs/blip_synth.py best.pth --out calibrated.pth
    python tools/analysis_tools/calibrate.py configs/rscc_small.py best.pth --like-test \
        --out calibrated.pth
    python tools/analysis_tools/calibrate.py configs/rscc_small.py calibrated.pth --language zh \
        --out calibrated_zh.pth --show-dir out/doubt
    python tools/analysis_tools/calibrate.py configs/rscc_small.py rscc-small --dry-run
"""
import argparse
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.apis.command_line import (
    add_config_options,
    described,
    explained,
    output_file,
    output_folder,
)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=described(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file or name')
    parser.add_argument('checkpoint', help='checkpoint file, or the name of a published model')
    parser.add_argument('--out', type=output_file, metavar='CKPT',
                        help='the copy with the calibration: .pth, or '
                        '.safetensors of a published model')
    parser.add_argument('--language', choices=('en', 'zh'), help='of references and sentences '
                        "(default: the config's); calibrations of other languages are kept")
    parser.add_argument('--abstain', type=float, default=0.1, metavar='SHARE', help='of the '
                        'validation answers that are "not sure", the most doubtful; from a risk '
                        'of one half on every answer is (%(default)s)')
    parser.add_argument('--train-samples', type=int, default=1000, metavar='N', help='training '
                        'samples for the statistic of features; 0 leaves it as the checkpoint has '
                        'it (%(default)s)')
    parser.add_argument('--like-test', action='store_true', help='fit on the val split of the test '
                        'data, where the config validates on others')
    parser.add_argument('--no-test', action='store_true', help='do not measure on the test split')
    parser.add_argument('--show-dir', type=output_folder, metavar='DIR',
                        help='gets the plots, the predictions of '
                        'validation and test with their doubts, and calibration.json')
    parser.add_argument('--batch-size', type=int, default=16, metavar='N', help='(%(default)s)')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, ... (default: the best one here)')
    parser.add_argument('--dry-run', action='store_true', help='write no checkpoint')
    parser.add_argument('--data-root', help='folder of the datasets, or of the one used here; '
                        'sets RSCC_DATA before the config is read')
    add_config_options(parser)
    # What reading a config asks for besides: one process, no work folder.
    parser.set_defaults(launcher='none', local_rank=0, work_dir=None)
    args = parser.parse_args(arguments)
    if bool(args.out) == args.dry_run:
        parser.error('give --out CKPT for the copy, or --dry-run for none')
    if args.out and Path(args.out).suffix not in ('.pth', '.safetensors'):
        parser.error(f"--out '{args.out}': expected the ending .pth or .safetensors")
    if not 0 <= args.abstain < 1:
        parser.error(f'--abstain {args.abstain}: expected a share, from 0 to below 1')
    if args.batch_size < 1 or args.train_samples < 0:
        parser.error('--batch-size is at least 1, --train-samples at least 0')
    return args


def calibrate(args: argparse.Namespace, folder: Path) -> str:
    """Take the statistic, fit, measure and write; return what is to be said."""
    from rscc.apis.launch import load_config
    from rscc.engine.checkpoint import read_checkpoint
    from rscc.evaluation.calibration import fit_calibration
    from rscc.inference.calibrating import (
        Judged,
        answer_split,
        built_dataset,
        describe_calibration,
        describe_evaluation,
        draw_evaluation,
        evaluate,
        feature_statistic,
        write_copy,
    )
    from rscc.inference.loading import load_model
    from rscc.inference.preparation import existing_device
    from rscc.models.interpreter import ChangeInterpreter
    from rscc.utils import write_json
    from rscc.visualization.picture_files import save_image
    stages = [stage for stage, wanted in (
        ('train', args.train_samples), ('val', not args.like_test),
        ('test', args.like_test or not args.no_test)) if wanted]
    cfg = load_config(args, stages=stages, checkpoint=args.checkpoint)
    loaded = load_model(cfg, args.checkpoint, existing_device(args.device), fuse_conv_bn=False)
    if loaded.caption_head is None:
        raise ValueError(f"'{args.checkpoint}' writes no sentences: what is calibrated is the "
                         'doubt about sentences')
    meta = read_checkpoint(args.checkpoint).get('meta') or {}
    weights = dict(dataset_meta=meta.get('dataset_meta') or {})
    statistic = None
    if args.train_samples and isinstance(loaded.model, ChangeInterpreter):
        statistic = feature_statistic(loaded.model, built_dataset(cfg, 'train'),
                                      args.train_samples, args.batch_size)
        loaded.model.novelty = statistic.to(existing_device(args.device))

    def judged(stage: str) -> Any:
        source, split = ('test', 'val') if args.like_test and stage == 'val' else (stage, None)
        dataset = built_dataset(cfg, source, language=args.language, split=split)
        return Judged.of(answer_split(loaded, dataset, folder / f'{stage}.json', weights,
                                      args.batch_size), f'{stage} split')

    known = judged('val')
    calibration = fit_calibration(known.inputs, known.wrong, args.abstain)
    language = known.dataset.get('language') or 'en'
    weights['doubt'] = {language: calibration.to_dict()}  # the test answers have their numbers
    said = [describe_evaluation(evaluate(known, calibration), 'validation (fitted to)'),
            describe_calibration(calibration, known.inputs, language)]
    record = {'language': language, 'calibration': calibration.to_dict()}
    if not args.no_test:
        unseen = judged('test')
        found = evaluate(unseen, calibration)
        record['test'] = found
        said.append(describe_evaluation(found, 'test'))
        if args.show_dir:
            save_image(folder / 'doubt_test.png', draw_evaluation(unseen, calibration, 'test'))
    if args.show_dir:
        save_image(folder / 'doubt_val.png', draw_evaluation(known, calibration, 'validation'))
        write_json(folder / 'calibration.json', record)
        said.append(f'written      {folder}')
    if args.out:
        write_copy(args.checkpoint, args.out, statistic, {language: calibration.to_dict()})
        said.append(f'written      {args.out}')
    return '\n'.join(said)


def main(arguments: list[str] | None = None) -> None:
    """Calibrate, and write the copy."""
    args = parse_args(arguments)
    place = (nullcontext(args.show_dir) if args.show_dir else
             tempfile.TemporaryDirectory(prefix='rscc-calibrate-'))
    with explained(), place as folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        print(calibrate(args, Path(folder)))


if __name__ == '__main__':
    main()
