"""Captioned datasets of single images: Sydney-captions, UCM-captions and RSICD."""
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from rscc.datasets.base import ChangeDataset
from rscc.registry import DATASETS
from rscc.text.normalisation import check_language
from rscc.utils import did_you_mean, resolve_data_root

ORIGINAL, MODIFIED = 'original', 'modified'


class SingleImageDataset(ChangeDataset):
    """Base of the datasets with one image and some captions a sample.

    The annotations are found under their published names, which depend on language and release.
    ``metainfo['name']`` tells datasets apart whose scores must not be compared: ``'ucm'``,
    ``'ucm_cn'``, ``'ucm_modified'``.

    A corrected re-release is a dataset of its own, not another copy: its references differ. It is
    asked for by name, ``release='modified'`` (github.com/120343/modified), and its results carry
    that name.

    Args:
        data_root: See ``ChangeDataset``.
        ann_file: Annotation file in ``data_root``; None takes the published name.
        release: ``'original'`` or ``'modified'``; by default what the name of ``ann_file`` tells,
            else the original.
        language: ``'en'`` or ``'zh'``.
        languages: See ``ChangeDataset``; the published Chinese files hold the English captions
            too, so these are read where Chinese is among them.
        img_path: See ``ChangeDataset``.
        **kwargs: See ``ChangeDataset``.

    Raises:
        ValueError: If release or language is unknown, or a release lacks the language.
    """
    METAINFO: ClassVar[dict] = {'task': 'single', 'classes': None, 'palette': None}
    #: Key of the dataset, in file names and results.
    KEY = 'single'
    #: (release, language) -> names under which the annotations are found, the published one first.
    FILES: ClassVar[dict[tuple[str, str], tuple[str, ...]]] = {}

    def __init__(self, data_root: str = '', ann_file: str | None = None, *,
                 release: str | None = None, language: str = 'en',
                 languages: Sequence[str] | None = None, img_path: str | None = 'imgs/{filename}',
                 **kwargs):
        check_language(language)
        release = release or self.release_of(ann_file)
        names = self.published(release, 'zh' if 'zh' in (languages or ()) else language)
        self.release = release
        told = {'name': self.KEY + ('' if release == ORIGINAL else f'_{release}')
                + ('_cn' if language == 'zh' else ''), 'release': release}
        kwargs['metainfo'] = {**told, **(kwargs.get('metainfo') or {})}
        super().__init__(data_root, ann_file or existing(data_root, names), img_path=img_path,
                         language=language, languages=languages, **kwargs)

    @classmethod
    def release_of(cls, ann_file: str | None) -> str:
        """Return the release whose published name an annotation file has, the original if none's.

        A corrected file that is merely named must not pass for the original.
        """
        name = Path(ann_file or '').name.removesuffix('.gz')
        return next((release for (release, _), names in cls.FILES.items()
                     if name in {Path(known).name for known in names}), ORIGINAL)

    @classmethod
    def published(cls, release: str | None = None, language: str = 'en') -> tuple[str, ...]:
        """Return the names of an annotation file in the dataset's folder, the usual one first.

        Args:
            release: None is the original.
            language: ``'en'`` or ``'zh'``.

        Raises:
            ValueError: If there is no such release, or none in that language.
        """
        release = release or ORIGINAL
        releases = sorted({known for known, _ in cls.FILES}, reverse=True)
        if release not in releases:
            raise ValueError(f"{cls.TITLE} has no release '{release}': use one of {releases}."
                             f'{did_you_mean(release, releases)}')
        if (release, language) not in cls.FILES:
            languages = [known for name, known in cls.FILES if name == release]
            raise ValueError(f"the release '{release}' of {cls.TITLE} has no captions in "
                             f"'{language}', only in {languages}.")
        return cls.FILES[release, language]


def existing(data_root: str, names: tuple[str, ...]) -> str:
    """Return the first of the names that is there below ``data_root``, else the first of all."""
    found = (name for name in names if (resolve_data_root(data_root, name) / Path(name)).is_file())
    return next(found, names[0])


@DATASETS.register_module()
class SydneyCaptionsDataset(SingleImageDataset):
    """Sydney-captions, 613 single images with five captions each, in English or Chinese.

    * Pictured: Sydney, Google Earth; 500x500 RGB at 0.5 m a pixel; 7 scene classes (residential,
      airport, meadow, river, ocean, industrial, runway).
    * Splits: train 497, val 58, test 58.
    * Layout: ``dataset.json`` or ``dataset_sydney_cn.json`` (Karpathy style) and ``imgs/*.tif``.
    * Captions: up to 20 words of 226 different ones; a quarter of the test captions stand in train
      word for word. Chinese ones (``language='zh'``, a file of its own that holds both languages)
      seem machine-translated; 30 of 3,065 end in ``.###``, which is cut off and counted.
    * ``raw`` and ``tokens`` disagree in 14 sentences, where only ``raw`` was corrected.
    * ``release='modified'``: a corrected re-release (160 sentences, nearly all in ``tokens``), a
      dataset of its own name.
    * Licence: research. Cite Qu et al., "Deep Semantic Understanding of High Resolution Remote
      Sensing Image", CITS 2016. Chinese: Song et al., IEEE Access 2025 (github.com/bgno1/
      clipcap_rsic).

    See ``SingleImageDataset`` and ``ChangeDataset`` for the arguments.
    """
    METAINFO: ClassVar[dict] = SingleImageDataset.METAINFO | {'image_size': (500, 500),
                                                               'ground_resolution': 0.5}
    TITLE = 'Sydney-captions'
    ANCHOR = 'sydney-captions'
    KEY = 'sydney'
    FILES: ClassVar[dict] = {
        (ORIGINAL, 'en'): ('dataset.json', 'dataset_sydney.json'),
        (ORIGINAL, 'zh'): ('dataset_sydney_cn.json',),
        (MODIFIED, 'en'): ('dataset_sydney_modified.json',),
    }

    def __init__(self, data_root: str = 'Sydney_captions', ann_file: str | None = None, **kwargs):
        super().__init__(data_root, ann_file, **kwargs)


@DATASETS.register_module()
class UCMCaptionsDataset(SingleImageDataset):
    """UCM-captions, 2,100 single images with five captions each, in English or Chinese.

    * Pictured: the 21 land use classes of UC Merced, 100 images each, USGS aerial photographs;
      256x256 RGB at 0.3 m a pixel.
    * Splits: train 1,680, val 210, test 210.
    * Layout: ``dataset.json`` or ``dataset_ucm_cn.json`` (Karpathy style) and ``imgs/*.tif``.
    * Captions: up to 22 words of about 340 different ones; more than half of the val and
      test captions stand in train word for word, so retrieval scores well.
    * ``raw`` and ``tokens`` disagree in 164 sentences, where typing errors were corrected in
      ``raw`` only: keep ``text_from='raw'``.
    * ``release='modified'``: a corrected re-release (374 sentences, nearly all in ``tokens``), a
      dataset of its own name.
    * Licence: research. Cite Qu et al., "Deep Semantic Understanding of High Resolution Remote
      Sensing Image", CITS 2016. Chinese: Song et al., IEEE Access 2025.

    See ``SingleImageDataset`` and ``ChangeDataset`` for the arguments.
    """
    METAINFO: ClassVar[dict] = SingleImageDataset.METAINFO | {'image_size': (256, 256),
                                                               'ground_resolution': 0.3}
    TITLE = 'UCM-captions'
    ANCHOR = 'ucm-captions'
    KEY = 'ucm'
    FILES: ClassVar[dict] = {
        (ORIGINAL, 'en'): ('dataset.json', 'dataset_ucm.json'),
        (ORIGINAL, 'zh'): ('dataset_ucm_cn.json',),
        (MODIFIED, 'en'): ('dataset_ucm_modified.json',),
    }

    def __init__(self, data_root: str = 'UCM_captions', ann_file: str | None = None, **kwargs):
        super().__init__(data_root, ann_file, **kwargs)


@DATASETS.register_module()
class RSICDDataset(SingleImageDataset):
    """RSICD, 10,921 single images with about five captions each, in English or Chinese.

    * Pictured: 30 scene classes from Google Earth, Baidu Map, MapABC and Tianditu; 224x224 RGB,
      various resolutions.
    * Splits: train 8,734, val 1,093, test 1,094 (val and test exchanged in some copies).
    * Layout: ``annotations_rsicd/dataset_rsicd.json`` or ``dataset_rsicd_cn.json`` (Karpathy style;
      also found right in the folder) and ``RSICD_images/*.jpg``. Files in COCO style have no
      splits: pass ``split=None``.
    * Known defects: typos and ungrammatical sentences; many images had fewer than five captions,
      which were filled up by repeating (24,333 different sentences in all).
    * ``release='modified'``: a corrected re-release (7,166 sentences), a dataset of its own name;
      scores on it are not comparable.
    * Licence: research. Cite Lu et al., "Exploring Models and Data for Remote Sensing Image Caption
      Generation", TGRS 2018. Chinese: Song et al., IEEE Access 2025.

    See ``SingleImageDataset`` and ``ChangeDataset`` for the arguments.
    """
    METAINFO: ClassVar[dict] = SingleImageDataset.METAINFO | {'image_size': (224, 224)}
    TITLE = 'RSICD'
    ANCHOR = 'rsicd'
    KEY = 'rsicd'
    FILES: ClassVar[dict] = {
        (release, language): (f'annotations_rsicd/{name}', name) for release, language, name in (
            (ORIGINAL, 'en', 'dataset_rsicd.json'), (ORIGINAL, 'zh', 'dataset_rsicd_cn.json'),
            (MODIFIED, 'en', 'dataset_rsicd_modified.json'))}

    def __init__(self, data_root: str = 'RSICD', ann_file: str | None = None, *,
                 img_path: str | None = 'RSICD_images/{filename}', **kwargs):
        super().__init__(data_root, ann_file, img_path=img_path, **kwargs)
