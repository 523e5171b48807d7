"""An answer as lines for the terminal."""
from rscc.apis.inference_result import InferenceResult
from rscc.structures import SampledCaption
from rscc.visualization.denoising_steps import denoising_rows


def describe(result: InferenceResult) -> str:
    """Lay out what a model says of one image or pair.

    Args:
        result: Sentences with their scores, how much they agree and how the best came about where
            they say so, the probability of change, and the mask's shares.

    Returns:
        Lines without a final line break; absent heads are said.
    """
    lines = [] if result.captions else ['sentence     none: this model has no caption head']
    for rank, caption in enumerate(result.captions, 1):
        label = 'sentence' if rank == 1 else f'       {rank}.'
        lines.append(f'{label:12s} {caption.text}  (score {caption.score:.3f})')
    if result.captions and isinstance(result.captions[0], SampledCaption):
        lines += _sampling(result.captions[0])
    if result.change_probability is not None:
        lines.append(f'changed      probability {result.change_probability:.3f}')
    if result.mask is None:
        return '\n'.join([*lines, 'mask         none: this model has no mask head'])
    classes = ', '.join(f'{name} {share:.1%}' for name, share in result.class_shares().items())
    return '\n'.join([*lines, f'mask         {result.change_share:.1%} of the pixels changed'
                      + (f': {classes}' if classes else '')])


def _sampling(caption: SampledCaption) -> list[str]:
    lines = []
    if caption.drawn > 1:
        doubt = ': too little, abstained' if caption.abstained else ''
        lines.append(f'agreement    {caption.agreement:.2f} of {caption.drawn} sentences{doubt}')
    for row in denoising_rows(caption.strip, caption.text):
        words = ' '.join(run.text for run in row.runs)
        lines.append(f'  sigma {row.label:17s} {words}'.rstrip())
    return lines
