from mmengine.config import Config

from rscc.apis.testing import draw_predictions


def test_drawing_keeps_the_options_of_a_hook_that_the_config_has():
    cfg = Config({'default_hooks': {'panels': {'type': 'PanelHook', 'num_test': 3}}})
    draw_predictions(cfg, 'shown', probabilities=True)
    assert cfg.default_hooks.panels == {'type': 'PanelHook', 'num_test': 3, 'out_dir': 'shown',
                                        'probabilities': True}
    assert 'custom_hooks' not in cfg


def test_drawing_brings_a_hook_where_the_config_has_none():
    cfg = Config({'custom_hooks': [{'type': 'OtherHook'}]})
    draw_predictions(cfg, 'shown')
    assert cfg.custom_hooks == [{'type': 'OtherHook'}, {
        'type': 'PanelHook', 'num_val': 0, 'out_dir': 'shown', 'probabilities': False}]
