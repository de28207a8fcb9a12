"""The report of a run tells about all of its steps, whichever worker made them."""

from bulkverify.durable.times import StepTime, began_at, curve, durations

TIMES = [
    StepTime(part=0, name="split", began=100.0, ended=103.0),
    StepTime(part=1, name="upload", began=104.0, ended=106.0),
    StepTime(part=2, name="upload", began=105.0, ended=108.0),
    StepTime(part=3, name="upload", began=110.0, ended=111.0),
    StepTime(part=2, name="results", began=112.0, ended=113.0),
    StepTime(part=1, name="results", began=112.0, ended=120.0),
    StepTime(part=3, name="results", began=112.0, ended=121.0),
    StepTime(part=0, name="split", began=99.0, ended=99.5),  # a worker gave it back
]


def test_parts_that_were_sent_at_the_same_time_count_once() -> None:
    found = durations(TIMES)
    assert (found.reading, found.uploading, found.verifying) == (3.5, 5.0, 9.0)
    assert (found.preparing, found.starting) == (0.0, 0.0)


def test_a_run_began_when_it_was_first_taken() -> None:
    assert began_at(TIMES).timestamp() == 99.0


def test_the_curve_adds_up_the_parts_that_have_verdicts() -> None:
    points = curve(TIMES, {1: 10, 2: 5})
    assert [(one.seconds, one.verified) for one in points] == [(0.0, 0), (14.0, 5), (21.0, 15)]


def test_the_curve_of_many_parts_has_few_points_and_keeps_the_last() -> None:
    times = [StepTime(part=0, name="split", began=0.0, ended=1.0)]
    times += [StepTime(part=n, name="ask", began=n, ended=n + 1.0) for n in range(1, 2001)]
    points = curve(times, dict.fromkeys(range(1, 2001), 1))
    assert 200 < len(points) < 240
    assert (points[-1].seconds, points[-1].verified) == (2001.0, 2000)


def test_a_clock_that_is_behind_bends_no_curve_back() -> None:
    times = [*TIMES[:1], StepTime(part=1, name="results", began=40.0, ended=50.0)]
    assert [one.seconds for one in curve(times, {1: 10})] == [0.0, 0.0]
