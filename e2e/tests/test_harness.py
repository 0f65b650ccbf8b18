"""The harness itself: what it reads, and that it cannot take a failure for a success."""

from pathlib import Path

import pytest

import quickstart
from harness import exposition, report
from harness.waiting import Overdue, until

SCRAPE = """# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a, \\"b\\" {c}"} 2.0
vllm:num_requests_running{engine="1",model_name="d"} 3.0
vllm:num_requests_running_longer{engine="1"} 100
up 1
"""


def test_samples_are_summed() -> None:
    assert exposition.total(SCRAPE, "vllm:num_requests_running") == 5
    assert exposition.total(SCRAPE, "vllm:num_requests_running", engine="1") == 3
    assert exposition.total(SCRAPE, "vllm:num_requests_running", engine="2") is None
    assert exposition.total(SCRAPE, "up") == 1


def test_results_are_read_as_written(tmp_path: Path) -> None:
    results = [
        report.Result("good", report.PASSED, 1.0),
        report.Result("bad", report.FAILED, 0.5, "<why> & so on"),
    ]
    report.write_junit(tmp_path / "junit.xml", results)
    assert report.stage_result("s", 2.0, 1, tmp_path / "junit.xml").tests == results


@pytest.mark.parametrize("code", [1, -9])
def test_a_runner_that_fails_without_a_failed_test_is_a_failure(tmp_path: Path, code: int) -> None:
    report.write_junit(tmp_path / "junit.xml", [report.Result("good", report.PASSED, 1.0)])
    assert report.stage_result("s", 2.0, code, tmp_path / "junit.xml").count(report.FAILED) == 1
    assert report.stage_result("s", 2.0, 0, tmp_path / "junit.xml").count(report.FAILED) == 0


def test_a_runner_without_tests_is_a_failure(tmp_path: Path) -> None:
    assert report.stage_result("s", 2.0, 0, tmp_path / "missing.xml").count(report.FAILED) == 1


def test_waiting_ends() -> None:
    with pytest.raises(Overdue, match="never"):
        until("never", lambda: 0, within_s=0)


def test_marked_blocks_of_a_readme() -> None:
    readme = """
```sh
not marked
```
<!-- quickstart: run expect="two words" -->

```sh
curl one
curl two
```
<!-- quickstart: file name=a.yaml -->
```yaml
a: 1
```
"""
    assert list(quickstart.blocks(readme)) == [
        quickstart.Block("run", {"expect": "two words"}, "sh", "curl one\ncurl two\n"),
        quickstart.Block("file", {"name": "a.yaml"}, "yaml", "a: 1\n"),
    ]
