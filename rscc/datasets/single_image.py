"""What the captioned datasets of single images share: file names by language and release."""
from pathlib import Path
from typing import ClassVar

from rscc.datasets.base import ChangeDataset
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
                 img_path: str | None = 'imgs/{filename}', **kwargs):
        check_language(language)
        release = release or self.release_of(ann_file)
        names = self.published(release, language)
        self.release = release
        facts = {'name': self.KEY + ('' if release == ORIGINAL else f'_{release}')
                 + ('_cn' if language == 'zh' else ''), 'release': release}
        kwargs['metainfo'] = {**facts, **(kwargs.get('metainfo') or {})}
        super().__init__(data_root, ann_file or existing(data_root, names), img_path=img_path,
                         language=language, **kwargs)

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
