"""The conversion commands: checkpoints of the original systems, and trained ones as a whole.

``rscc convert KIND`` and the tools of ``tools/model_converters`` call them.
"""
import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rscc.apis.command_line import (
    add_config_options,
    add_output_arguments,
    choose_command,
    explained,
    output_folder,
)

if TYPE_CHECKING:
    from torch import Tensor

#: Kind of checkpoint -> function, and what it converts.
KINDS = {
    'clipcap': ('rscc.commands.convert:clipcap', 'a ClipCap or CLIP-GPT checkpoint (.pt)'),
    'changeclip': ('rscc.commands.convert:changeclip', 'a released ChangeCLIP checkpoint (.pth)'),
    'kdrscc': ('rscc.commands.convert:kdrscc', 'a KD-RSCC checkpoint (.pth, .safetensors)'),
    'sat': ('rscc.commands.convert:sat', 'a checkpoint of the Show, Attend and Tell tutorial'),
    'merged': ('rscc.commands.convert:merged', 'a checkpoint trained here, with all it needs from '
               'elsewhere'),
    'published': ('rscc.commands.convert:published', 'a checkpoint trained here, as a model with a '
                  'name, a card and a STAC record'),
}


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Run the conversion that the first argument names.

    Args:
        arguments: The command line without the name of the program; None for that of the process.
        prog: Name of the program in usage and messages; None for that of the process.
    """
    choose_command(KINDS, arguments, prog, what='kind', description=(
        'Convert a checkpoint of an original system, or complete one that was trained here.'))


def _parser(prog: str | None, description: str) -> argparse.ArgumentParser:
    return argparse.ArgumentParser(prog=prog, description=description,
                                   formatter_class=argparse.RawDescriptionHelpFormatter)


def clipcap(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Convert a ClipCap or CLIP-GPT checkpoint.

    Args:
        arguments: As in :func:`main`.
        prog: As in :func:`main`.
    """
    parser = _parser(prog, """\
Convert a ClipCap or CLIP-GPT checkpoint (a .pt state dict of mapper and GPT-2).

Kind and sizes of the mapper and of GPT-2 are read from the tensors; the number of attention heads
is no part of them, except for amht. The image encoder is no part of the file either: it comes from
the config, which must name its published weights. By default the new checkpoint holds GPT-2 too;
with --language-model a GPT-2 that was not tuned is left to where it is published.

Example:

    %(prog)s sydney_transformer.pt converted.pth \\
        --config configs/clipgpt_transformer_sydney.py --num-heads 16 --language-model gpt2
""")
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
    args = parser.parse_args(arguments)
    # Imported late, here and below: help and wrong arguments should not wait for torch.
    from rscc.apis.launch import read_config
    from rscc.config.check import merge_overrides
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
        merge_overrides(cfg, args.cfg_options)
        done = convert(rename_clipcap(state), cfg, args.out, args.source, absent=['encoder'])
    print(done)


def changeclip(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Convert a released ChangeCLIP checkpoint, ResNet or ViT.

    Args:
        arguments: As in :func:`main`.
        prog: As in :func:`main`.
    """
    parser = _parser(prog, """\
Convert a released ChangeCLIP checkpoint, ResNet or ViT.

Beside the new checkpoint lies the config to test it with: ImageNet's colour statistics, the class
names of the earlier date for both, and (ViT) a class embedding added twice, as it was trained and
evaluated.

Example:

    %(prog)s best_mIoU_iter_17000.pth converted.pth --config configs/changeclip_rn50_levircd.py
""")
    parser.add_argument('source', help="the original's .pth")
    add_output_arguments(parser)
    parser.add_argument('--config', help='config of the dataset it was trained on (default: '
                        'configs/changeclip_{rn50,vit}_levircd.py)')
    args = parser.parse_args(arguments)
    from rscc.apis.launch import read_config
    from rscc.config.check import merge_overrides
    from rscc.config.files import packaged_configs
    from rscc.engine.checkpoint import read_checkpoint
    from rscc.importers.changeclip import published_habits, rename_changeclip, variant_of
    from rscc.importers.conversion import convert
    with explained():
        loaded = read_checkpoint(args.source)
        state = loaded.get('state_dict', loaded)
        variant = variant_of(state, args.source)
        cfg = read_config(args.config or packaged_configs() / f'changeclip_{variant}_levircd.py')
        cfg.merge_from_dict(published_habits(variant))
        merge_overrides(cfg, args.cfg_options)
        done = convert(rename_changeclip(state), cfg, args.out, args.source)
    print(done)


def kdrscc(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Convert a KD-RSCC checkpoint, its training file or its slim safetensors file.

    Args:
        arguments: As in :func:`main`.
        prog: As in :func:`main`.
    """
    parser = _parser(prog, """\
Convert a KD-RSCC checkpoint (a training .pth, or its slim safetensors file).

Of a training file the averaged weights (model_ema) are taken, which sampling used. Sizes are read
from the tensors; words and the length of captions are in another file, which "rscc levircc
--word-encode" (tools/dataset_converters/levircc.py) writes.

Example:

    %(prog)s LevirCC_00100000.pth converted.pth \\
        --config configs/kdrscc_levircc.py --words data/LEVIR-CC/word_encoding.json
""")
    parser.add_argument('source', help="the original's .pth or .safetensors")
    add_output_arguments(parser)
    parser.add_argument('--config', default='configs/kdrscc_levircc.py',
                        help='config of the same dataset and encoder (%(default)s)')
    parser.add_argument('--words', required=True, metavar='FILE',
                        help='word_encoding.json, or the vocab.json of the original')
    parser.add_argument('--max-tokens', type=int, metavar='N', help='longest caption in words, for '
                        "the original's vocab.json, which does not tell (44 ids are 42 words)")
    parser.add_argument('--num-heads', type=int, help="heads of the words' encoder "
                        '(default: width / 64)')
    parser.add_argument('--live', action='store_true',
                        help='take the weights that were trained, not their moving average')
    args = parser.parse_args(arguments)
    from rscc.apis.launch import read_config
    from rscc.config.check import merge_overrides
    from rscc.engine.checkpoint import read_checkpoint
    from rscc.importers.conversion import convert
    from rscc.importers.kd_rscc import read_shape, rename_kd_rscc
    from rscc.registry import TOKENIZERS
    with explained():
        state = choose_state(read_checkpoint(args.source), args.live)
        shape = read_shape(state, args.num_heads)
        cfg = read_config(args.config)
        head = cfg.model.caption_head
        head.tokenizer = dict(type='WordTokenizer', vocab_file=args.words)
        tokenizer = TOKENIZERS.build(dict(head.tokenizer))
        if tokenizer.vocab_size != shape.vocab_size:
            raise ValueError(f"'{args.words}' has {tokenizer.vocab_size} words and the model "
                             f'{shape.vocab_size}: it is the vocabulary of other data')
        for name, value in shape.head.items():
            head[name] = value
        if args.max_tokens is not None:
            head.max_tokens = args.max_tokens
        merge_overrides(cfg, args.cfg_options)
        if tokenizer.max_tokens is None and head.get('max_tokens') is None:
            raise ValueError(f"'{args.words}' does not tell the length of captions: add "
                             '--max-tokens N, two less than the ids that the model was trained on')
        done = convert(rename_kd_rscc(state), cfg, args.out, args.source)
    print(done)


def choose_state(stored: Mapping, live: bool) -> 'Mapping[str, Tensor]':
    """Return the state dict of a training file, or the file itself where it is slim.

    Raises:
        ValueError: If a training file lacks the weights asked for.
    """
    if not any(name in stored for name in ('model', 'model_ema')):
        return stored.get('state_dict', stored)
    wanted = 'model' if live else 'model_ema'
    if wanted not in stored:
        raise ValueError(f"the training file has no '{wanted}', only {sorted(stored)}"
                         + ('' if live else ': take the trained weights with --live'))
    return stored[wanted]


def sat(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Convert a checkpoint of the PyTorch tutorial on Show, Attend and Tell.

    Args:
        arguments: As in :func:`main`.
        prog: As in :func:`main`.
    """
    parser = _parser(prog, """\
Convert a checkpoint of the PyTorch tutorial on Show, Attend and Tell.

github.com/sgrvinod/a-PyTorch-Tutorial-to-Image-Captioning pickles whole modules. They are read
without running any of their code; the decoder's state_dict(), or a dict of decoder and encoder,
does as well. A decoder alone takes the encoder's published weights that the config names. Sizes are
read from the tensors; the words are in another file, WORDMAP_*.json.

Example:

    %(prog)s BEST_checkpoint_ucm_5_cap_per_img_5_min_word_freq.pth.tar converted.pth \\
        --config configs/sat_r101_ucm.py \\
        --words WORDMAP_ucm_5_cap_per_img_5_min_word_freq.json
""")
    parser.add_argument('source', help="the tutorial's .pth.tar, or state dicts")
    add_output_arguments(parser)
    parser.add_argument('--config', required=True, help='config of the same dataset and of an '
                        'encoder of the same depth (the tutorial has a ResNet-101)')
    parser.add_argument('--words', required=True, metavar='FILE', help="the tutorial's "
                        'WORDMAP_*.json')
    parser.add_argument('--size', type=int, default=256, help='side of the images that it was '
                        'trained on, pixels (%(default)s)')
    args = parser.parse_args(arguments)
    from rscc.apis.launch import read_config
    from rscc.config.check import merge_overrides
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
        merge_overrides(cfg, args.cfg_options)
        absent = [] if 'encoder' in checkpoint else ['encoder']
        done = convert(weights, cfg, args.out, args.source, absent)
    print(done)


def show_images_at(cfg: Mapping, size: int) -> None:
    """Have every pipeline scale its images to ``size`` pixels a side."""
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        for step in cfg.get(loader, {}).get('dataset', {}).get('pipeline', ()):
            if step['type'] == 'FramesResize':
                step['size'] = size


def merged(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Write a trained model as one checkpoint that needs no published weights beside it.

    Args:
        arguments: As in :func:`main`.
        prog: As in :func:`main`.
    """
    parser = _parser(prog, """\
Write a trained model as one checkpoint that needs no published weights beside it.

Checkpoints of CLIP-GPT hold the trained part; the frozen language model comes from where it is
published. Here it is written into the file, low-rank adapters are merged into the weights that they
adapt, and adaptive attention (amht) is folded into plain attention; the answers stay the same.

Example:

    %(prog)s configs/clipgpt_amht_ucm.py work_dirs/clipgpt_amht_ucm/epoch_10.pth whole.pth
""")
    parser.add_argument('config', help='the config it was trained with')
    parser.add_argument('checkpoint', help='what the training wrote')
    add_output_arguments(parser)
    args = parser.parse_args(arguments)
    from rscc.apis.launch import read_config
    from rscc.config.check import merge_overrides
    from rscc.importers.conversion import export_merged
    with explained():
        cfg = read_config(args.config)
        merge_overrides(cfg, args.cfg_options)
        done = export_merged(cfg, args.checkpoint, args.out)
    size = done.checkpoint.stat().st_size / 2**20
    print(f'written: {done.checkpoint} ({size:.1f} MiB), {done.config}')


def published(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Publish a trained model: one file with its config, a card, a STAC record, the log.

    Args:
        arguments: As in :func:`main`.
        prog: As in :func:`main`.
    """
    parser = _parser(prog, """\
Publish a trained model: one file with its config, a card, a STAC record, the log.

Optimizer, paths and data are left out, and of averaged weights the trained ones beside them. The
file is loaded again and must answer rendered pairs as the checkpoint does. A model published below
rscc/weights is found by its name in this installation, others by their folder.

Example:

    %(prog)s configs/blip_synth.py work_dirs/blip_synth/epoch_20.pth \\
        --name my-model --out my_model --licence CC-BY-SA-4.0 --half
""")
    parser.add_argument('model', nargs='+', metavar='CONFIG CKPT', help='config and checkpoint; '
                        'the checkpoint alone where it holds its config')
    parser.add_argument('--name', required=True, help='of the model: small letters, digits, '
                        'hyphens')
    parser.add_argument('--out', required=True, type=output_folder, metavar='DIR',
                        help='its folder')
    parser.add_argument('--licence', required=True, metavar='SPDX', help='of the weights, '
                        'CC-BY-SA-4.0 for instance')
    parser.add_argument('--architecture', metavar='TEXT', help='name of the network for people '
                        "(default: the encoder's in the config)")
    parser.add_argument('--half', action='store_true', help='store weights in 16 bits, if the '
                        'answers stay the same')
    parser.add_argument('--force', action='store_true', help='publish even if the answers '
                        'differ, or the weights have another licence')
    parser.add_argument('--log', metavar='FILE', help='log of the training, copied without the '
                        'paths of this machine')
    parser.add_argument('--metrics', metavar='FILE', help='JSON of scores, such as the predictions '
                        'file of tools/test.py --out; they go into card and config.json')
    parser.add_argument('--dataset', action='append', default=[], metavar='NAME', help='that it '
                        'was trained on, as the hub names it; may be given several times')
    add_config_options(parser)
    args = parser.parse_args(arguments)
    if len(args.model) > 2:
        parser.error(f'expected CONFIG and CKPT, found {len(args.model)} names: {args.model}')
    from rscc.deployment.publishing import PublishOptions, publish
    config, checkpoint = args.model if len(args.model) == 2 else (None, args.model[0])
    with explained():
        done = publish(config, checkpoint, args.out, PublishOptions(
            args.name, args.licence, args.architecture, args.half, args.force, args.log,
            args.cfg_options, args.metrics, args.dataset))
    print(f'compared     {done.agreement}')
    print(f'model        {done.description.name}, {done.description.parameters / 1e6:.2f} M '
          f'parameters, {done.description.size / 1e6:.2f} MB')
    print(f'SHA-256      {done.description.sha256}')
    print('written      ' + '\n             '.join(map(str, done.files)))
