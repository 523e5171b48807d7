"""Measuring speed and memory: interleaved timings and the studies of the benchmark tool."""
from rscc.apis.benchmark.blip_studies import study_captions, study_decode, study_precision
from rscc.apis.benchmark.denoiser_study import study_denoiser
from rscc.apis.benchmark.language_studies import study_frozen, study_language
from rscc.apis.benchmark.loader_study import study_loader
from rscc.apis.benchmark.metric_study import study_metric
from rscc.apis.benchmark.model_study import study_models
from rscc.apis.benchmark.prompt_studies import study_text, study_windows
from rscc.apis.benchmark.report import Section, to_text, write_section
from rscc.apis.benchmark.timing import Case, Timing, measure

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
