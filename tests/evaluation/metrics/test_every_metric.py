"""Every metric by the tests that all of them share."""
from data_testers import MetricTester


class TestChangeMetric(MetricTester):
    cfg = dict(type='ChangeMetric')


class TestCaptionMetric(MetricTester):
    cfg = dict(type='CaptionMetric', meteor=False)
