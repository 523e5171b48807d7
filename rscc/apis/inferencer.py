"""A trained model as a function: images in, mask and sentences out."""
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from mmengine.config import Config

from rscc.config.stored import StoredConfig
from rscc.deployment.publishing import Published, PublishOptions, publish
from rscc.evaluation.calibration import calibration_for
from rscc.evaluation.doubt import Doubt, Evidence
from rscc.evaluation.functional.consistency import MapFacts
from rscc.inference.inputs import (
    ACCEPTED,
    Image,
    is_image,
    name_of,
    read_images,
    resolution_of,
    sources_of,
)
from rscc.inference.model_pass import ModelPass
from rscc.inference.result import InferenceResult, Processing
from rscc.inference.windows import WindowedImage, merge_captions
from rscc.rasters.scales import Scale
from rscc.structures import ChangeDataSample, ScoredCaption
from rscc.text.normalisation import stock_sentences

#: Images that are read while the model computes.
_READERS = 2


class ChangeInferencer:
    """Answers images or pairs of any size with a trained model.

    Neither the dataset nor its vocabulary file has to be there: class names, colours and words
    come from the checkpoint, the preparation of images from the config's test pipeline. An image
    larger than those of the training is answered in windows that cover what a training image
    covered, see :mod:`rscc.inference.windows`.

    Example:
        >>> inferencer = ChangeInferencer('rscc-small')  # or 'work_dirs/blip_synth/epoch_20.pth'
        >>> result = inferencer('before.tif', 'after.tif', num_beams=3)
        >>> result.caption, result.mask.shape, str(result.processing)

    Args:
        model: The name of a published model (``'rscc-small'`` comes with rscc), a checkpoint that
            ``tools/train.py`` wrote, the folder of either, a hub repository in the local cache
            (``'owner/name'``), or the path or name of a config whose checkpoint lies in
            ``work_dirs/``. With ``checkpoint``: config file, ``Config``, or None for the one in
            the checkpoint (read as plain values, not executed).
        checkpoint: The checkpoint or published model, where ``model`` is the config.
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, ...; None takes the best one here.
        amp: Reduced precision where the device gains from it.
        fuse_conv_bn: Compute batch norms inside the convolutions before them: the same answers up
            to rounding, sooner.
        cfg_options: Settings of the config by dotted key, as ``--cfg-options`` of the tools.
        bands: Bands that are read, counted from 1: those that become red, green and blue, then any
            others that the model takes.
        scale: ``(low, high)`` values that become 0 and 255, one such pair for each band, or
            ``'percentile'``.
        window: Side of the windows in pixels of the image, in place of what a training image
            covered.
        overlap: Pixels that neighbouring windows share; a quarter of the window unless given.

    Attributes:
        model_pass: Preparation, model and precision, which the scene path shares.

    Raises:
        FileNotFoundError: If config or checkpoint is not there.
        ValueError: If they do not fit each other, an option is unknown, or the device not there.
    """

    def __init__(self, model: str | os.PathLike | Config | None,
                 checkpoint: str | os.PathLike | None = None, device: str | None = None,
                 amp: bool = False, fuse_conv_bn: bool = True, *,
                 cfg_options: Mapping[str, Any] | None = None, bands: Sequence[int] | None = None,
                 scale: Scale | None = None, window: int | None = None,
                 overlap: int | None = None) -> None:
        self.model_pass = ModelPass.of(model, checkpoint, device, amp, fuse_conv_bn, cfg_options,
                                  bands=bands, scale=scale, window=window, overlap=overlap)
        self._loaded = self.model_pass.loaded
        self.device, self.window = self.model_pass.device, self.model_pass.window
        self.model, self.meta = self._loaded.model, self._loaded.meta

    def __repr__(self) -> str:
        return (f"ChangeInferencer('{self._loaded.source}', {self.meta.get('task', 'pair')}, "
                f"{', '.join(self._loaded.heads) or type(self.model).__name__}, {self.device})")

    def __call__(self, img_from: Image | Sequence[Image],
                 img_to: Image | Sequence[Image] | None = None, *, batch_size: int = 8,
                 sentences: bool = True, probabilities: bool = False, **decoding: Any
                 ) -> InferenceResult | list[InferenceResult]:
        """Answer one image, one pair, or lists of them.

        Args:
            img_from: Earlier image, or the only one: a path, the bytes of a file, an array
                (H, W, 3), a PIL image or a tensor (3, H, W), uint8; of the bands that are chosen,
                an array (H, W, B) or a tensor (B, H, W) of any depth. Or a list of such.
            img_to: Later image of the same size, or a list as long as ``img_from``.
            batch_size: Windows that are answered at once; halved where memory does not suffice.
            sentences: Whether there are sentences; without them a model of several heads is
                faster.
            probabilities: Keep what the mask was decided from, in
                ``InferenceResult.probabilities``.
            **decoding: Over the config's, see :attr:`decoding`; ``language='zh'`` writes Chinese
                where the model knows it, ``language='both'`` fills ``InferenceResult.sentences``
                with those of all its languages, from one pass of the encoder;
                ``return_attention=True`` gives sentences with attention maps,
                ``return_trajectory=True`` those with a denoising trajectory, which
                ``InferenceResult.drawing`` shows. Of an image in several windows only the sentences
                in ``InferenceResult.windows`` have them, and only those are ``num_captions`` many.

        Returns:
            One result, or a list of them for lists.

        Raises:
            FileNotFoundError: If an image is not there.
            TypeError: If something else than an image is given.
            ValueError: If sizes or grids differ, one list is longer, the model reads another number
                of dates, its caption head cannot do what is asked, or ``batch_size`` is below 1.
        """
        if is_image(img_from):
            if img_to is not None and not is_image(img_to):
                raise ValueError('img_to is a list and img_from is not; give two lists of the same '
                                 'length, or two images')
            return next(self.answers([(img_from, img_to)], batch_size, sentences=sentences,
                                     probabilities=probabilities, **decoding))
        return list(self.answers(_pairs(img_from, img_to), batch_size, sentences=sentences,
                                 probabilities=probabilities, **decoding))

    def answers(self, samples: Iterable[tuple[Image, Image | None]], batch_size: int = 8,
                on_error: Callable[[tuple, Exception], None] | None = None, *,
                sentences: bool = True, probabilities: bool = False, **decoding: Any
                ) -> Iterator[InferenceResult]:
        """Yield the result of each image or pair, in order; no more than needed is in memory.

        Args:
            samples: (earlier, later) images, or (image, None).
            batch_size: Windows that are answered at once.
            on_error: Told of samples that cannot be read, which are then left out; without it the
                first one ends the loop.
            sentences: See :meth:`__call__`.
            probabilities: See :meth:`__call__`.
            **decoding: See :meth:`__call__`.
        """
        if not (isinstance(batch_size, int) and batch_size >= 1):
            raise ValueError(f'batch_size={batch_size!r}: expected a whole number, at least 1')
        if decoding and self._loaded.caption_head is None:
            raise ValueError('this model has no caption_head: the decoding options '
                             f'{sorted(decoding)} have nothing to act on')
        spoken = self._loaded.speak(decoding.get('language'))
        if decoding.get('language') is not None:
            decoding = {**decoding, 'language': spoken[0] if len(spoken) == 1 else spoken}
        jobs, waiting = self._windows(samples, batch_size, on_error, probabilities), []
        while chunk := list(islice(jobs, batch_size)):
            prepared = [self.model_pass.prepare(frames, name) for _, frames, name in chunk]
            describe = None if sentences else [_nothing] * len(prepared)
            answers = self.model_pass.answer(prepared, decoding, describe)
            for (image, *_), answer in zip(chunk, answers, strict=True):
                if not waiting or waiting[-1] is not image:
                    waiting.append(image)
                image.add(answer)
            while waiting and waiting[0].complete:
                yield self._result(waiting.pop(0), spoken)

    def save_pretrained(self, folder: str | os.PathLike, *, licence: str, name: str | None = None,
                        **options: Any) -> Published:
        """Save the checkpoint that this was loaded from as a folder that can be shared.

        Args:
            folder: Where; ``ChangeInferencer(folder)`` loads it again.
            licence: SPDX name of the licence of the weights.
            name: Of the model; None for the folder's.
            **options: As of :func:`rscc.apis.save_model`.

        Raises:
            ValueError: If the model needs other files to answer, or an option is wrong; nothing is
                written then.
        """
        config, checkpoint, overrides = self.origin
        return publish(config, checkpoint, folder, PublishOptions.of(
            folder, licence, name, **{'overrides': overrides, **options}))

    @property
    def origin(self) -> tuple[str | Config | None, str, dict[str, Any]]:
        """What it was loaded from: config (None: the checkpoint's own), checkpoint, overrides."""
        cfg = self._loaded.cfg
        config = None if isinstance(cfg, StoredConfig) else cfg.filename or cfg
        return config, self._loaded.source, dict(self._loaded.overrides)

    @property
    def checkpoint(self) -> str:
        """The checkpoint's path, or the name of the published model."""
        return self._loaded.source

    @property
    def title(self) -> str:
        """The model that answers, in one line: name, architecture or config, size, licence."""
        return str(self._loaded)

    @property
    def decoding(self) -> dict[str, Any]:
        """Decoding options of the caption head with the config's values; none without a head."""
        head = self._loaded.caption_head
        return {} if head is None else head.decoding.as_dict()

    def _windows(self, samples: Iterable[tuple[Image, Image | None]], ahead: int,
                 on_error: Callable[[tuple, Exception], None] | None, probabilities: bool
                 ) -> Iterator[tuple[WindowedImage, list[np.ndarray], str]]:
        """Yield every window of every image; the next images are read meanwhile, in threads."""
        samples = iter(samples)
        with ThreadPoolExecutor(_READERS) as pool:
            def start(count: int) -> list[tuple]:
                return [(sample, pool.submit(self._read, self._dates(sample), probabilities))
                        for sample in islice(samples, count)]

            reading = start(ahead)
            while reading:
                sample, future = reading.pop(0)
                reading += start(1)
                try:
                    image = future.result()
                except (OSError, ValueError) as error:
                    if on_error is None:
                        raise
                    on_error(sample, error)
                    continue
                yield from ((image, frames, image.name) for frames in image.windows())

    def _dates(self, sample: tuple[Image, Image | None]) -> list[Image]:
        """Return the images of a sample; another number than the model's is no unreadable file."""
        images = [image for image in sample if image is not None]
        expected = {'pair': 2, 'single': 1}.get(self.meta.get('task'), len(images))
        if len(images) != expected:
            wanted, given = ('pairs', 'img_to is missing') if expected == 2 else (
                'single images', 'img_to was given too')
            raise ValueError(f'this model reads {wanted}; {given}')
        return images

    def _read(self, images: list[Image], probabilities: bool) -> WindowedImage:
        """Read the dates of a sample as the model's dataset would."""
        name = name_of(images)
        frames, nodata = read_images(images, name, self.model_pass.load)
        return WindowedImage(frames, self.window, self._loaded.threshold, name,
                             sources_of(images), nodata, probabilities,
                             self._loaded.same_class)

    def _sentences(self, image: WindowedImage, languages: Sequence[str | None]
                   ) -> tuple[dict[str, list[ScoredCaption]], int]:
        """Return the sentences about an image by language, and how many windows they are of."""
        found, told = {}, 1
        for language in languages:
            name = language or 'en'
            answers = [answer.in_language(language) for answer in image.answers]
            captions = answers[0].captions
            if len(image) > 1:
                captions, counted = merge_captions(answers, name, stock_sentences(self.meta, name),
                                                   self.meta.get('task') != 'single')
                told = counted if not found else told
            found[name] = captions
        return {name: captions for name, captions in found.items() if captions}, told

    def _doubts(self, image: WindowedImage, sentences: Mapping[str, Sequence[ScoredCaption]],
                flags: Sequence[float]) -> dict[str, Doubt]:
        """Return how far the best sentence of each language is to be doubted, or the map alone."""
        classes, facts = self.meta.get('classes') or (), None
        if image.mask is not None:
            # Of an image in several windows, shares are those of one: a house is a change there.
            window = image.answers[0].box
            facts = MapFacts.of(image.mask, classes, pixels=(window[2] - window[0])
                                * (window[3] - window[1]) if len(image) > 1 else None)
        known = [answer.novelty for answer in image.answers if answer.novelty is not None]
        evidence = partial(
            Evidence.of, stock=partial(stock_sentences, self.meta), task=self.meta.get('task'),
            map_facts=facts, probability=max(flags) if flags else None, places=len(image) == 1,
            novelty=max(known, default=None), resolution=resolution_of(image.sources),
            trained=self.meta.get('ground_resolution'))
        if not sentences:
            return {self.meta.get('language') or 'en': evidence({}).doubt(
                calibration_for(self._loaded.calibration, None))}
        # The sentence that is doubted comes first; those of the other languages may contradict it.
        return {language: evidence({language: said, **sentences}).doubt(
            calibration_for(self._loaded.calibration, language))
            for language, said in sentences.items()}

    def _result(self, image: WindowedImage, languages: Sequence[str | None]) -> InferenceResult:
        sentences, merged = self._sentences(image, languages)
        flags = [answer.change_probability for answer in image.answers
                 if answer.change_probability is not None]
        processing = Processing.of(image, self.window, self.model_pass.load.bands,
                                   self.model_pass.load.scale)
        return InferenceResult(
            frames=image.frames, mask=image.mask, captions=next(iter(sentences.values()), []),
            change_probability=max(flags) if flags else None,
            classes=tuple(self.meta.get('classes') or ()), palette=self.meta.get('palette'),
            language=languages[0],
            processing=replace(processing, told_by=merged,
                               normalisation=self._loaded.normalisation),
            windows=image.answers, sources=image.sources, probabilities=image.probabilities,
            sentences=sentences, doubts=self._doubts(image, sentences, flags),
            **self._semantic(image),
            rendered=bool(self.meta.get('rendered')))

    def _semantic(self, image: WindowedImage) -> dict[str, Any]:
        """Return the class maps of both dates with their names, nothing where there are none."""
        if image.date_maps is None:
            return {}
        earlier, later = image.date_maps
        return dict(classes_from=earlier, classes_to=later,
                    semantic_classes=tuple(self.meta.get('semantic_classes') or ()),
                    semantic_palette=self.meta.get('semantic_palette'),
                    ground_resolution=resolution_of(image.sources))


def _nothing(_: ChangeDataSample) -> bool:
    """Choose no window to be put into words."""
    return False


def _pairs(img_from: Sequence[Image], img_to: Sequence[Image] | Image | None
           ) -> list[tuple[Image, Image | None]]:
    if not isinstance(img_from, Sequence):
        raise TypeError(f'an image cannot be a {type(img_from).__name__}; expected {ACCEPTED}, or '
                        'a list of such')
    if img_to is None:
        return [(image, None) for image in img_from]
    if not isinstance(img_to, Sequence) or is_image(img_to) or len(img_from) != len(img_to):
        found = 'one image' if is_image(img_to) or not isinstance(img_to, Sequence) else (
            f'{len(img_to)} images')
        raise ValueError(f'img_from lists {len(img_from)} images, img_to is {found}; expected a '
                         'list of the same length')
    return list(zip(img_from, img_to, strict=True))
