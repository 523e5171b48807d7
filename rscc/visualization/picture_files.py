"""Names, files and thumbnails of pictures; a kill leaves nothing half written."""
import base64
import hashlib
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, features

from rscc.rasters.image_files import opened, read_rgb, upright_pixels
from rscc.rasters.scales import Scale
from rscc.utils import atomic_write
from rscc.visualization.overlays import (
    ERROR_PALETTE,
    IGNORE,
    check_mask,
    class_palette,
    error_mask,
    mask_layer,
)

_LONGEST = 120


def safe_name(sample_id: str) -> str:
    """Turn a sample's id into a file name without folders, blanks or special characters.

    Ids that are already safe stay as they are; others get a short hash, so that two different ids
    never share a file.
    """
    text = str(sample_id)
    name = re.sub(r'[^\w.-]+', '_', text).strip('._')[:_LONGEST]
    if name and name == text:
        return name
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f'{name}-{digest}' if name else f'sample-{digest}'


def save_image(path: str | os.PathLike, image: np.ndarray) -> Path:
    """Write an RGB image (H, W, 3) uint8 as PNG, atomically; return the path."""
    return _save_png(path, Image.fromarray(np.ascontiguousarray(image)))


def save_small(path: str | os.PathLike, drawing: np.ndarray) -> Path:
    """Write lines and text (H, W, 3) uint8 as palette PNG, half the size, atomically.

    Args:
        path: The file.
        drawing: Its colours become the nearest of 256.
    """
    image = Image.fromarray(np.ascontiguousarray(drawing))
    # Cut by coverage, not by number of pixels: a single mark keeps its colour.
    palette = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    return _save_png(path, palette)


def save_mask(path: str | os.PathLike, mask: np.ndarray, palette: Sequence | None = None) -> Path:
    """Write class numbers (H, W) as a palette PNG, atomically; return the path.

    Pixel values are the class numbers themselves, shown in the classes' colours by any viewer.

    Raises:
        ValueError: If a class number is outside 0 to 255.
    """
    mask = check_mask(mask)
    if mask.size and (mask.min() < 0 or mask.max() > 255):
        raise ValueError(f"mask for '{path}' holds {int(mask.min())} to {int(mask.max())}; a "
                         'palette PNG holds class numbers from 0 to 255')
    image = Image.fromarray(mask.astype(np.uint8), mode='P')
    image.putpalette(np.uint8(class_palette(256, palette)).tobytes())
    return _save_png(path, image)


def save_probabilities(path: str | os.PathLike, probabilities: np.ndarray) -> Path:
    """Write P(changed) (H, W), 0 to 1, as a grey PNG of 16 bits (65535 = 1), atomically.

    Raises:
        ValueError: If it is not (H, W) or holds values outside 0 to 1.
    """
    values = np.asarray(probabilities, np.float32)
    # Written so that a NaN, which compares as false, is refused too.
    if values.ndim != 2 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"probabilities for '{path}' have shape {values.shape} and reach from "
                         f'{values.min(initial=0)} to {values.max(initial=0)}; expected (H, W) '
                         'from 0 to 1')
    return _save_png(path, Image.fromarray(np.rint(values * 65535).astype(np.uint16)))


def _save_png(path: str | os.PathLike, image: Image.Image) -> Path:
    encoded = io.BytesIO()
    image.save(encoded, 'PNG', compress_level=3)
    with atomic_write(path, 'wb') as file:
        file.write(encoded.getvalue())
    return Path(path)


#: Longest side in pixels and quality, best first.
_LADDER = ((512, 85), (384, 80), (320, 78), (256, 75), (256, 60), (224, 60), (192, 60), (160, 60),
           (160, 50), (144, 45), (128, 40))
_MESSAGES = ('image not found: {}', 'image cannot be read: {}')


@dataclass(frozen=True)
class Source:
    """Files of one sample's pictures.

    Attributes:
        frames: Paths of the dates, earliest first.
        pred_mask: Palette PNG of the prediction, or None.
        gt_mask: Palette PNG of the reference, or None.
        class_maps: Palette PNGs of the classes of the dates by name, see ``class_maps_of``.
    """
    frames: tuple[Path, ...]
    pred_mask: Path | None = None
    gt_mask: Path | None = None
    class_maps: Mapping[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Pictures:
    """One sample's pictures as ``data:`` addresses.

    Attributes:
        frames: One address per date; for a file that cannot be shown, None.
        problems: Why, per date; None where all is well.
        layers: Transparent overlays by name: ``pred``, ``gt``, ``errors``.
        shape: Width and height of a picture; None where none can be shown.
        changed: Share of the predicted mask that is changed, 0 to 1; None without a mask.
        class_maps: Classes of the dates in their colours, by the names of the source.
    """
    frames: tuple[str | None, ...]
    problems: tuple[str | None, ...]
    layers: dict[str, str]
    shape: tuple[int, int] | None = None
    changed: float | None = None
    class_maps: Mapping[str, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes that these pictures take in the file."""
        addresses = (*self.frames, *self.layers.values(), *self.class_maps.values())
        return sum(len(address) for address in addresses if address)


class Thumbnails:
    """Encodes samples' pictures, all with one size and quality that fit a budget.

    Args:
        sources: Every sample of the report.
        palette: RGB per class.
        budget: Bytes for all pictures together.
        messages: What is said of a file that is not there, and of one that cannot be read.
        bands, scale: How the files are read, see :func:`rscc.rasters.image_files.read_frame`; both
            None shows pictures as they are.
    """

    def __init__(self, sources: Sequence[Source], palette: Sequence | None, budget: float,
                 bands: Sequence[int] | None = None, scale: Scale | None = None,
                 messages: tuple[str, str] = _MESSAGES):
        self.messages = messages
        self.palette, self.bands, self.scale = palette, bands, scale
        probes = [sources[i] for i in
                  np.unique(np.linspace(0, len(sources) - 1, 8).astype(int))] if sources else []
        for self.longest, self.quality in _LADDER:
            sizes = [self(source).size for source in probes]
            # A tenth is kept back because a few probes only estimate the mean.
            if not sizes or sum(sizes) / len(sizes) * len(sources) <= 0.9 * budget:
                break

    def __call__(self, source: Source) -> Pictures:
        """Encode the pictures of one sample; missing files are reported, not raised."""
        frames, problems, size = [], [], None
        for path in source.frames:
            image, problem = self._frame(path)
            size = size if image is None else image.size
            frames.append(None if image is None else data_address(image, self.quality))
            problems.append(problem)
        masks = {name: mask for name, path in (('pred', source.pred_mask), ('gt', source.gt_mask))
                 if (mask := _read_mask(path)) is not None}
        changed = float(((masks['pred'] > 0) & (masks['pred'] != IGNORE)).mean()
                        ) if 'pred' in masks else None
        layers = self._layers(masks, size) if size else {}
        maps = {name: self._class_map(path, size) for name, path in source.class_maps.items()
                if size and path.is_file()}
        return Pictures(tuple(frames), tuple(problems), layers, size, changed, maps)

    def _frame(self, path: Path) -> tuple[Image.Image | None, str | None]:
        if not path.is_file():
            return None, self.messages[0].format(path)
        try:
            if self.bands is None and self.scale is None:
                with opened(path) as (file, header):
                    image = Image.fromarray(upright_pixels(file, header, 'RGB'))
            else:
                image = Image.fromarray(read_rgb(path, self.bands, self.scale))
        except (OSError, ValueError) as error:
            return None, self.messages[1].format(f'{path} ({error})')
        image.thumbnail((self.longest, self.longest), Image.Resampling.LANCZOS)
        return image, None

    def _layers(self, masks: dict[str, np.ndarray], size: tuple[int, int]) -> dict[str, str]:
        layers = {name: self._layer(mask, size, self.palette) for name, mask in masks.items()}
        if len(masks) == 2 and masks['pred'].shape == masks['gt'].shape:
            errors = error_mask(masks['pred'], masks['gt'])
            layers['errors'] = self._layer(errors, size, ERROR_PALETTE)
        return layers

    def _class_map(self, path: Path, size: tuple[int, int]) -> str:
        # Classes have no values between them, so pixels are left out, not mixed.
        with opened(path) as (file, _):
            return data_address(file.resize(size, Image.Resampling.NEAREST).convert('RGB'), None)

    def _layer(self, mask: np.ndarray, size: tuple[int, int], palette: Sequence | None) -> str:
        return data_address(Image.fromarray(mask_layer(mask, size[::-1], palette)), None)


def _read_mask(path: Path | None) -> np.ndarray | None:
    if path is None or not path.is_file():
        return None
    with opened(path) as (file, _):
        return np.asarray(file)


def data_address(image: Image.Image, quality: int | None) -> str:
    """Return a picture as a ``data:`` address, WebP where Pillow writes it.

    Args:
        image: RGB or RGBA.
        quality: 1 to 100; None keeps every value and transparency.
    """
    encoded = io.BytesIO()
    webp = features.check('webp')
    if quality is None:
        kind = 'webp' if webp else 'png'
        image.save(encoded, kind, **({'lossless': True} if webp else {'optimize': True}))
    else:
        kind = 'webp' if webp else 'jpeg'
        image.save(encoded, kind, quality=quality)
    return f'data:image/{kind};base64,{base64.b64encode(encoded.getvalue()).decode()}'
