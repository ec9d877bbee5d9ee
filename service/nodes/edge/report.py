# SPDX-License-Identifier: Apache-2.0
"""From a finished session to the reply that the edge's caller reads."""

from service.errors import PeerFailed
from service.nodes.edge.harq import BlockProgress, HarqSession
from service.wire import BatchClassification, Classification, Start


def start(session: HarqSession) -> Start:
    """The terms of one image's session that has not begun."""
    return Start(
        session=session.session,
        seed=session.plan.seed,
        block=session.blocks[0].block,
        system=session.plan.system.name,
        profile=session.plan.served.name,
        threshold=session.plan.theta,
    )


def single(session: HarqSession, total_ms: float) -> Classification:
    """The reply to one image."""
    return _classification(session, session.blocks[0], total_ms).model_copy(
        update={"wire_bytes": session.tally.wire_bytes}
    )


def batch(session: HarqSession, total_ms: float) -> BatchClassification:
    """The reply to a batch, images in the order sent."""
    return BatchClassification(
        results=tuple(_classification(session, entry, total_ms) for entry in session.blocks),
        session=session.session,
        exchanges=session.tally.exchanges,
        wire_bytes=session.tally.wire_bytes,
        total_ms=total_ms,
    )


def _classification(session: HarqSession, entry: BlockProgress, total_ms: float) -> Classification:
    plan = session.plan
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
            "http_retries": session.tally.http_retries,
            "restarts": session.restarts,
            "durable": session.durable,
            "total_ms": total_ms,
        }
    )
