"""Where heavy tasks run: the keyword arguments that send a class of tasks to its workers.

`FLIGHTLINE_QUEUE_<CLASS>` names the queue; unset, tasks run where all others do. Only an executor with queues
(Celery, Astro's worker queues) looks at it.
"""

import os
from typing import Any


def compute(task_class: str) -> dict[str, Any]:
    """Operator arguments for a class of tasks, such as 'train'."""
    queue = os.environ.get(f"FLIGHTLINE_QUEUE_{task_class.upper()}")
    return {"queue": queue} if queue else {}
