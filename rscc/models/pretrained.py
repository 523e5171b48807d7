"""Published models read through transformers, what of them travels in checkpoints, fingerprints."""
import hashlib
import json
import logging
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from torch import Tensor, nn

from rscc import compat
from rscc.models.contracts import Normalisation
from rscc.registry import MODELS, Part
from rscc.utils import check_choice, did_you_mean
from rscc.utils.forms import check_form
from rscc.utils.logging import log_from
from rscc.utils.names import group_names

#: Buffer of a part whose checkpoints tell its architecture, which its config may leave to a folder.
ARCHITECTURE = 'architecture'
#: Fields of a backbone's configuration that shape no weights, or that follow from others.
_NO_ARCHITECTURE = {'_name_or_path', 'architectures', 'drop_path_rate', 'dtype', 'id2label',
                    'label2id', 'out_features', 'out_indices', 'stage_names',
                    'transformers_version'}
_PAGE = 4096  # bytes to whose multiple a packed architecture is filled up


def make_config(make: Callable[..., Any], fields: Mapping[str, Any], owner: str,
                **defaults: Any) -> Any:
    """Make a configuration all of whose fields mean something.

    transformers keeps a field that it does not know and uses its default for the one that was
    meant: ``n_layers=2`` would silently give a GPT-2 of twelve layers.

    Args:
        make: Class of the configuration, or a function that returns one.
        fields: What the user gives.
        owner: Whose config they stand in, for the message.
        **defaults: Fields for when they are not given.

    Raises:
        TypeError: If there is no such field; the nearest name is given.
    """
    # A config of defaults knows every field, whether stored, derived or named otherwise.
    config = make(**(defaults | dict(fields)))
    default = type(config)()
    known = sorted({*default.to_dict(), *default.attribute_map})
    for name in fields:
        if not hasattr(default, name):
            raise TypeError(f"{owner}: {type(config).__name__} has no '{name}'."
                            f'{did_you_mean(name, known)} Fields: {", ".join(known)}')
    return config


def initialise(module: BaseModule) -> None:
    """Let a module read its starting weights without MMEngine's lines about every tensor of it."""
    with log_from(MMLogger.get_current_instance(), logging.WARNING):
        module.init_weights()


def load_blip(name_or_path: str) -> nn.Module:
    """Load a BLIP captioning model with its own configuration.

    Args:
        name_or_path: Hub name, or a folder with ``config.json`` and the weights.

    Returns:
        ``BlipForConditionalGeneration`` in evaluation mode.

    Raises:
        OSError: If nothing is found there.
        ValueError: If the files lack weights of the captioning model (they would stay random).
    """
    blip = compat.import_transformers('models.blip')
    return _complete(blip.BlipForConditionalGeneration, name_or_path, 'a BLIP captioning model')


def load_causal_lm(name_or_path: str, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Load a causal language model (GPT-2, any other of transformers).

    Args:
        name_or_path: Hub name, or a folder with ``config.json`` and the weights.
        dtype: Of the weights, whatever they are stored in.

    Returns:
        The model with its language-model head, in evaluation mode.

    Raises:
        OSError: If nothing is found there.
        ValueError: If it is another kind of model, or weights are missing.
    """
    auto = compat.import_transformers().AutoModelForCausalLM
    # Code that a repository brings along is never run.
    model = _complete(auto, name_or_path, 'a causal language model', trust_remote_code=False,
                      dtype=dtype)
    return model.to(dtype)


def load_backbone(name_or_path: str, drop_path_rate: float | None = None) -> nn.Module:
    """Load the image backbone of a classifier or segmenter of transformers, with all its stages.

    Args:
        name_or_path: Hub name, or a folder, of a Mask2Former, MaskFormer or UPerNet segmenter, or
            of a model whose stages give maps (a Swin or ConvNeXt classifier, for instance).
        drop_path_rate: Stochastic depth; None keeps what the model was trained with.

    Returns:
        A backbone that returns one map a stage.

    Raises:
        OSError: If nothing is found there.
        ValueError: If it is another kind of model, or weights of the backbone are missing.
    """
    transformers = compat.import_transformers()
    config = _from_hub(transformers.AutoConfig, name_or_path)
    name, path = _SEGMENTERS.get(config.model_type, ('', ''))
    backbone = getattr(config, 'backbone_config', None) if path else config
    # The class itself: AutoBackbone would ask the hub, even for a folder.
    known = compat.import_transformers('models.auto').MODEL_FOR_BACKBONE_MAPPING
    if type(backbone) not in known:
        raise ValueError(f"'{name_or_path}' is a {config.model_type} model, which has no stages "
                         'that give maps: name a segmenter or a classifier with a Swin, ConvNeXt '
                         'or ResNet')
    kind = getattr(transformers, name) if path else known[type(backbone)]
    _all_stages(backbone, drop_path_rate)
    # Norms of the maps are the segmenter's own; classifiers lack them, and they start as they are.
    model = _complete(
        kind, name_or_path, 'a model with an image backbone',
        may_lack='' if path else 'hidden_states_norms', config=config, trust_remote_code=False,
        # The published Mask2Former of Swin-B and Cityscapes has one more word in its names.
        key_mapping={r'pixel_level_module\.encoder\.model\.': 'pixel_level_module.encoder.'})
    return model.get_submodule(path)


def random_backbone(fields: Mapping[str, Any], drop_path_rate: float | None = None) -> nn.Module:
    """Build an image backbone with random weights.

    Args:
        fields: Fields of its configuration, ``model_type`` (``'swin'``, ``'convnext'``, ...) among
            them.
        drop_path_rate: Stochastic depth; None keeps the default of the configuration.

    Raises:
        ValueError: If ``model_type`` is missing or unknown.
        TypeError: If another field is unknown; the nearest name is given.
    """
    auto = compat.import_transformers('models.auto')
    fields = dict(fields)
    kind = fields.pop('model_type', None)
    known = compat.import_transformers('models.auto.modeling_auto').MODEL_FOR_BACKBONE_MAPPING_NAMES
    check_choice('model_type', kind, sorted(known))
    config = make_config(partial(auto.AutoConfig.for_model, kind), fields, 'config of a backbone')
    return auto.AutoBackbone.from_config(_all_stages(config, drop_path_rate))


def image_statistics(name_or_path: str) -> Normalisation | None:
    """Return how the images of a published model are normalised, as its folder tells.

    Args:
        name_or_path: Hub name of the model, or a folder with its ``preprocessor_config.json``.

    Returns:
        Mean and standard deviation of every band; None where there is no such file, or images are
        not standardised on the 0-1 scale.
    """
    reader = compat.import_transformers('image_processing_base').ImageProcessingMixin
    try:
        told, _ = reader.get_image_processor_dict(name_or_path)
    except OSError:  # no such file, or none within reach
        return None
    check_form(told, {'image_mean?': ([float], None), 'image_std?': ([float], None)},
               f"preprocessor_config.json of '{name_or_path}'")
    mean, std = told.get('image_mean') or [], told.get('image_std') or []
    usable = len(mean) == len(std) > 0 and all(0 <= value <= 1 for value in mean + std)
    if not usable or not told.get('do_normalize', True):
        return None
    folder = Path(name_or_path).expanduser()
    source = folder.resolve().name if folder.is_dir() else name_or_path
    return Normalisation(tuple(mean), tuple(std), source)


def _all_stages(config: Any, drop_path_rate: float | None) -> Any:
    """Have a backbone return the map of every stage; its config is edited in place."""
    config.out_features = config.stage_names[1:]  # all but the stem
    if drop_path_rate is not None:
        config.drop_path_rate = drop_path_rate
    return config


#: Segmenters by their type: class, and where in it the backbone is.
_SEGMENTERS = {
    'mask2former': ('Mask2FormerForUniversalSegmentation', 'model.pixel_level_module.encoder'),
    'maskformer': ('MaskFormerForInstanceSegmentation', 'model.pixel_level_module.encoder'),
    'upernet': ('UperNetForSemanticSegmentation', 'backbone')}


def _complete(model_class: type, name_or_path: str, kind: str, may_lack: str = '', **options: Any
              ) -> nn.Module:
    """Load a model none of whose weights stays random, but those with ``may_lack`` in the name."""
    try:
        model, report = _from_pretrained(model_class, name_or_path, **options)
    except RuntimeError as error:  # how it says that config.json is not that of the weights
        if 'mismatch' not in str(error):
            raise
        raise ValueError(f"'{name_or_path}' has weights of other shapes than its config.json "
                         'tells: they are not of one model, download both again') from error
    except ValueError as error:  # how transformers says that a config is of another kind
        raise ValueError(f"'{name_or_path}' is not {kind}: "
                         f'{str(error).strip().splitlines()[0]}') from error
    # transformers would draw at random whatever the files lack, with a warning at most.
    missing = sorted(name for name in report['missing_keys'] if not may_lack or may_lack not in name
                     ) + sorted(map(str, report['mismatched_keys']))
    if missing:
        raise ValueError(f"'{name_or_path}' is not {kind}: {len(missing)} weights are missing or "
                         f'of another shape, first {missing[:3]}')
    return model


def _from_pretrained(model_class: type, name_or_path: str, **options: Any
                     ) -> tuple[nn.Module, dict[str, Any]]:
    """Load a model with the report of what was loaded."""
    return _from_hub(model_class, name_or_path, output_loading_info=True, **options)


def _from_hub(model_class: type, name_or_path: str, **options: Any) -> Any:
    """Read a model or a config; local files are used where the hub is out of reach."""
    compat.refuse_absent_folder(name_or_path, 'download the model there (hf download NAME '
                                '--local-dir DIR), or give its name on the hub')
    stored = Path(name_or_path).expanduser().is_dir()
    within_reach = stored or compat.hub_in_reach()
    try:
        return model_class.from_pretrained(name_or_path, **options)
    except OSError as error:
        why = (f'{str(error).strip().splitlines()[0]} To fill a folder: hf download NAME '
               '--local-dir DIR' if within_reach else compat.out_of_reach(name_or_path))
        raise OSError(f"cannot load '{name_or_path}' (taken as a "
                      f"{'folder' if stored else 'hub name'}): {why}") from error


def weight_differences(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """List every weight without a partner and every pair of different shape.

    Args:
        found: Weights of a file, by the names of the model.
        own: Weights of the model.

    Returns:
        A line for each kind of difference, names that differ in numbers as one; [] where all fit.
    """
    # Keys of differing shapes are grouped by what the shapes are, so that a line says it once.
    shapes: dict[str, list[str]] = {}
    for key in own:
        if key in found and found[key].shape != own[key].shape:
            sizes = f'file {tuple(found[key].shape)}, model {tuple(own[key].shape)}'
            shapes.setdefault(sizes, []).append(key)
    titled = {'missing in the file': [key for key in own if key not in found],
              'not in this model': [key for key in found if key not in own],
              **{f'of another shape ({sizes})': keys for sizes, keys in shapes.items()}}
    return [f'{title}, {len(keys)}: {", ".join(group_names(keys))}'
            for title, keys in titled.items() if keys]


def without_pretrained(cfg: Any, checkpoint: Mapping[str, Any] | None = None) -> None:
    """Have a model built without reading published weights that a checkpoint will replace.

    Only where the architecture is known without them: the config tells it of classes whose
    ``PRETRAINED_OPTIONAL`` is true, the checkpoint of those that carry ``ARCHITECTURE``. BLIP's,
    for one, stands in the folder of its weights.

    Args:
        cfg: A model's config, edited in place.
        checkpoint: What will be loaded, with or without its ``state_dict`` level.

    Raises:
        ValueError: If an architecture in the checkpoint is damaged.
    """
    state = (checkpoint or {}).get('state_dict', checkpoint or {})
    _forget_pretrained(cfg, {key.removesuffix(f'.{ARCHITECTURE}'): value for key, value in
                             state.items() if key.endswith(f'.{ARCHITECTURE}')}, '')


def _forget_pretrained(cfg: Any, architectures: Mapping[str, Tensor], place: str) -> None:
    """Walk down a config; ``place`` is the dotted key of ``cfg``."""
    if isinstance(cfg, Mapping):
        # Parts that are described in full lose the name; all others keep it.
        kind = cfg.get('type') if cfg.get('pretrained') else None
        known = MODELS.get(kind) if isinstance(kind, str) else kind
        if isinstance(known, type) and issubclass(known, Part):
            # The place may lack what stands above an encoder: its own config is walked alone, too.
            stored = next((value for name, value in architectures.items()
                           if f'.{name}'.endswith(f'.{place}')), None)
            if known.PRETRAINED_OPTIONAL:
                cfg['pretrained'] = None
            elif ARCHITECTURE in known.CARRIED and stored is not None:
                cfg.update(pretrained=None, config=unpack_architecture(stored))
    if isinstance(cfg, Mapping | list | tuple):
        items = cfg.items() if isinstance(cfg, Mapping) else enumerate(cfg)
        for key, value in items:
            _forget_pretrained(value, architectures, f'{place}.{key}' if place else str(key))


def pack_architecture(backbone: nn.Module) -> Tensor:
    """Encode the configuration of an image backbone as a uint8 vector for checkpoints.

    Args:
        backbone: A model of transformers.

    Returns:
        UTF-8 JSON, filled up with spaces: other releases of transformers tell a few fields more or
        less, and the weights of one file go into a model only where all shapes are equal.
    """
    fields = {key: value for key, value in backbone.config.to_diff_dict().items()
              if key not in _NO_ARCHITECTURE}
    text = json.dumps(fields, sort_keys=True).encode()
    return torch.frombuffer(bytearray(text.ljust(-(-len(text) // _PAGE) * _PAGE)),
                            dtype=torch.uint8).clone()


def unpack_architecture(buffer: Tensor) -> dict[str, Any]:
    """Decode what ``pack_architecture`` encoded: fields for ``random_backbone``.

    Raises:
        ValueError: If it holds anything but plain fields; strings name no file, address or model.
    """
    where = 'the architecture in the checkpoint'
    try:
        fields = json.loads(bytes(buffer.cpu().numpy()).decode())
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f'{where} is damaged: {error}') from error
    plain = (None, bool, int, float, str)
    check_form(fields, {'model_type': str, str: (*plain, [plain])}, where)
    for name, value in fields.items():
        for word in value if isinstance(value, list) else [value]:
            if isinstance(word, str) and not re.fullmatch(r'[\w.+ -]*', word):
                raise ValueError(f"{where} holds '{word}' ({name}), which may name a file or an "
                                 'address; plain words were expected. Take a checkpoint that you '
                                 'trust')
    return fields


def fingerprint(module: nn.Module) -> str:
    """Return 16 hex digits of a module's weights and floating-point buffers.

    Sums of their bit patterns by name and shape: exact, in any order and on any device.
    """
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        if value.is_floating_point():
            # Sums of integers have no order and no rounding.
            bits = value.float().contiguous().view(torch.int32)
            digest.update(f'{name} {tuple(value.shape)} {int(bits.sum(dtype=torch.int64))};'
                          .encode())
    return digest.hexdigest()[:16]
