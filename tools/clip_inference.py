"""Ask CLIP which class names describe each image, and write the answer beside the image folders.

The files (``time1_clipcls_56_vit16.json`` beside ``time1/``) are those of ChangeCLIP's tool of the
same name and guide its detectors. A run that was stopped continues where it was.

Example::

    python tools/clip_inference.py --src_path data/SYSU-CD --split train val test \
        --img_split time1 time2
    python tools/clip_inference.py --src_path scenes --img_split A B --pretrained ViT-B-16.pt --amp
    python tools/clip_inference.py --src_path scenes --pretrained remoteclip-vit-l-14
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rscc.apis.command_line import (
    add_batch_arguments,
    add_clip_arguments,
    output_folder,
    parse_batches,
)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; the original's names are spelled with underscores or dashes."""
    parser = argparse.ArgumentParser(
        description='Write the CLIP confidence file of every image folder.')
    parser.add_argument('--src_path', '--src-path', required=True, metavar='DIR',
                        help='folder of the dataset')
    parser.add_argument('--split', nargs='+', metavar='NAME', help='folders in it; . for the '
                        'dataset folder itself (default: those of train, val, test that exist)')
    parser.add_argument('--img_split', '--img-split', nargs='+', default=['A', 'B'],
                        metavar='NAME', help='folders of images in each split (A B)')
    parser.add_argument('--model_name', '--model-name', metavar='ARCH',
                        help='architecture (ViT-B/16, or what a name for remote sensing or the '
                        'folder of a SigLIP says)')
    add_clip_arguments(parser)
    parser.add_argument('--class_names_path', '--class-names-path', default='remote_sensing_56',
                        metavar='FILE', help='class list, a name a line (%(default)s, which comes '
                        'with the package)')
    parser.add_argument('--tag', default='56_vit16', help='end of the file names (%(default)s)')
    parser.add_argument('--out', type=output_folder, metavar='DIR',
                        help='write the files there instead of beside the '
                        'images')
    add_batch_arguments(parser)
    return parse_batches(parser, arguments)


def main(arguments: list[str] | None = None) -> None:
    """Score and report."""
    args = parse_args(arguments)
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.apis.command_line import explained
    from rscc.features.clip_scores import find_folders, load_classifier, score_folder
    from rscc.inference.preparation import BatchOptions
    from rscc.models.clip.clip_model import default_model
    with explained():
        folders = find_folders(args.src_path, args.split, args.img_split, args.tag, args.out)
        classifier = load_classifier(
            args.device, model=args.model_name or default_model(args.pretrained, 'ViT-B/16'),
            pretrained=args.pretrained,
            class_names=args.class_names_path,
            quick_gelu=args.quick_gelu)
        options = BatchOptions(args.batch_size, args.num_workers, args.amp, args.bands, args.scale)
        for folder in folders:
            try:
                new = score_folder(folder, classifier, options, args.overwrite)
            except KeyboardInterrupt:
                raise SystemExit(f'stopped in {folder.title}; the scores so far are kept, and the '
                                 'same command continues') from None
            done = f'{new} scored now' if new else 'complete already'
            print(f'{len(folder.paths):6d} images, {done}  {folder.target}')


if __name__ == '__main__':
    main()
