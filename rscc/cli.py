"""The console command ``rscc``: one word names what to do, the rest goes to that command.

Examples::

    rscc infer work_dirs/blip_synth/epoch_8.pth --img-from before.png --img-to after.png --out out
    rscc train blip_levircc --amp
    rscc configs

``python -m rscc`` is the same. Every command is a module of ``rscc.commands``, and the tool of the
same name below ``tools/`` calls the same function.
"""
import sys
from collections.abc import Sequence

from rscc.apis.command_line import choose_command
from rscc.version import __version__

#: Command -> where its function is (``main`` of a module, unless named), and one line of help.
COMMANDS = {
    'infer': ('rscc.commands.infer', 'answer image pairs or single images with a trained model'),
    'demo': ('rscc.commands.demo', 'serve a web page that answers image pairs in a browser'),
    'check': ('rscc.commands.check:either', 'check a dataset, or two images of one place'),
    'train': ('rscc.commands.train', 'train a model as a config says'),
    'test': ('rscc.commands.test', 'test a checkpoint: scores, pictures, a report'),
    'scores': ('rscc.commands.scores', 'score predicted captions again, without a model'),
    'configs': ('rscc.commands.configs', 'list the configs, say where one is, or copy it'),
    'models': ('rscc.commands.models', 'list the models by task and dataset, or tell of one'),
    'print-config': ('rscc.commands.configs:print_config', 'print a config with all it inherits'),
    'browse-dataset': ('rscc.commands.browse_dataset', 'draw what a model is given in training'),
    'synth': ('rscc.commands.data_files:synth', 'make the built-in dataset of rendered pairs'),
    'write-path': ('rscc.commands.data_files:write_path', 'write path lists of a dataset of pairs'),
    'vocabulary': ('rscc.commands.data_files:vocabulary', 'write the words that captions use'),
    'distil': ('rscc.commands.distil', "write a captioner's sentences for another to learn from"),
    'levircc': ('rscc.commands.levircc', 'write LEVIR-CC as word ids or as HDF5 files'),
    'tiles': ('rscc.commands.tiles', 'cut large pairs into tiles, merge maps of tiles'),
    'scene-pairs': ('rscc.commands.scene_pairs', 'make training data of two scenes and polygons'),
    'convert': ('rscc.commands.convert', 'convert the checkpoint of an original system'),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command.

    Args:
        arguments: The command line without ``rscc``; None for that of the process.

    Raises:
        SystemExit: With the message or exit code of the command.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if list(arguments[:1]) == ['--version']:
        print(f'rscc {__version__}')
        return
    choose_command(COMMANDS, arguments, 'rscc', description=(
        'Remote sensing change captioning, change detection and image captioning.\n'
        'Configs are given by file or by name, e.g. blip_synth; "rscc configs" lists them.'))
