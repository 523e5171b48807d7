"""Images of any kind as frames: paths, encoded bytes, arrays, PIL pictures and tensors."""
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image as PILImage
from PIL import ImageOps
from torch import Tensor

from rscc.rasters.headers import pixel_side, read_header
from rscc.rasters.image_files import NeedsMapping, as_bands, as_frame, read_frame
from rscc.rasters.scales import Scale
from rscc.utils.paths import SUFFIXES, read_path_list

Image = str | os.PathLike | bytes | np.ndarray | PILImage.Image | Tensor
ACCEPTED = ('a path, the bytes of an image file, a NumPy array (H, W, 3), (H, W, B) or (H, W), a '
            'PIL image or a tensor (3, H, W) or (B, H, W)')
_CHANNELS = (1, 3, 4)
_MOST_BANDS = 16  # of an image whose first axis is shorter than its last


def is_image(image: object) -> bool:
    """Tell an image from a list of images."""
    return isinstance(image, str | os.PathLike | bytes | bytearray | np.ndarray | PILImage.Image
                      | Tensor)


def read_images(images: Sequence[Image], name: str, load: Callable[[dict], dict]
                ) -> tuple[list[np.ndarray], int]:
    """Read the dates of one sample as a dataset reads them.

    Args:
        images: One image, or the earlier and the later one.
        name: Name of the sample for messages.
        load: The config's ``LoadFrames``, which knows bands and scale.

    Returns:
        Frames uint8 (H, W, B), all of one size; and the number of pixels that hold no data at
        some date, 0 where that is not known (arrays, pictures and tensors do not say).

    Raises:
        FileNotFoundError: If a file is not there.
        TypeError: If something is no image; the message says what is accepted.
        ValueError: If a file cannot be read, or the dates differ in size, kind or grid.
    """
    with _as_files([_checked(image) for image in images]) as (images, folder):
        try:
            loaded = _load(images, name, load)
        except ValueError as error:
            raise ValueError(_message(error, name).replace(folder, '')) from error
    return loaded['frames'], loaded.get('nodata_pixels', 0)


@contextmanager
def _as_files(images: list[Path | Image]) -> Iterator[tuple[list[Path | Image], str]]:
    """Give bytes a file, so that the reader of files checks their grids and nodata values too.

    Yields the images, and the folder of these files, which no message should name; else ``''``.
    """
    if not any(isinstance(image, bytes | bytearray) for image in images):
        yield images, ''
        return
    with tempfile.TemporaryDirectory(prefix='rscc-') as folder:
        for number, image in enumerate(images):
            if isinstance(image, bytes | bytearray):
                # The ending makes the reader compare grids, which only TIFFs have.
                ending = '.tif' if image[:2] in (b'II', b'MM') else ''
                images[number] = Path(folder) / f'bytes of image {number + 1}{ending}'
                images[number].write_bytes(image)
        yield images, f'{folder}{os.sep}'


def _message(error: ValueError, name: str) -> str:
    """Return an error's text, with the options of inference where bands or scale are missing."""
    cause = error if isinstance(error, NeedsMapping) else error.__cause__
    if not isinstance(cause, NeedsMapping):
        return str(error)
    return (f"sample '{name}': {cause.flags} (in Python, bands and scale of ChangeInferencer). "
            'Bands are counted from 1 in the order red, green, blue, then any others; --scale '
            'takes the two values that become black and white, for all bands or for each, or '
            "'percentile'.")


def _load(images: list[Path | Image], name: str, load: Callable[[dict], dict]) -> dict:
    """Return what ``LoadFrames`` makes of files, or of frames of any kind."""
    sample = {'sample_id': name}
    if all(isinstance(image, Path) for image in images):
        keys = ('img_path',) if len(images) == 1 else ('img_path_from', 'img_path_to')
        return load(sample | {key: str(path) for key, path in zip(keys, images, strict=True)})
    frames = [_read(image, load.bands, load.scale) for image in images]
    if len({frame.ndim for frame in frames}) > 1:
        kinds = ' and the later one '.join('grey' if frame.ndim == 2 else 'RGB' for frame in frames)
        raise ValueError(f"the dates of sample '{name}' are of different kinds: the earlier one is "
                         f'{kinds}. Convert both to grey, or get the RGB version.')
    return load(sample | {'frames': [as_bands(frame) for frame in frames]})


def samples_of(img_from: str | None, img_to: str | None = None, path_list: str | None = None
               ) -> list[tuple[str, str | None]]:
    """Return the images or pairs that a command line names: files, folders, or a path list.

    Args:
        img_from: File or folder of the earlier image, or of single images.
        img_to: The later one; files of two folders belong together by name, whatever their ending.
        path_list: A list as ``tools/general/write_path.py`` writes; its paths count from the
            folder of the list, or from where the command is called.

    Raises:
        FileNotFoundError: If a file or folder is not there.
        ValueError: If folders hold no images, or images without a partner; the message names them.
    """
    if path_list is not None:
        base = Path(path_list).parent
        return [tuple(str(_listed(path, base)) for path in (pair.img_from, pair.img_to))
                for pair in read_path_list(path_list, label=False)]
    if not Path(img_from).is_dir():
        if img_to is not None and Path(img_to).is_dir():
            raise ValueError(f"'{img_to}' is a folder and '{img_from}' is none: give two files or "
                             'two folders')
        missing = [path for path in (img_from, img_to) if path and not Path(path).is_file()]
        if missing:
            raise FileNotFoundError(f"no image at '{missing[0]}'")
        return [(img_from, img_to)]
    if img_to is None:
        return [(str(path), None) for path in _images_in(img_from).values()]
    return _matched(img_from, img_to)


def _matched(img_from: str, img_to: str) -> list[tuple[str, str]]:
    """Pair the files of two folders by their names without endings."""
    if not Path(img_to).is_dir():
        raise ValueError(f"'{img_from}' is a folder and '{img_to}' is none: give two files or two "
                         'folders')
    earlier, later = _images_in(img_from), _images_in(img_to)
    alone = [sorted(set(earlier) - set(later)), sorted(set(later) - set(earlier))]
    if any(alone):
        found = ' and '.join(
            f"{len(names)} of {len(images)} images in '{folder}' ({', '.join(names[:3])}"
            f"{', ...' if len(names) > 3 else ''})" for names, images, folder
            in zip(alone, (earlier, later), (img_from, img_to), strict=True) if names)
        raise ValueError(f'{found} have no image of the same name in the other folder. Names must '
                         'agree, endings may differ')
    return [(str(earlier[key]), str(later[key])) for key in sorted(earlier)]


def _images_in(folder: str) -> dict[str, Path]:
    """Return the images below a folder by their path in it without ending."""
    root = Path(folder)
    found = sorted(path for path in root.rglob('*')
                   if path.suffix.lower() in SUFFIXES and path.name[0] != '.'
                   and not path.is_dir())
    if not found:
        raise ValueError(f"no image in '{folder}': expected files ending in {sorted(SUFFIXES)}")
    by_name = {str(path.relative_to(root).with_suffix('')): path for path in found}
    if len(by_name) < len(found):
        raise ValueError(f"'{folder}' holds images that differ in their endings only: "
                         f'{len(found)} files, {len(by_name)} names')
    return by_name


def _listed(path: str, base: Path) -> Path:
    """Return where a path of a list is: beside the list, or from the working folder."""
    return base / path if (base / path).is_file() else Path(path)


def name_of(images: Sequence[Image]) -> str:
    """Return a sample's name for messages."""
    return ' -> '.join(Path(image).name if isinstance(image, str | os.PathLike)
                       else type(image).__name__ for image in images)


def sources_of(images: Sequence[Image]) -> tuple[str, ...]:
    """Return the paths of images that are files; empty where one is not."""
    paths = [str(image) for image in images if isinstance(image, str | os.PathLike)]
    return tuple(paths) if len(paths) == len(images) else ()


def resolution_of(sources: Sequence[str]) -> float | None:
    """Return about how many metres a pixel of the earliest image covers; None where unknown."""
    for source in sources[:1]:
        try:
            return pixel_side(read_header(source))
        except (OSError, ValueError):
            return None
    return None


def _checked(image: object) -> Path | Image:
    """Return the image, a path as Path, or raise TypeError."""
    if isinstance(image, str | os.PathLike):
        if Path(image).is_dir():
            raise IsADirectoryError(f"'{image}' is a folder; an image was expected. Give the files "
                                    'in it, or folders to tools/infer.py')
        return Path(image)
    if not is_image(image):
        raise TypeError(f'an image cannot be a {type(image).__name__}; expected {ACCEPTED}')
    return image


def _read(image: Path | Image, bands: Sequence[int] | None, scale: Scale | None) -> np.ndarray:
    """Return one frame in its own kind, uint8 (H, W, B) or (H, W)."""
    if isinstance(image, Path):
        return read_frame(image, bands, scale)
    alpha = isinstance(image, PILImage.Image) and image.mode == 'RGBA'
    if isinstance(image, PILImage.Image):
        image = _of_picture(image)
    elif isinstance(image, Tensor):
        image = _of_tensor(image)
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f'an array of shape {image.shape} is no image; expected (H, W, 3), '
                         '(H, W, B) or (H, W)')
    if image.ndim == 3 and image.shape[0] <= _MOST_BANDS < image.shape[2]:
        raise ValueError(f'an array of shape {image.shape} seems to have its bands first, as '
                         'rasterio reads them; expected (H, W, B): np.moveaxis(image, 0, -1)')
    return as_frame(image, 'array', bands, scale, alpha)


def _of_picture(picture: PILImage.Image) -> np.ndarray:
    """Return the pixels of a PIL image, upright."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode in ('P', '1', 'CMYK', 'YCbCr', 'LAB', 'HSV', 'PA', 'LA'):
        picture = picture.convert('RGB')
    return np.asarray(picture)


def _of_tensor(tensor: Tensor) -> np.ndarray:
    """Return a tensor (B, H, W), (H, W, 3) or (H, W) as an array with the channels last.

    Of more than four bands, the first axis is theirs where it is the shortest.
    """
    array = tensor.detach().cpu().numpy()
    if array.ndim == 3 and (array.shape[0] in _CHANNELS or (
            array.shape[2] not in _CHANNELS and array.shape[0] < min(array.shape[1:]))):
        array = np.moveaxis(array, 0, -1)
    if np.issubdtype(array.dtype, np.floating):
        raise ValueError(f'a tensor of {tensor.dtype} has no known range; expected uint8, 0 to 255'
                         ': (255 * images).round().to(torch.uint8) where it is 0 to 1')
    return np.ascontiguousarray(array)
