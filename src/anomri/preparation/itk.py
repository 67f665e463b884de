"""Between our arrays in RAS+ and SimpleITK's images in LPS+, on one thread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from anomri.core.geometry import Geometry

__all__ = ["from_itk", "one_thread", "to_itk", "transform_of", "world_matrix"]

_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


@contextmanager
def one_thread() -> Iterator[None]:
    """Run a block with SimpleITK and BLAS on one thread; their own numbers of threads are put back afterwards.

    A filter's `SetNumberOfThreads` does not reach everything inside a registration: sums over two threads come in the
    order in which these end, and the last bits of the matrix change from run to run. The last bits of a product of
    matrices change with the number of threads, and on a busy machine the threads of BLAS wait for one another: the
    products of one scan were seen to take 20 s instead of 0.1 s.
    """
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    try:
        with threadpool_limits(limits=1, user_api="blas"):
            yield
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)


def to_itk(values: NDArray[Any], geometry: Geometry) -> Any:
    """A SimpleITK image of (X, Y, Z) values; the affine must be free of shear."""
    image = sitk.GetImageFromArray(np.ascontiguousarray(values.transpose(2, 1, 0)))
    affine = _FLIP @ geometry.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection((affine[:3, :3] / spacing).ravel().tolist())
    return image


def from_itk(image: Any) -> NDArray[Any]:
    """The (X, Y, Z) values of a SimpleITK image."""
    return np.ascontiguousarray(sitk.GetArrayFromImage(image).transpose(2, 1, 0))


def transform_of(world: NDArray[np.float64]) -> Any:
    """The SimpleITK transform of a (4, 4) RAS mm matrix; the inverse of `world_matrix`."""
    matrix = _FLIP @ world @ _FLIP
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    return transform


def world_matrix(transform: Any) -> NDArray[np.float64]:
    """(4, 4) RAS mm matrix of a SimpleITK linear transform (a point of the fixed world → the moving world)."""
    linear = np.array(transform.GetMatrix(), dtype=np.float64).reshape(3, 3)
    centre = np.array(transform.GetCenter())
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = np.array(transform.GetTranslation()) + centre - linear @ centre
    ras: NDArray[np.float64] = _FLIP @ matrix @ _FLIP
    return ras
