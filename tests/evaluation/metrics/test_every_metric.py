"""Every metric by the tests that all of them share."""
from data_testers import MetricTester
from testers import semantic_sample


class TestChangeMetric(MetricTester):
    cfg = dict(type='ChangeMetric')


class TestCaptionMetric(MetricTester):
    cfg = dict(type='CaptionMetric', meteor=False)


class TestFromToMetric(MetricTester):
    cfg = dict(type='FromToMetric')
    meta = dict(classes=('unchanged', 'changed'), language='en',
                semantic_classes=('none', 'field', 'building'))

    def samples(self, n=4):
        return [semantic_sample(f's{row}', row) for row in range(n)]
