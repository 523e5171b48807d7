"""Base of metrics that keep one small record a sample, on any number of processes."""
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.structures import BaseDataElement

from rscc.structures.change_data_sample import source_of
from rscc.text.normalisation import warn
from rscc.utils.names import DistinctNames


class SampleMetric(BaseMetric):
    """Base of metrics that keep one record a sample and count each sample once.

    A sampler pads the last round so that all processes get equally many samples, and MMEngine then
    cuts the gathered list to the dataset's length, which is right for its own samplers only. Here
    every record carries its ``sample_id``: all are gathered and repeated ones dropped. Samples of
    one id and different images are no repetition: the second is called ``<id>#2``.

    Args:
        prefix: Put before every key as ``prefix/``. By default keys are as documented
            (``caption/...``, ``change/...``).
        collect_device: Kept for MMEngine's configs; records are gathered as objects.

    Attributes:
        nothing_to_score: What a sample lacks for which :meth:`record` returns None, for the
            warning that counts such samples.
        KEYS: Keys that ``compute_metrics`` can give, ``*`` for any characters. A training refuses
            to wait for another one; the default says that nothing is known of them.
    """
    KEYS: ClassVar[tuple[str, ...]] = ('*',)
    nothing_to_score = 'nothing to score'

    def __init__(self, prefix: str | None = None, collect_device: str = 'cpu') -> None:
        super().__init__(collect_device=collect_device, prefix=prefix or 'none')
        self.prefix = prefix  # MMEngine warns about None in its constructor; our keys need none

    def known_keys(self) -> list[str]:
        """Return the keys that this metric can give, ``*`` for any characters."""
        return [f'{self.prefix}/{key}' if self.prefix else key for key in self.KEYS]

    @abstractmethod
    def record(self, sample: dict) -> dict | None:
        """Return what is kept of one sample, or None if it has nothing to score."""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the record of every sample of a batch.

        Args:
            data_batch: Not used.
            data_samples: Model outputs, as dicts or data elements.

        Raises:
            KeyError: If a sample has no ``sample_id``.
        """
        for sample in data_samples:
            sample = sample.to_dict() if isinstance(sample, BaseDataElement) else sample
            if 'sample_id' not in sample:
                raise KeyError(f"{type(self).__name__} needs 'sample_id' in the metainfo of every "
                               'sample (PackChangeInputs puts it there)')
            record = self.record(sample)
            # Samples without anything to score are kept too: all names are needed to count them.
            paths = source_of(sample)
            self.results.append({'sample_id': sample['sample_id'],
                                 **({'source': paths} if paths else {}),
                                 **(record or {'empty': True})})

    def evaluate(self, size: int) -> dict[str, float]:
        """Gather the records of all processes and compute.

        Args:
            size: Number of samples of the dataset.

        Returns:
            The scores, the same on every process.
        """
        # Every process has the records of its own samples, some of them twice.
        gathered = [record for part in all_gather_object(self.results) for record in part]
        self.results.clear()
        # Metrics may write files and start Java: one process computes for all.
        scores: list[Any] = [None]
        if is_main_process():
            scores = [self.compute_metrics(self._unique(gathered, size))]
        broadcast_object_list(scores)
        named = scores[0]
        return {f'{self.prefix}/{key}': value for key, value in named.items()} \
            if self.prefix else named

    def _unique(self, gathered: list[dict], size: int) -> list[dict]:
        """Drop repeated samples, sort by name, and tell of a wrong number of samples."""
        # Reversed, so that of repeated samples the first one stays.
        names, records = DistinctNames(), {}
        for record in gathered:
            name = names.of(record['sample_id'], record.get('source', ()))
            records.setdefault(name, {key: value for key, value in record.items()
                                      if key != 'source'} | {'sample_id': name})
        if len(records) != size:
            warn(f'{type(self).__name__}: the dataset has {size} samples, and {len(records)} '
                 f'different sample_ids arrived ({len(gathered)} with repetitions). The scores are '
                 f'of these {len(records)}.')
        kept = [records[name] for name in sorted(records) if not records[name].get('empty')]
        if records and len(kept) < len(records):
            warn(f'{type(self).__name__}: {len(records) - len(kept)} of {len(records)} samples '
                 f'have {self.nothing_to_score}' + ('' if kept else '; nothing is scored'))
        return kept

    @property
    def metadata(self) -> dict[str, str]:
        """What must stand beside the scores of this metric: protocol and language, for instance."""
        return {}

    @property
    def meta(self) -> dict:
        """The dataset's metainfo, empty where none was given."""
        return self.dataset_meta or {}
