"""Measure how often a CLIP names the class of an image rightly, with either activation.

Files of weights do not say which activation they were trained with. On a folder of images by class
(AID, NWPU-RESISC45, UC Merced, ...) the right one scores higher.

Example::

    python tools/analysis_tools/clip_accuracy.py AID --pretrained remoteclip-vit-b-32
    python tools/analysis_tools/clip_accuracy.py AID --pretrained ViT-B-32.pt --quick-gelu yes
"""
import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from rscc.apis.command_line import add_batch_arguments, add_clip_arguments, parse_batches
from rscc.utils import counted


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Measure zero-shot accuracy on a folder of images by class.')
    parser.add_argument('root', metavar='DIR', help='folder with one folder of images a class')
    parser.add_argument('--model-name', metavar='ARCH', help='architecture (ViT-B/16, or what a '
                        'name for remote sensing or the folder of a SigLIP says)')
    add_clip_arguments(parser)
    parser.add_argument('--template', default='a satellite photo of {}.', metavar='TEXT',
                        help='prompt, {} for the class name (%(default)s)')
    add_batch_arguments(parser)
    return parse_batches(parser, arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measure with one activation, or with both where none is asked for."""
    args = parse_args(arguments)
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.apis.command_line import explained
    from rscc.features.clip_scores import (
        activations_to_try,
        labelled_images,
        load_classifier,
        zero_shot_accuracy,
    )
    from rscc.inference.preparation import BatchOptions
    from rscc.models.clip.clip_model import default_model
    with explained():
        images = labelled_images(args.root)
        count = sum(map(len, images.values()))
        options = BatchOptions(args.batch_size, args.num_workers, args.amp, args.bands, args.scale)
        model = args.model_name or default_model(args.pretrained, 'ViT-B/16')
        for quick_gelu in activations_to_try(model, args.pretrained, args.quick_gelu):
            classifier = load_classifier(
                args.device, model=model, pretrained=args.pretrained, class_names=list(images),
                quick_gelu=quick_gelu, template=args.template)
            share = zero_shot_accuracy(images, classifier, options, args.root)
            print(f'{100 * share:6.2f} % of {counted(count, "image")}, '
                  f'{counted(len(images), "class")}  '
                  f'{classifier.description}, {classifier.activation}')


if __name__ == '__main__':
    main()
