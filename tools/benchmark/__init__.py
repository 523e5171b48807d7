"""Benchmarks of speed and memory: interleaved timings and the tables of the documentation."""
from tools.benchmark.blip import study_captions, study_decode, study_precision
from tools.benchmark.denoiser import study_denoiser
from tools.benchmark.language import study_frozen, study_language
from tools.benchmark.loader import study_loader
from tools.benchmark.metric import study_metric
from tools.benchmark.models import study_models
from tools.benchmark.prompts import study_text, study_windows
from tools.benchmark.tables import Section, to_text, write_section
from tools.benchmark.timing import Case, Timing, measure

#: Name of a study, as the command line says it, to the function that makes its table.
STUDIES = dict(model=study_models, text=study_text, windows=study_windows, captions=study_captions,
               precision=study_precision, decode=study_decode,
               language=study_language, frozen=study_frozen,
               denoiser=study_denoiser, loader=study_loader, metric=study_metric)

__all__ = [
    'STUDIES', 'Case', 'Section', 'Timing', 'measure', 'study_captions', 'study_decode',
    'study_denoiser', 'study_frozen', 'study_language', 'study_loader', 'study_metric',
    'study_models', 'study_precision', 'study_text', 'study_windows', 'to_text', 'write_section'
]
