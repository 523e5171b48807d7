"""Benchmarks: interleaved timings, scores of trainings, and the tables of the documentation."""
from tools.benchmark.ablation import benchmark_ablation
from tools.benchmark.blip import benchmark_captions, benchmark_decode, benchmark_precision
from tools.benchmark.denoiser import benchmark_denoiser
from tools.benchmark.earlier import benchmark_earlier
from tools.benchmark.gpu import benchmark_gpu
from tools.benchmark.int8 import benchmark_int8
from tools.benchmark.language import benchmark_frozen, benchmark_language
from tools.benchmark.loader import benchmark_loader
from tools.benchmark.metric import benchmark_metric
from tools.benchmark.models import benchmark_models, benchmark_recent
from tools.benchmark.peers import benchmark_peers
from tools.benchmark.pretrained import benchmark_pretrained
from tools.benchmark.prompts import benchmark_text, benchmark_windows
from tools.benchmark.scenes import benchmark_scenes
from tools.benchmark.timm_models import benchmark_timm

#: Name of a benchmark, as the command line says it, to the function that makes its table.
BENCHMARKS = dict(model=benchmark_models, recent=benchmark_recent, text=benchmark_text,
                  windows=benchmark_windows, captions=benchmark_captions,
                  precision=benchmark_precision, decode=benchmark_decode,
                  language=benchmark_language, frozen=benchmark_frozen,
                  timm=benchmark_timm, peers=benchmark_peers, earlier=benchmark_earlier,
                  int8=benchmark_int8,
                  denoiser=benchmark_denoiser, loader=benchmark_loader, metric=benchmark_metric,
                  scene=benchmark_scenes, pretrained=benchmark_pretrained,
                  ablation=benchmark_ablation, gpu=benchmark_gpu)
