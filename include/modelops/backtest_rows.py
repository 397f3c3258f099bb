"""The rows of a backtest: features and labels of many days in memory, and which labels were known when."""

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

from include.core import warehouse
from include.core.domain import EVENT_DAY, LABELS, Domain
from include.dataops import feature_store
from include.modelops.snapshot import Window

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Rows:
    """All rows of a range of days in order of time: `keys` has as_of, entity_id, label (NaN where none came) and
    `landed`, the drop that brought it, as the number of days after `as_of` (a large number where none came).
    """

    first: date
    keys: "pd.DataFrame"
    features: "pd.DataFrame"

    @cached_property
    def day(self) -> "np.ndarray":
        """The day of each row, counted from `first`, shape (n,)."""
        return (self.keys["as_of"].to_numpy("datetime64[D]") - _day(self.first)).astype(int)

    @cached_property
    def labels(self) -> "np.ndarray":
        """The label of each row, False where none came, shape (n,)."""
        return self.keys["label"].eq(True).to_numpy()

    @cached_property
    def landed(self) -> "np.ndarray":
        """The drop that brought each label, counted from `first`, shape (n,)."""
        return self.day + self.keys["landed"].to_numpy(int)

    def number(self, day: date) -> int:
        """A day counted from `first`."""
        return (day - self.first).days

    def between(self, window: Window) -> slice:
        """The rows of a window, both days included."""
        import numpy as np

        first, last = (self.number(day) for day in window)
        return slice(*np.searchsorted(self.day, [first, last + 1]).tolist())

    def known(self, window: Window, known_at: date) -> "np.ndarray":
        """The places of the rows of a window whose labels had come by a drop, but not before they were scored."""
        import numpy as np

        found = np.arange(len(self.day))[self.between(window)]
        landed = self.landed[found]
        return found[(landed <= self.number(known_at)) & (landed > self.day[found])]


# Days after which a label that never came would have landed: later than any date.
NEVER = 10_000_000


def read_rows(domain: Domain, first: date, last: date) -> Rows:
    """The rows of the feature store with the labels that came by `last`. Raises NotReadyError for days not built."""
    import pandas as pd
    from psycopg2 import sql

    keys, features = feature_store.training_set(domain, first, last, labels=False).frames()
    with warehouse.transaction() as cursor:
        cursor.execute(
            sql.SQL("select {day}, {entity}, label, landed - {day} from ({came}) as labels").format(
                day=sql.Identifier(EVENT_DAY),
                entity=feature_store.entity_id(domain, LABELS),
                came=feature_store.landed_labels(domain),
            ),
            feature_store.bounds(domain, first, last, last),
        )
        came = pd.DataFrame(cursor.fetchall(), columns=["as_of", "entity_id", "label", "landed"])
    keys = keys.merge(came, on=["as_of", "entity_id"], how="left", validate="one_to_one")
    keys["landed"] = keys["landed"].fillna(NEVER).astype(int)
    return Rows(first, keys, features)


def _day(day: date) -> "np.datetime64":
    import numpy as np

    return np.datetime64(day, "D")
