"""Convert a ClipCap or CLIP-GPT checkpoint (a ``.pt`` state dict of mapper and GPT-2).

Kind and sizes of the mapper and of GPT-2 are read from the tensors; the number of attention heads
is no part of them, except for amht. The image encoder is no part of the file either: it comes from
the config, which must name its published weights. By default the new checkpoint holds GPT-2 too;
with ``--language-model`` a GPT-2 that was not tuned is left to where it is published.

Example::

    python tools/model_converters/clipcap_to_rscc.py sydney_transformer.pt converted.pth \
        --config configs/clipgpt_transformer_sydney.py --num-heads 16 --language-model gpt2
    python tools/test.py converted.py converted.pth
"""
import argparse

from rscc.apis.command_line import add_output_arguments, explained


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', help="the original's .pt")
    add_output_arguments(parser)
    parser.add_argument('--config', required=True, help='config of the same dataset and encoder; '
                        'mapper and language model are set from the file')
    parser.add_argument('--num-heads', type=int, help='attention heads of a transformer mapper '
                        '(default: 8, as ClipCap; CLIP-GPT has 16; amht tells its own)')
    parser.add_argument('--lm-heads', type=int, help='attention heads of the language model '
                        '(default: width / 64, as GPT-2)')
    parser.add_argument('--language-model', metavar='NAME', help='hub name or folder of the GPT-2 '
                        'that was not tuned: the checkpoint then holds the mapper only')
    parser.add_argument('--kind', choices=('clipcap', 'clipcap_rsic'), default='clipcap_rsic',
                        help='whose full stops end a sentence: "." (clipcap), or also " ." '
                        '(clipcap_rsic, the default)')
    return parser.parse_args()


def main() -> None:
    """Convert."""
    args = parse_args()
    # Imported late: help and wrong arguments should not wait for torch.
    from rscc.apis.launch import read_config
    from rscc.engine.checkpoint import read_checkpoint
    from rscc.importers.clip_gpt import published_habits, read_shape, rename_clipcap
    from rscc.importers.conversion import convert
    with explained():
        state = read_checkpoint(args.source)
        shape = read_shape(state, args.num_heads, args.lm_heads)
        cfg = read_config(args.config)
        head = shape.head() | published_habits(args.kind)
        if args.language_model:
            head['language_model'] = dict(pretrained=args.language_model, tune='frozen')
        for name, value in head.items():  # update() would mix the old mapper with the new one
            cfg.model.caption_head[name] = value
        cfg.merge_from_dict(args.cfg_options or {})
        done = convert(rename_clipcap(state), cfg, args.out, args.source, absent=['encoder'])
    print(done)


if __name__ == '__main__':
    main()
