"""The processors of a container, from the files of its cgroup."""

from __future__ import annotations

from pathlib import Path

import pytest

from record.processors import quota, usable


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "50000 100000\n"}, 0.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "garbage"}, None),
        ({"cpu/cpu.cfs_quota_us": "350000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "0\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "100000\n"}, None),
    ],
)
def test_the_quota_of_a_container(tmp_path: Path, files: dict[str, str], expected: float | None) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert quota(tmp_path) == expected
    whole = usable(tmp_path / "nothing")
    assert usable(tmp_path) == (whole if expected is None else max(1, min(whole, int(expected))))


def test_a_part_of_a_processor_is_left_out_but_one_is_always_used(tmp_path: Path) -> None:
    for limit, expected in ((150_000, 1), (20_000, 1), (10**9, usable(tmp_path / "nothing"))):
        (tmp_path / "cpu.max").write_text(f"{limit} 100000")
        assert usable(tmp_path) == expected
