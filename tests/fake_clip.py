"""Random CLIP models in miniature, in every form in which CLIP weights are published."""
import torch
from torch import nn

from rscc import compat

#: Small, yet with heads of 64 channels as in every CLIP.
TINY = dict(embed_dim=32, context_length=24, width=64)


def tiny_clip(kind='vit', quick_gelu=True, seed=0, image_size=32, layers=2):
    """open_clip's own CLIP with random weights: ``'vit'`` (patch 8) or ``'resnet'``."""
    model = compat.import_open_clip('model')
    torch.manual_seed(seed)
    vision = dict(layers=layers, width=64, patch_size=8) if kind == 'vit' else dict(
        layers=(1, 2, 1, 1), width=8, head_width=64, patch_size=None)
    text = dict(context_length=TINY['context_length'], width=TINY['width'], heads=1, layers=2)
    made = model.CLIP(TINY['embed_dim'], model.CLIPVisionCfg(image_size=image_size, **vision),
                      model.CLIPTextCfg(**text), quick_gelu=quick_gelu)
    with torch.no_grad():  # text and image vectors that differ enough to rank classes
        for parameter in made.visual.parameters():
            parameter.mul_(1.7)
    return made.eval()


class _Node(nn.Module):
    """A module without a computation: TorchScript keeps its tree of tensors."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def save_archive(model, path):
    """Write a TorchScript archive in half precision, as OpenAI's are."""
    root = _Node()
    for key, value in model.state_dict().items():
        *parents, leaf = key.split('.')
        node = root
        for name in parents:
            if name not in node._modules:
                node.add_module(name, _Node())
            node = node._modules[name]
        node.register_buffer(leaf, value.half() if value.is_floating_point() else value)
    for name, number in (('input_resolution', 224), ('context_length', 77), ('vocab_size', 49408)):
        root.register_buffer(name, torch.tensor(number))
    torch.jit.script(root).save(str(path))
    return str(path)


def save_state_dict(model, path):
    torch.save(model.state_dict(), path)
    return str(path)


def publish(monkeypatch, path, arch='ViT-tiny', tag='here', **entry):
    """Let open_clip know ``arch:tag`` whose download is the local file ``path``."""
    pretrained = compat.import_open_clip('pretrained')
    record = {'file': str(path), 'mean': pretrained.OPENAI_DATASET_MEAN,
              'std': pretrained.OPENAI_DATASET_STD, **entry}
    monkeypatch.setitem(pretrained._PRETRAINED, arch, {tag: record})
    return f'{arch}:{tag}'
