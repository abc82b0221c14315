"""Who made each of many images. Images of one kind of evidence share their answer."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from jax_origin.audit.weighing import Record, column, says_nothing, words
from jax_origin.calibration import EDITED, IN_PART, Rates
from jax_origin.evidence import Naming, name_candidates

_Bools = NDArray[np.bool_]


class Namings(Sequence[Naming | None]):
    """Who made each of N images; None where a candidate could not be asked.

    Attributes:
      cases: The different answers.
      codes: Which of them each image has, int32 [N].
      examined: Which images every candidate was asked about, [N].
      tested: Those of them that every candidate's calibration has images like, [N].
    """

    def __init__(
        self,
        cases: list[Naming | None],
        codes: NDArray[np.int32],
        examined: _Bools,
        tested: _Bools,
    ) -> None:
        self.cases, self.codes, self.examined, self.tested = cases, codes, examined, tested

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, i: int) -> Naming | None: ...
    @overload
    def __getitem__(self, i: slice) -> "list[Naming | None]": ...
    def __getitem__(self, i: int | slice) -> "Naming | list[Naming | None] | None":
        if isinstance(i, slice):
            return [self.cases[code] for code in self.codes[i]]
        return self.cases[self.codes[i]]

    def __iter__(self) -> Iterator[Naming | None]:
        return (self.cases[code] for code in self.codes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # As that of a list.


def name_all(
    records: Mapping[str, Sequence[Record]],
    *,
    rates: Rates,
    indistinguishable: Sequence[tuple[str, ...]],
    least_p: ArrayLike,
    least_q: Sequence[Any],
) -> tuple[Namings, NDArray[np.float64], NDArray[np.float64]]:
    """Names the maker of each image; see `jax_origin.evidence.name_candidates`.

    An image is undecided if a candidate's calibration has none like it, if there is too little in
    it for one, or if one made a part of it and no other all of it. Where a candidate could not be
    asked, there is no answer.

    Returns:
      The answers; and p and q of those that were tested, [tested, K].

    Raises:
      ValueError: If a p or q lies outside [0, 1].
    """
    assert rates.alpha is not None and rates.beta is not None
    names = list(records)
    failed = np.stack([words(of, "error").where(lambda _: True) for of in records.values()])
    reasons = {name: words(of, "reason") for name, of in records.items()}
    silent = np.stack([of.where(says_nothing) for of in reasons.values()])
    # A part that one candidate made says nothing against another that made all of it.
    belongs = np.stack([words(of, "verdict").where("belongs".__eq__) for of in records.values()])
    near = (IN_PART, EDITED)
    parts = np.stack([of.where(lambda why: why.startswith(near)) for of in reasons.values()])
    silent &= ~(parts & belongs.any(axis=0))
    examined: _Bools = ~np.any(failed, axis=0)
    tested: _Bools = examined & ~np.any(silent, axis=0)
    p, q = (np.stack([column(records[n], x)[tested] for n in names], 1) for x in ("p", "q"))
    cases: list[Naming | None] = [None]
    codes = np.zeros(len(examined), np.int32)

    (here,) = np.nonzero(examined & ~tested)
    said = np.stack(
        [np.where(silent[k], reasons[name].codes, -1)[here] for k, name in enumerate(names)], 1
    )
    kinds, first, which = kinds_of(said)
    for kind in kinds:
        why = {
            n: reasons[n].values[c] if c >= 0 else None for n, c in zip(names, kind, strict=True)
        }
        cases.append(Naming("undecided", (), (), merged(why)))
    codes[here] = which + 1

    # An answer depends on nothing but which p and q are under their rates.
    under = np.concatenate([p > rates.alpha, q <= rates.beta], axis=1)
    _, first, which = kinds_of(under)
    codes[tested] = which + len(cases)
    if first.size:
        cases += name_candidates(
            p[first],
            q[first],
            names,
            rates=rates,
            indistinguishable=indistinguishable,
            least_p=least_p,
            least_q=np.array(least_q, np.float64),
        )
    return Namings(cases, codes, examined, tested), p, q


def merged(values: Mapping[str, str | None]) -> str | None:
    """What all candidates say, once; or what each of them says, where they differ."""
    said = {name: value for name, value in values.items() if value is not None}
    if not said:
        return None
    if len(set(said.values())) > 1 or len(said) < len(values):
        return "; ".join(f"{name}: {value}" for name, value in said.items())
    return next(iter(said.values()), None)


def kinds_of(rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64], NDArray[np.int64]]:
    """The different rows of [N, M], where each comes first, and which of them each row is."""
    codes = np.zeros(len(rows), np.int64)
    for values in rows.T:  # One column at a time takes no more memory than a column.
        _, own = np.unique(values, return_inverse=True)
        _, codes = np.unique(codes * (own.max(initial=0) + 1) + own, return_inverse=True)
    _, first = np.unique(codes, return_index=True)
    return rows[first], first, codes
