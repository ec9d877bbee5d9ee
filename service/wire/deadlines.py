# SPDX-License-Identifier: Apache-2.0
"""How long an answer of the edge's may take, for those who give it and those who wait for it."""

from typing import Final

#: Seconds that the edge takes at most unless its settings say otherwise.
DEADLINE_S: Final = 60.0
#: Seconds that whoever waits for its answer waits longer: the edge gives up first, because it knows what failed.
LONGER_S: Final = 5.0
