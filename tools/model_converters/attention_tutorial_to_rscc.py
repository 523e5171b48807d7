r"""Convert a checkpoint of the PyTorch tutorial on Show, Attend and Tell.

github.com/sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning pickles whole modules. They are read
without running any of their code; the decoder's ``state_dict()``, or a dict of ``decoder`` and
``encoder``, does as well. A decoder alone takes the encoder's published weights that the config
names. Sizes are read from the tensors; the words are in another file, ``WORDMAP_*.json``.

Example::

    python tools/model_converters/attention_tutorial_to_rscc.py \
        BEST_checkpoint_ucm_5_cap_per_img_5_min_word_freq.pth.tar converted.pth \
        --config configs/sat_r101_ucm.py \
        --words WORDMAP_ucm_5_cap_per_img_5_min_word_freq.json
    python tools/test.py converted.py converted.pth
"""
import argparse
from collections.abc import Mapping

from rscc.apis.command_line import add_output_arguments, explained

SIZE = 256


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', help="the tutorial's .pth.tar, or state dicts")
    add_output_arguments(parser)
    parser.add_argument('--config', required=True, help='config of the same dataset and of an '
                        'encoder of the same depth (the tutorial has a ResNet-101)')
    parser.add_argument('--words', required=True, metavar='FILE', help="the tutorial's "
                        'WORDMAP_*.json')
    parser.add_argument('--size', type=int, default=SIZE, help='side of the images that it was '
                        'trained on, pixels (%(default)s)')
    return parser.parse_args()


def show_images_at(cfg: Mapping, size: int) -> None:
    """Have every pipeline scale its images to ``size`` pixels a side."""
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for step in cfg.get(loader, {}).get('dataset', {}).get('pipeline', ()):
            if step['type'] == 'FramesResize':
                step['size'] = size


def main() -> None:
    """Convert."""
    args = parse_args()
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.apis.launch import read_config
    from rscc.importers.clip_gpt import decoder_of, rename_tutorial, sizes_of, tutorial_habits
    from rscc.importers.conversion import convert, read_state_dicts
    from rscc.text import WordTokenizer
    with explained():
        checkpoint = read_state_dicts(args.source)
        weights = rename_tutorial(checkpoint)
        decoder = decoder_of(checkpoint)
        words, known = WordTokenizer(args.words).vocab_size, len(decoder['embedding.weight'])
        if words != known:
            raise ValueError(f"'{args.words}' has {words} words and the decoder {known}: it is the "
                             'word map of other data')
        cfg = read_config(args.config)
        head = cfg.model.caption_head
        head.tokenizer = dict(type='WordTokenizer', vocab_file=args.words)
        for name, value in (sizes_of(decoder) | tutorial_habits()).items():
            head[name] = value
        show_images_at(cfg, args.size)
        cfg.merge_from_dict(args.cfg_options or {})
        absent = [] if 'encoder' in checkpoint else ['encoder']
        done = convert(weights, cfg, args.out, args.source, absent)
    print(done)


if __name__ == '__main__':
    main()
