"""What processor this is."""

from __future__ import annotations

from pathlib import Path

import torch

from clipbench.system.processor import instructions, processor


def cpuinfo(folder: Path, model: int, flags: str) -> Path:
    """Write what Linux tells of two equal cores."""
    path = folder / f"cpuinfo {model} {len(flags)}"
    core = f"cpu family\t: 25\nmodel\t\t: {model}\nmodel name\t: AMD EPYC\nflags\t\t: {flags}\n"
    path.write_text(f"processor\t: 0\n{core}\nprocessor\t: 1\n{core}")
    return path


def test_processors_of_one_name_are_told_apart(tmp_path: Path) -> None:
    """By generation, and by the instructions that torch computes with; on both rounding depends."""
    found = {model: processor(cpuinfo(tmp_path, model, "a : b")) for model in (1, 17)}
    vectors = torch.backends.cpu.get_cpu_capability()
    assert found[1] == f"AMD EPYC, family 25 model 1, {vectors}"
    assert found[17] == f"AMD EPYC, family 25 model 17, {vectors}"
    assert processor(tmp_path / "none").endswith(vectors)


def test_a_processor_is_also_what_instructions_a_hypervisor_leaves_it(tmp_path: Path) -> None:
    """One with matrix units for bf16 is not one without, whatever their order, and none is none."""
    with_tiles, without = "avx2 avx512f amx_bf16", "avx2 avx512f"
    found = [
        instructions(cpuinfo(tmp_path, 1, flags))
        for flags in (with_tiles, without, "avx512f  avx2")
    ]
    assert found[0] != found[1] == found[2]
    assert instructions(tmp_path / "none") == ""
