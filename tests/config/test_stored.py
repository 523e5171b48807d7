import pytest
from mmengine.config import Config

from rscc.config.stored import config_from_text, stored_config


def test_configs_of_the_project_survive(repo):
    # Formatting the text takes half a second a config; the leaves of one method differ in numbers.
    methods = {path.name.split('_')[0]: path for path in sorted((repo / 'configs').glob('*.py'))
               if not path.name.startswith('attend')}
    for path in methods.values():
        cfg = Config.fromfile(path)
        text = cfg.pretty_text
        assert config_from_text(text, 'x').to_dict() == cfg.to_dict(), path
        assert stored_config(dict(meta=dict(cfg=text)), 'x').model.type == cfg.model.type


def test_plain_values_of_every_kind_survive():
    values = {'a': [1, -2.5, None, True], 'b': {'c d': (1, 2), 'e': {'f': 'it\'s "x"\n'}},
              'g': float('inf'), 'h': -float('inf')}
    assert config_from_text(Config(values).pretty_text, 'x').to_dict() == values


@pytest.mark.parametrize('text', [
    'import os', 'a = __import__("os").system("false")', 'a = open("x")', 'a = [b for b in c]',
    'a, b = 1, 2', 'a = dict([("b", 1)])', 'print(1)', 'a = os.environ', 'a += 1'])
def test_code_is_refused_and_quoted(text):
    with pytest.raises(ValueError, match=r"stored in 'x\.pth' holds more than plain values"):
        config_from_text(text, 'x.pth')


def test_broken_text_names_the_line():
    with pytest.raises(ValueError, match=r"'x\.pth' is not readable \(line 2: "):
        config_from_text('a = 1\nb = (', 'x.pth')
