"""The words of a dataset's captions, as the file that ``WordTokenizer`` reads."""
from collections import Counter

from rscc.datasets.base import ChangeDataset
from rscc.text import split_words


def count_words(dataset: ChangeDataset) -> Counter:
    """Return how often each word occurs in the captions of a dataset, normalised and cleaned."""
    return Counter(word for row in range(len(dataset))
                   for caption in dataset.get_data_info(row)['gt_captions']
                   for word in split_words(caption, dataset.language))


def vocabulary(dataset: ChangeDataset, min_count: int = 1) -> list[str]:
    """Return the words of a dataset, the most frequent first, ties by alphabet.

    Args:
        dataset: The training split: the words of others are not for a model to know.
        min_count: Rarer words are left out.

    Raises:
        ValueError: If no word is left.
    """
    counts = count_words(dataset)
    kept = [word for word, count in counts.items() if count >= min_count]
    if not kept:
        raise ValueError(f'no word of {dataset.TITLE} occurs {min_count} times or more; the most '
                         f'frequent is {counts.most_common(1)}')
    return sorted(kept, key=lambda word: (-counts[word], word))
