import pytest

from rscc.utils import did_you_mean


@pytest.mark.parametrize('name,known,said', [
    ('btach_size', ['batch_size', 'shuffle'], " Did you mean 'batch_size'?"),
    ('blipcaptionhead', ['BlipCaptionHead'], " Did you mean 'BlipCaptionHead'?"),
    ('xyz', ['batch_size'], ''), ('anything', [], ''), ('1', [1, 2], " Did you mean '1'?")])
def test_nearest_name_or_nothing(name, known, said):
    assert did_you_mean(name, known) == said
