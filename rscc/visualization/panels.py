"""Panels of samples: one picture with both dates, masks, a legend and the captions."""
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.dist import master_only
from mmengine.structures import BaseDataElement
from mmengine.visualization import Visualizer
from PIL import Image, ImageDraw

from rscc.rasters.image_files import as_rgb
from rscc.registry import VISUALIZERS
from rscc.text.doubts import doubt_lines
from rscc.text.land_cover import class_text
from rscc.visualization.fonts import find_cjk_font, font_for, has_cjk, wrap
from rscc.visualization.overlays import (
    IGNORE,
    check_mask,
    class_palette,
    overlay_mask,
    tint_palette,
)

#: Words of the pictures and reports, per language.
LABELS = {
    'en': {
        'frames': ('Before', 'After'), 'single': 'Image', 'date': 'Date {}', 'gt': 'Reference',
        'pred': 'Prediction', 'references': 'Reference sentences', 'none': 'nothing changed',
        'compare': 'Drag to compare', 'blink': 'blink', 'agreement': 'Agreement of {} sentences',
        'abstained': 'abstained', 'doubt': 'abstained: the sentences drawn agree too little',
        'trajectory': 'Denoising trajectory', 'noise': 'noise', 'steps': '{} steps',
        'kinds': ('not final', 'final', 'new and final', 'new'),
        'dates': {'from': 'Predicted, before', 'to': 'Predicted, after',
                  'gt_from': 'Reference, before', 'gt_to': 'Reference, after'},
    },
    'zh': {
        'frames': ('前时相', '后时相'), 'single': '影像', 'date': '时相 {}', 'gt': '参考标注',
        'pred': '预测结果', 'references': '参考描述', 'none': '没有变化',
        'compare': '拖动对比', 'blink': '闪烁', 'agreement': '{} 个采样句的一致度',
        'abstained': '弃答', 'doubt': '弃答：采样句之间一致度过低',
        'trajectory': '去噪轨迹', 'noise': '噪声', 'steps': '{} 步',
        'kinds': ('未定', '已定', '新出现且已定', '新出现'),
        'dates': {'from': '预测（前时相）', 'to': '预测（后时相）',
                  'gt_from': '参考（前时相）', 'gt_to': '参考（后时相）'},
    },
}
_MARGIN, _GAP, _MIN_WIDTH, _MIN_TILE, _MAX_TILE = 20, 12, 620, 256, 512
_INK, _SOFT, _ACCENT, _PAPER, _LINE = ((28, 32, 38), (104, 112, 122), (12, 98, 168),
                                       (255, 255, 255), (222, 226, 230))
#: Colour of a risk of error that is not low, by its grade.
_DOUBTED = {'medium': (122, 82, 0), 'high': (169, 48, 24)}


def draw_panel(frames: Sequence[np.ndarray],
               *,
               gt_mask: np.ndarray | None = None,
               pred_mask: np.ndarray | None = None,
               references: Sequence[str] | None = None,
               prediction: str | Sequence[str] | None = None,
               title: str | None = None,
               palette: Sequence | None = None,
               classes: Sequence[str] | None = None,
               language: str | None = None,
               doubts: Mapping[str, Any] | None = None,
               class_maps: Mapping[str, np.ndarray] | None = None,
               semantic_palette: Sequence | None = None,
               semantic_classes: Sequence[str] | None = None) -> np.ndarray:
    """Draw one sample: its dates, masks over the last date, a legend, and the sentences.

    Args:
        frames: uint8 images (H, W, B), earliest first; one for single images. Of more than three
            bands the first three are shown.
        gt_mask: Reference classes (h, w), 255 = not judged; None leaves its tile out.
        pred_mask: Predicted classes (h, w); None leaves its tile out.
        references: Sentences by people.
        prediction: The model's sentence, or several, one in each language.
        title: A line on top, the sample's name for instance.
        palette: RGB per class, class 0 (unchanged) first.
        classes: Class names, class 0 first.
        language: ``'en'`` or ``'zh'`` for the labels; None decides by the sentences. Without a
            Chinese font on this machine, labels are English.
        doubts: Language of a sentence -> ``Doubt`` about it, written below the predictions.
        class_maps: Predicted classes of the dates (h, w), by ``'from'`` and ``'to'``, and those of
            the reference by ``'gt_from'`` and ``'gt_to'``; drawn in a row of their own.
        semantic_palette: RGB per value of the class maps, 0 (none) first.
        semantic_classes: Names of these values.

    Returns:
        uint8 RGB (height, width, 3).

    Raises:
        ValueError: If there is no frame, a frame is not uint8 (H, W, B), or the language is
            unknown.
    """
    frames = [_check_frame(frame, index) for index, frame in enumerate(frames)]
    if not frames:
        raise ValueError('draw_panel got no frame; expected at least one uint8 RGB image (H, W, 3)')
    predictions = [prediction] if isinstance(prediction, str) else list(prediction or ())
    sentences = [*(references or ()), *predictions]
    words = _labels(language, sentences)
    tiles = _tiles(frames, gt_mask, pred_mask, palette, words)
    shown = [check_mask(mask) for mask in (gt_mask, pred_mask) if mask is not None]
    shown_in = 'zh' if words is LABELS['zh'] else 'en'
    legend = _legend(shown, palette, classes, shown_in) if shown else None
    maps = _class_tiles(class_maps or {}, tiles[0][1].size, semantic_palette, words)
    widest = max((tiles, maps), key=len)
    width = max(_MIN_WIDTH, 2 * _MARGIN + sum(tile.width for _, tile in widest)
                + _GAP * (len(widest) - 1))
    page = _Page(width)
    if title:
        page.text(title, 17, bold=True)
        page.skip(8)
    page.tiles(tiles)
    if legend is not None:
        page.legend(legend or [(words['none'], None)])
    if maps:
        page.tiles(maps)
        page.legend(_present([check_mask(classes) for classes in (class_maps or {}).values()],
                             semantic_palette, semantic_classes, shown_in))
    page.sentences(words, predictions, references, doubt_lines(doubts or {}, shown_in))
    return page.finish()


def panel_of_sample(frames: Sequence[np.ndarray],
                    data_sample: Any,
                    dataset_meta: dict | None = None,
                    title: str | None = None,
                    doubt: Any = None) -> np.ndarray:
    """Draw the panel of a ``ChangeDataSample``, with every field that it holds.

    Args:
        frames: uint8 images (H, W, B), earliest first.
        data_sample: References and predictions; every field may be absent.
        dataset_meta: ``classes``, ``palette`` and ``language`` of the dataset.
        title: A line on top; None takes the sample's id.
        doubt: A ``Doubt`` about the prediction.

    Returns:
        uint8 RGB (height, width, 3).
    """
    meta = dataset_meta or {}
    return draw_panel(
        frames,
        gt_mask=mask_of(data_sample, 'gt_sem_seg'),
        pred_mask=mask_of(data_sample, 'pred_sem_seg'),
        references=data_sample.get('gt_captions'),
        prediction=data_sample.get('pred_caption'),
        title=title if title is not None else data_sample.metainfo.get('sample_id'),
        palette=meta.get('palette'),
        classes=meta.get('classes'),
        language=meta.get('language'),
        doubts={} if doubt is None else {'': doubt},
        class_maps=class_maps_of(data_sample),
        semantic_palette=meta.get('semantic_palette'),
        semantic_classes=meta.get('semantic_classes'))


def class_maps_of(data_sample: Any) -> dict[str, np.ndarray]:
    """Return the class maps of both dates that a sample has, by the keys of ``draw_panel``."""
    fields = {'gt_from': 'gt_sem_seg_from', 'gt_to': 'gt_sem_seg_to', 'from': 'pred_sem_seg_from',
              'to': 'pred_sem_seg_to'}
    found = {name: mask_of(data_sample, field) for name, field in fields.items()}
    return {name: classes for name, classes in found.items() if classes is not None}


def class_map_folder(name: str) -> str:
    """Return the folder in which a test writes the class maps of this name."""
    return f'reference_classes_{name[3:]}' if name.startswith('gt_') else f'classes_{name}'


def mask_of(data_sample: Any, field: str) -> np.ndarray | None:
    """Return ``gt_sem_seg``, ``pred_sem_seg`` or a class map as integers (H, W), None if absent.

    Padding that the batch put around a reference mask is cut off again.
    """
    pixels = data_sample.get(field)
    if pixels is None:
        return None
    data = pixels.data
    data = data.detach().cpu().numpy() if hasattr(data, 'detach') else np.asarray(data)
    mask = check_mask(data, field)
    shape, padded = data_sample.get('img_shape'), data_sample.get('pad_shape')
    if field.startswith('gt_') and padded is not None and mask.shape == tuple(padded[:2]):
        mask = mask[:shape[0], :shape[1]]
    return mask


def _check_frame(frame: np.ndarray, index: int) -> np.ndarray:
    frame = np.asarray(frame)
    if frame.dtype != np.uint8 or frame.ndim != 3 or not frame.shape[2]:
        raise ValueError(f'frame {index} is {frame.dtype} {frame.shape}; expected uint8 '
                         '(H, W, B), B = 3 for RGB')
    return as_rgb(frame)


def frame_names(count: int, words: dict) -> list[str]:
    """Return the names of a sample's frames, earliest first, among the words of ``LABELS``."""
    if count == 1:
        return [words['single']]
    between = [words['date'].format(number) for number in range(2, count)]
    return [words['frames'][0], *between, words['frames'][1]]


def _labels(language: str | None, sentences: Sequence[str]) -> dict:
    """Choose the words of the panel; Chinese ones only where they can be drawn."""
    if language not in (None, *LABELS):
        raise ValueError(f"no panel labels for language '{language}'; known: {sorted(LABELS)}")
    chinese = language == 'zh' or (language is None and any(map(has_cjk, sentences)))
    return LABELS['zh' if chinese and find_cjk_font() is not None else 'en']


def _tiles(frames: list[np.ndarray], gt_mask: np.ndarray | None, pred_mask: np.ndarray | None,
           palette: Sequence | None, words: dict) -> list[tuple[str, Image.Image]]:
    """Scale the frames to a readable size and lay the masks over the last one."""
    height, width = frames[-1].shape[:2]
    longer = max(height, width)
    scale = min(max(longer, _MIN_TILE), _MAX_TILE) / longer
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    scaled = [Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC) for frame in frames]
    tiles = list(zip(frame_names(len(frames), words), scaled, strict=True))
    for name, mask in (('gt', gt_mask), ('pred', pred_mask)):
        if mask is not None:
            drawn = overlay_mask(np.asarray(scaled[-1]), mask, palette)
            tiles.append((words[name], Image.fromarray(drawn)))
    return tiles


def _class_tiles(class_maps: Mapping[str, np.ndarray], size: tuple[int, int],
                 palette: Sequence | None, words: dict) -> list[tuple[str, Image.Image]]:
    """Draw class maps in their colours, each pixel as it is, at the size of the other tiles."""
    highest = max((int(classes.max(initial=0)) for classes in class_maps.values()), default=0)
    colours = np.uint8(class_palette(highest + 1, palette))
    return [(words['dates'][name], Image.fromarray(colours[check_mask(classes)]).resize(
        size, Image.Resampling.NEAREST)) for name, classes in class_maps.items()]


def _present(masks: list[np.ndarray], palette: Sequence | None, classes: Sequence[str] | None,
             language: str) -> list[tuple[str, tuple[int, int, int]]]:
    """Return name and colour of every class that occurs in class maps."""
    found = sorted({int(value) for mask in masks for value in np.unique(mask)} - {0})
    colours = class_palette(max(found, default=0) + 1, palette)
    return [(_name(value, classes, language), colours[value]) for value in found]


def _legend(masks: list[np.ndarray], palette: Sequence | None,
            classes: Sequence[str] | None, language: str
            ) -> list[tuple[str, tuple[int, int, int]]]:
    """Return name and colour of every class; unnamed ones only if they occur."""
    present = sorted({int(v) for mask in masks for v in np.unique(mask)} - {0, IGNORE})
    count = max([len(classes or ()), *(value + 1 for value in present)])
    colours = tint_palette(count, palette)
    listed = range(1, count) if classes else present
    return [(_name(value, classes, language), colours[value]) for value in listed]


def _name(value: int, classes: Sequence[str] | None, language: str) -> str:
    """Return the name of a value as a legend shows it."""
    if value < len(classes or ()):
        return class_text(classes[value], language)
    return f'类别 {value}' if language == 'zh' else f'class {value}'


class _Page:
    """A white page of fixed width that grows downwards."""

    def __init__(self, width: int):
        self.width, self.y = width, _MARGIN
        self.canvas = Image.new('RGB', (width, 64), _PAPER)

    def skip(self, pixels: int) -> None:
        self.y += pixels

    def finish(self) -> np.ndarray:
        return np.asarray(self._grown(self.y + _MARGIN).crop((0, 0, self.width, self.y + _MARGIN)))

    def _grown(self, height: int) -> Image.Image:
        if height > self.canvas.height:
            taller = Image.new('RGB', (self.width, max(height, 2 * self.canvas.height)), _PAPER)
            taller.paste(self.canvas)
            self.canvas = taller
        return self.canvas

    def text(self, text: str, size: int, colour: tuple = _INK, bold: bool = False,
             indent: int = 0) -> None:
        """Write wrapped lines at the left margin and move below them."""
        font = font_for(text, size, bold)
        for line in wrap(text, font, self.width - 2 * _MARGIN - indent):
            canvas = self._grown(self.y + 2 * size)
            ImageDraw.Draw(canvas).text((_MARGIN + indent, self.y), line, colour, font)
            self.y += round(1.45 * size)

    def tiles(self, tiles: list[tuple[str, Image.Image]]) -> None:
        """Place the images in one row, each under its name."""
        x, height = _MARGIN, max(tile.height for _, tile in tiles)
        canvas = self._grown(self.y + 24 + height)
        draw = ImageDraw.Draw(canvas)
        for name, tile in tiles:
            draw.text((x, self.y), name, _SOFT, font_for(name, 14))
            canvas.paste(tile, (x, self.y + 24))
            x += tile.width + _GAP
        self.y += 24 + height + 12

    def legend(self, entries: list[tuple[str, tuple | None]]) -> None:
        """Write the classes with their colours, several in a row."""
        x = _MARGIN
        for name, colour in entries:
            font = font_for(name, 13)
            needed = font.getlength(name) + (22 if colour else 0)
            if x > _MARGIN and x + needed > self.width - _MARGIN:
                x, self.y = _MARGIN, self.y + 24
            draw = ImageDraw.Draw(self._grown(self.y + 32))
            if colour:
                draw.rounded_rectangle((x, self.y + 2, x + 14, self.y + 15), 3, colour)
            draw.text((x + (22 if colour else 0), self.y), name, _SOFT, font)
            x += round(needed) + 20
        self.y += 28

    def sentences(self, words: dict, predictions: Sequence[str],
                  references: Sequence[str] | None,
                  doubts: Sequence[tuple[str, str]] = ()) -> None:
        """Write the predictions large with the doubt about them, then the references as a list."""
        if not predictions and not references:
            return
        draw = ImageDraw.Draw(self._grown(self.y + 20))
        draw.line((_MARGIN, self.y, self.width - _MARGIN, self.y), _LINE)
        self.y += 14
        if predictions:
            self.text(words['pred'], 13, _ACCENT)
            for prediction in predictions:
                self.text(prediction or '—', 17)
            for grade, line in doubts:
                self.text(line, 13, _DOUBTED.get(grade, _SOFT))
            self.skip(8)
        if references:
            self.text(words['references'], 13, _SOFT)
            for sentence in references:
                top = self.y
                self.text(sentence, 14, _INK, indent=16)
                bullet = (_MARGIN + 2, top + 7, _MARGIN + 6, top + 11)
                ImageDraw.Draw(self.canvas).ellipse(bullet, _SOFT)


@VISUALIZERS.register_module()
class ChangeVisualizer(Visualizer):
    """MMEngine's visualizer that draws samples of change detection and captioning.

    Scalars reach the same backends from MMEngine's ``LoggerHook``.

    Example:
        ``visualizer = dict(type='ChangeVisualizer', vis_backends=[dict(type='LocalVisBackend'),
        dict(type='TensorboardVisBackend')])``
    """

    @master_only
    def add_datasample(self,
                       name: str,
                       frames: Sequence[np.ndarray],
                       data_sample: BaseDataElement,
                       step: int = 0) -> None:
        """Draw one sample and send the picture to every backend.

        Args:
            name: The picture's name in the backends; no slashes, local files are named by it.
            frames: uint8 images (H, W, B), earliest first.
            data_sample: References and predictions, a ``ChangeDataSample``.
            step: Training iteration or epoch.
        """
        self.add_image(name, panel_of_sample(frames, data_sample, self.dataset_meta), step=step)
