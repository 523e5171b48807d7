"""Runtime settings of trainings counted in iterations, as in change detection."""
_base_ = './runtime.py'
default_hooks = dict(
    # The changed class, not the mean with the background, which is easy.
    checkpoint=dict(by_epoch=False, save_best='change/IoU_changed'))
log_processor = dict(by_epoch=False)
