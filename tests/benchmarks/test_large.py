"""The benchmark of large models, run with a tiny one. Only what does not depend on the machine is checked."""

import pytest

from benchmarks.figures import Figure


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_tiny_model_is_measured_completely() -> None:
    from benchmarks.large import measure

    figures = {figure.name: figure for figure in measure("tiny", "cpu", runs=1, tokens=3, backend="eager")}
    again, memory = (
        figures[name] for name in ("graphs compiled anew over 20 prompts", "memory, nf4: distance from the estimate")
    )
    assert again.values == (0.0,)
    follow_up = figures["tokens that a follow-up of a few words reads"]
    assert follow_up.goal is not None
    assert 0 < follow_up.median <= follow_up.goal
    assert memory.goal is not None
    assert memory.median < memory.goal
    timed: list[Figure] = [figure for figure in figures.values() if figure.unit == "ms"]
    assert len(timed) > 10
    assert all(value > 0 for figure in timed for value in figure.values)
