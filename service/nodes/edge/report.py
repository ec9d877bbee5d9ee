# SPDX-License-Identifier: Apache-2.0
"""From a finished session to the reply that the edge's caller reads."""

from service.errors import PeerFailed
from service.nodes.edge.exchange import Tally
from service.nodes.edge.harq import BlockProgress, HarqSession
from service.nodes.edge.request import Plan
from service.wire import BatchClassification, Classification


def single(session: HarqSession, plan: Plan, tally: Tally, total_ms: float) -> Classification:
    """The reply to one image."""
    return _classification(session, session.blocks[0], plan, tally, total_ms).model_copy(
        update={"wire_bytes": tally.wire_bytes}
    )


def batch(session: HarqSession, plan: Plan, tally: Tally, total_ms: float) -> BatchClassification:
    """The reply to a batch, images in the order sent."""
    results = tuple(_classification(session, entry, plan, tally, total_ms) for entry in session.blocks)
    return BatchClassification(
        results=results,
        session=session.session,
        exchanges=tally.exchanges,
        wire_bytes=tally.wire_bytes,
        total_ms=total_ms,
    )


def _classification(
    session: HarqSession, entry: BlockProgress, plan: Plan, tally: Tally, total_ms: float
) -> Classification:
    if entry.prediction is None:
        raise PeerFailed(f"the cloud gave no result for block {entry.block}")
    return Classification.model_validate(
        {
            **entry.prediction.model_dump(),
            "outcome": entry.outcome,
            "system": plan.system.name,
            "profile": plan.served.name,
            "bandwidth_bits": entry.bandwidth_bits,
            "wire_bytes": None,
            "feedback_bits": len(entry.rounds),
            "ber": entry.mean_ber,
            "threshold": plan.theta,
            "seed": plan.seed,
            "block": entry.block,
            "rounds": entry.rounds,
            "session": session.session,
            "http_retries": tally.http_retries,
            "restarts": session.restarts,
            "durable": session.durable,
            "total_ms": total_ms,
        }
    )
