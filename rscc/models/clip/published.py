"""CLIP weights for remote sensing that can be named: facts about them, and where their files are.

A name such as ``'remoteclip-vit-b-32'`` stands where a file could. Nothing is downloaded: some of
these weights ask for a licence to be read first, and their files have gigabytes. A variable of the
environment says where the file is, ``RSCC_REMOTECLIP_VITB32`` for that name. The facts also apply
to a file whose own name, or that of its folder, is the published one.
"""
import os
import re
from dataclasses import dataclass
from pathlib import Path

from rscc.models.contracts import Normalisation
from rscc.utils import did_you_mean

#: Statistics of OpenAI's CLIP, with which the models that continue its training were trained, too.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
#: Those of SigLIP.
SIGLIP_MEAN = SIGLIP_STD = (0.5, 0.5, 0.5)

_REMOTECLIP = dict(place='https://huggingface.co/chendelong/RemoteCLIP',
                   licence='see its page: a licence was added in March 2024')
_GEORSCLIP = dict(place='https://huggingface.co/Zilun/GeoRSCLIP/tree/main/ckpt',
                  licence='cc, see its page')
_SKYCLIP = dict(place='https://opendatasharing.s3.us-west-2.amazonaws.com/SkyScript/ckpt',
                licence='MIT')
_GIT_RSCLIP = dict(place='https://huggingface.co/lcybuaa', licence='Apache-2.0', siglip=True)


def usual_normalisation(siglip: bool, source: str) -> Normalisation:
    """Return CLIP's or SigLIP's statistics, for weights of which nothing else is known."""
    mean, std = (SIGLIP_MEAN, SIGLIP_STD) if siglip else (CLIP_MEAN, CLIP_STD)
    return Normalisation(mean, std, source)


@dataclass(frozen=True)
class Published:
    """Facts about weights for remote sensing that somebody published.

    Attributes:
        name: What configs and tools call them.
        file: File, or folder, in which they are published.
        arch: Architecture as open_clip spells it.
        quick_gelu: Whether they go with QuickGELU (``x * sigmoid(1.702 x)``); None for SigLIP.
        place: Where to fetch the file.
        licence: In a word.
        confirmed: Whether that follows from what their authors say of the training; otherwise
            ``quick_gelu`` is likely, from the usual beginning or from how the authors load them.
        siglip: Whether they are a SigLIP of transformers, and not a CLIP.
    """
    name: str
    file: str
    arch: str
    quick_gelu: bool | None
    place: str
    licence: str
    confirmed: bool = False
    siglip: bool = False

    @property
    def variable(self) -> str:
        """Variable of the environment that says where the file is."""
        joined = re.sub(r'VIT-([A-Z])-(\d+)', r'VIT\1\2', self.name.upper())
        return f"RSCC_{joined.replace('-', '_')}"

    @property
    def normalisation(self) -> Normalisation:
        """Return the statistics by which images were standardised in their training."""
        return usual_normalisation(self.siglip, self.name)

    def locate(self) -> Path:
        """Return the file or folder that the variable names.

        Raises:
            FileNotFoundError: If it is not set, or there is nothing; the message says what to do.
        """
        value = os.environ.get(self.variable)
        path = Path(value or '').expanduser()
        if value and path.exists():
            return path
        why = (f"{self.variable} names '{value}', where there is nothing" if value else
               f'{self.variable} is not set')
        raise FileNotFoundError(
            f"no weights for '{self.name}': {why}. Download '{self.file}' from {self.place} "
            f'(licence: {self.licence}), then: export {self.variable}=/path/to/{self.file}')


def _remoteclip(arch: str) -> Published:
    # Its authors load it into open_clip's plain architectures, which have the exact GELU.
    return Published(f'remoteclip-{arch.lower()}', f'RemoteCLIP-{arch}.pt', arch, False,
                     **_REMOTECLIP)


def _georsclip(arch: str, quick_gelu: bool, confirmed: bool = False) -> Published:
    return Published(f'georsclip-{arch.lower()}', f'RS5M_{arch}.pt', arch, quick_gelu,
                     confirmed=confirmed, **_GEORSCLIP)


def _skyclip(arch: str, share: int, quick_gelu: bool) -> Published:
    short = re.sub(r'ViT-([A-Z])-(\d+)', r'ViT_\1\2', arch)
    return Published(f'skyclip-{arch.lower()}-top{share}', f'SkyCLIP_{short}_top{share}pct.zip',
                     arch, quick_gelu, confirmed=True, **_SKYCLIP)


_EVERY = (
    _remoteclip('RN50'), _remoteclip('ViT-B-32'), _remoteclip('ViT-L-14'),
    # The smaller ones continue OpenAI's training, H-14 that of LAION-2B.
    _georsclip('ViT-B-32', True), _georsclip('ViT-L-14', True), _georsclip('ViT-L-14-336', True),
    _georsclip('ViT-H-14', False, confirmed=True),
    # As the authors' command says, L-14 continues OpenAI's training, B-32 that of LAION-2B.
    _skyclip('ViT-L-14', 30, True), _skyclip('ViT-L-14', 50, True),
    _skyclip('ViT-B-32', 50, False),
    Published('git-rsclip', 'Git-RSCLIP', 'ViT-L-16-SigLIP-256', None, confirmed=True,
              **_GIT_RSCLIP),
    Published('git-rsclip-base', 'Git-RSCLIP-base', 'ViT-B-16-SigLIP', None, confirmed=True,
              **_GIT_RSCLIP),
)
#: Facts by name.
PUBLISHED = {entry.name: entry for entry in _EVERY}


def published(source: str) -> Published | None:
    """Return the facts about weights by their name, None for any other name or file."""
    return PUBLISHED.get(source.lower())


def published_as(path: Path) -> Published | None:
    """Return the facts about a file that has the published name, or lies in a folder of that name.

    ``SkyCLIP_ViT_B32_top50pct/epoch_20.pt`` is what the archive of that name holds.
    """
    known = {Path(entry.file).stem if entry.file.endswith('.zip') else entry.file: entry
             for entry in _EVERY}
    names = (path.name, path.stem if path.suffix == '.zip' else path.name, path.parent.name)
    return next((known[name] for name in names if name in known), None)


def nearest_published(source: str) -> str:
    """Return ``" Did you mean 'remoteclip-rn50'?"`` for a name that is almost one of these."""
    return did_you_mean(source, PUBLISHED)
