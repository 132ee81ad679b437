"""Testing again and again while seeds are added: luck has as many chances to cross a level as there are looks.

So p is multiplied by the number of planned looks (Bonferroni's bound), which holds however alike the looks are. Bounds that
count on their likeness (Pocock, Biometrika 1977) take the variance as known. Here it is estimated anew at each look, from few
seeds at first, and they would let 5.5 % of equal candidates be told apart where they say 5 %.
"""

from __future__ import annotations

Looks = tuple[int, ...]  # numbers of seeds, rising

GROWTH = 2  # from one look to the next: few looks cost little power, many would save few seeds
MOST = 10  # seeds, where a space does not say


def planned(seeds: int, most: int | None) -> Looks:
    """The looks of a study that begins with `seeds` seeds and may go on to `most`."""
    sizes, last = [seeds], MOST if most is None else most
    while sizes[-1] < last:
        sizes.append(min(last, sizes[-1] * GROWTH))
    return tuple(sizes)
