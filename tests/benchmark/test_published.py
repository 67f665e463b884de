"""The table of published figures: complete, in range, nothing twice, nothing recalled."""

from __future__ import annotations

import csv
from importlib import resources

import pytest

from anomri.benchmark.published import TAGS, comparable, published, read_rows
from anomri.errors import InputError

TEXT = (resources.files("anomri.benchmark") / "published.csv").read_text(encoding="utf-8")
HEADER = "method,train,test,sequence,unit,metric,value,low,high,oracle_threshold,tag,source,caveat,protocol"
GOOD = "AE,IXI,MSLUB,T2,voxel,dice,0.3,,,true,P,Somebody 2022,,"


def test_the_header_is_the_agreed_one_and_every_line_is_read():
    lines = list(csv.reader(TEXT.splitlines()))
    assert lines[0] == HEADER.split(",")
    assert len(published()) == len(lines) - 1 > 80


def test_figures_that_can_be_looked_up():
    rows = {(r.method, r.test, r.unit, r.metric): r for r in published()}
    flair = rows["histogram-equalised threshold", "MSLUB", "voxel", "auprc"]
    assert (flair.value, flair.tag) == (0.271, "P")
    luo = rows["3D residual dense AE", "BraTS19, 317", "slice", "auroc"]
    assert (luo.value, luo.tag, luo.oracle_threshold) == (0.844, "L", None)
    tokens = rows["two-stage tokens", "fastMRI+, 30 normal and 255 abnormal", "slice", "auroc"]
    assert (tokens.low, tokens.value, tokens.high) == (0.74, 0.81, 0.87)
    every = rows["8 methods, multi-centre", "2,221 T1 and 1,262 T2", "voxel", "dice"]
    assert (every.value, every.low, every.high) == (None, 0.03, 0.65)


def test_nothing_recalled_stands_in_the_table_and_every_row_cites():
    assert {row.tag for row in published()} <= set(TAGS)
    assert "M" not in TAGS
    assert all(row.source for row in published())


def test_a_figure_stands_beside_a_protocol_only_by_name():
    assert {row.method for row in comparable("ixi-brats")} == {"3D residual dense AE", "VAE 2D", "f-AnoGAN 2D"}
    assert comparable("t1-lesions") == ()


def test_a_good_row_is_read():
    (row,) = read_rows(f"{HEADER}\n{GOOD}\n")
    assert (row.value, row.low, row.oracle_threshold, row.protocol) == (0.3, None, True, "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.3,,", "1.3,,"),
        ("0.3,,", ",,"),
        ("0.3,,", "0.3,0.4,0.5"),
        ("0.3,,", "0.3,0.2,"),
        (",P,", ",M,"),
        ("dice", "auc"),
        ("Somebody 2022", ""),
        ("0.3,,", "nan,,"),
    ],
)
def test_a_row_that_cannot_be_is_refused_with_its_line(old, new):
    with pytest.raises(InputError, match="line 3"):
        read_rows(f"{HEADER}\n{GOOD.replace('AE', 'VAE')}\n{GOOD.replace(old, new)}\n")


def test_a_row_that_stands_twice_is_refused():
    with pytest.raises(InputError, match="twice"):
        read_rows(f"{HEADER}\n{GOOD}\n{GOOD}\n")
