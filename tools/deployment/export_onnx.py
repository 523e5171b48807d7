r"""Write a trained model as ONNX, which answers without torch.

A detector becomes one file. A captioner becomes three that belong together: NAME.onnx, and its
decoder in NAME.start.onnx and NAME.step.onnx beside it.

Examples::

    python tools/deployment/export_onnx.py work_dirs/blip_synth/epoch_20.pth --out blip.onnx
    python tools/deployment/export_onnx.py configs/changeclip_rn50_synth.py epoch_4.pth \
        --out detector.onnx
    python tools/deployment/export_onnx.py epoch_4.pth --out qgis.onnx --six-band
    python tools/deployment/export_onnx.py epoch_4.pth --out small.onnx --int8
    python tools/deployment/export_onnx.py rscc-small --out words.onnx --int8 words \
        --calibration data/LEVIR-CC/images/val
"""
import argparse

from rscc.apis.command_line import add_config_options, described, explained, output_file


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=described(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter,
        usage='%(prog)s [CONFIG] CKPT --out FILE.onnx [options]')
    parser.add_argument('model', nargs='+', metavar='CONFIG CKPT',
                        help='config and checkpoint; the checkpoint alone where it holds its '
                        'config (those of tools/train.py do)')
    parser.add_argument('--out', required=True, type=output_file, metavar='FILE.onnx',
                        help='the main file')
    parser.add_argument('--six-band', action='store_true', help='change map alone, from one input '
                        'of six bands (red, green, blue of the earlier date, then of the later '
                        'one, 0 to 1) to class probabilities, for QGIS plugins')
    parser.add_argument('--no-captions', action='store_true', help='leave the sentences out')
    parser.add_argument('--opset', type=int, default=18, metavar='N',
                        help='ONNX operator set, 18 to 23 (%(default)s)')
    parser.add_argument('--window', type=int, metavar='PIXELS', help='side of the windows in '
                        'pixels of the image, in place of what an image of the training covered')
    parser.add_argument('--overlap', type=int, metavar='PIXELS', help='pixels that neighbouring '
                        'windows share (default: a quarter of the window)')
    parser.add_argument('--int8', nargs='?', const='all', choices=('all', 'images', 'words'),
                        help='weights in int8: of the encoder and the heads (images), of the '
                        'decoder of sentences (words), or of both, which is meant without a word; '
                        'tells what the answers lose')
    parser.add_argument('--calibration', metavar='DATA', help='images that int8 is calibrated on '
                        'and compared with: a config, a folder with A and B, or of single images '
                        "their folder (default: the config's own, validation before training)")
    add_config_options(parser)
    args = parser.parse_args()
    if len(args.model) > 2:
        parser.error(f'expected CONFIG and CKPT, found {len(args.model)} names: {args.model}')
    return args


def main() -> None:
    """Export and report."""
    args = parse_args()
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.deployment.export import ExportOptions, export_onnx
    config, checkpoint = args.model if len(args.model) == 2 else (args.model[0], None)
    with explained():
        done = export_onnx(config, checkpoint, args.out, ExportOptions(
            args.opset, args.six_band, not args.no_captions, args.window, args.overlap,
            overrides=args.cfg_options, int8=args.int8, calibration=args.calibration))
    for path in done.files:
        print(f'written      {path} ({path.stat().st_size / 2**20:.1f} MiB)')
    print(f'heads        {", ".join(done.record.facts.heads)}; opset {done.record.opset}')
    for name, axes in done.axes.items():
        print(f'{name:<12} {axes}')
    print(f'against torch: scores within {done.difference:.1g} of the largest'
          f'{" (before int8)" if done.record.int8 else ""}')
    if done.record.int8:
        told = done.record.int8
        print(f'int8         {told.convolutions} convolutions (static, {told.windows} windows), '
              f'{told.products} matrix products (dynamic); calibrated on {told.data}')
        print(f'int8 beside float, {told.loss.windows} other windows: {told.loss}')


if __name__ == '__main__':
    main()
