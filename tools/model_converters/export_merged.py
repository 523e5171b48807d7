"""Write a trained model as one checkpoint that needs no published weights beside it.

Checkpoints of CLIP-GPT hold the trained part; the frozen language model comes from where it is
published. Here it is written into the file, low-rank adapters are merged into the weights that they
adapt, and adaptive attention (amht) is folded into plain attention; the answers stay the same.

Example::

    python tools/model_converters/export_merged.py configs/clipgpt_amht_ucm.py \
        work_dirs/clipgpt_amht_ucm/epoch_10.pth whole.pth
    python tools/infer.py whole.pth --img image.tif
"""
import argparse

from rscc.apis.command_line import add_output_arguments, explained


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='the config it was trained with')
    parser.add_argument('checkpoint', help='what tools/train.py wrote')
    add_output_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Export."""
    args = parse_args()
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.apis.launch import read_config
    from rscc.importers.conversion import export_merged
    with explained():
        cfg = read_config(args.config)
        cfg.merge_from_dict(args.cfg_options or {})
        done = export_merged(cfg, args.checkpoint, args.out)
    size = done.checkpoint.stat().st_size / 2**20
    print(f'written: {done.checkpoint} ({size:.1f} MiB), {done.config}')


if __name__ == '__main__':
    main()
