"""The complete real annotations of single-image datasets, and what is counted on them."""
import gzip
import json

import pytest

from rscc.evaluation.functional.captioning import CaptionCorpus


def need(samples, *parts):
    """Return a path among the real samples, or skip."""
    path = samples.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no real annotations at '{path}'")
    return path


def load(kind, folder, **options):
    """Build all splits of a dataset whose images are not there."""
    return {split: kind(str(folder), split=split, check_images=False, **options)
            for split in ('train', 'val', 'test')}


def captions_of(dataset):
    return [dataset.get_data_info(row)['gt_captions'] for row in range(len(dataset))]


def counts_of(splits):
    """Return images and sentences of every split."""
    return {split: (len(dataset), sum(map(len, captions_of(dataset))))
            for split, dataset in splits.items()}


def seen_in_train(splits, split):
    """Count the captions of a split that stand in train word for word."""
    train = {text for texts in captions_of(splits['train']) for text in texts}
    return sum(text in train for texts in captions_of(splits[split]) for text in texts)


def sentences_of(path, split=None):
    """Return the sentences (raw, tokens, ...) of every image as the file has them."""
    data = path.read_bytes()
    data = json.loads(gzip.decompress(data) if path.suffix == '.gz' else data)
    return [image['sentences'] for image in data['images'] if split in (None, image['split'])]


def first_against_others(path):
    """Return BLEU-1..4 of every image's first test sentence against the others, 0 to 1.

    The words are those between blanks of ``raw``, as it is written. The published third figure is
    of weights that sum to 0.99 (three times .33), as clipcap_rsic's scorer has them: its logarithm
    is 0.99 of that with thirds (no brevity penalty here).
    """
    rows = [[sentence['raw'].split() for sentence in sentences]
            for sentences in sentences_of(path, 'test')]
    corpus = CaptionCorpus([row[1:] for row in rows])
    scores, _ = corpus.score([row[0] for row in rows])
    one, two, three, four = (scores[f'Bleu_{order}'] / 100 for order in (1, 2, 3, 4))
    return [one, two, three ** 0.99, four]
