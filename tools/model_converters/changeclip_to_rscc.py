"""Convert a released ChangeCLIP checkpoint, ResNet or ViT.

Beside the new checkpoint lies the config to test it with: ImageNet's colour statistics, the class
names of the earlier date for both, and (ViT) a class embedding added twice, as it was trained and
evaluated.

Example::

    python tools/model_converters/changeclip_to_rscc.py best_mIoU_iter_17000.pth converted.pth \
        --config configs/changeclip_rn50_levircd.py
    python tools/test.py converted.py converted.pth
"""
import argparse
from pathlib import Path

from rscc.apis.command_line import add_output_arguments, explained

ROOT = Path(__file__).resolve().parents[2]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', help="the original's .pth")
    add_output_arguments(parser)
    parser.add_argument('--config', help='config of the dataset it was trained on (default: '
                        'configs/changeclip_{rn50,vit}_levircd.py)')
    return parser.parse_args()


def main() -> None:
    """Convert."""
    args = parse_args()
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.apis.launch import read_config
    from rscc.engine.checkpoint import read_checkpoint
    from rscc.importers.changeclip import published_habits, rename_changeclip, variant_of
    from rscc.importers.conversion import convert
    with explained():
        loaded = read_checkpoint(args.source)
        state = loaded.get('state_dict', loaded)
        variant = variant_of(state, args.source)
        cfg = read_config(args.config or str(ROOT / f'configs/changeclip_{variant}_levircd.py'))
        cfg.merge_from_dict(published_habits(variant))
        cfg.merge_from_dict(args.cfg_options or {})
        done = convert(rename_changeclip(state), cfg, args.out, args.source)
    print(done)


if __name__ == '__main__':
    main()
