# SPDX-License-Identifier: Apache-2.0
"""What may happen to the cloud's sessions, in any order: a Hypothesis state machine that holds a bench to the model.

Frames arrive, arrive again, arrive too early, cut off, with other terms, several at once; results are asked for; time
passes; replicas die. After each step every reply was one that the model allows, and the store holds what it says.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, precondition, rule
from nodes import AT_ONCE, NEVER, Sender
from receiver_model import LINGER_S, TTL_S, Arrival, Closing, End, Event, Oracle, Reply, Session, outcomes

from models.weights import read_manifest
from service.nodes.cloud.record import DIGEST_BYTES

BERS = st.sampled_from([0.1, 0.3])
#: system, images, theta (None: the toy's own), t
TERMS = st.sampled_from(
    [
        ("snn-sc-harq", 1, NEVER, None),
        ("snn-sc-harq", 3, None, None),
        ("snn-sc-margin-harq", 2, None, None),
        ("snn-sc-learned-harq", 2, None, None),
        ("multi-rate", 2, None, 5),
    ]
)
KINDS = st.sampled_from(["next", "next", "again", "other", "early", "missed", "close", "close"])
MOST_TALKS = 3
#: MemoryStore looks for what has expired this often.
PURGED_AFTER_S = 31.0
#: What makes a frame of known terms another's, and how that is refused.
DAMAGE: dict[str, tuple[dict[str, Any], int]] = {
    "weights": ({"weights": "0" * 64}, 409),
    "profile": ({"profile": "resnet50"}, 422),
    "system": ({"system": "nonsense"}, 422),
    "t": ({"t": 9}, 400),
    "position": ({"position": 31}, 400),
    "round": ({"round": 6}, 400),
}


class ReceiverMachine(RuleBasedStateMachine):
    """Subclasses say which bench."""

    make_bench: ClassVar[Callable[[], Any]]
    oracle: ClassVar[Oracle]
    seen: ClassVar[Counter[str]]

    talks = Bundle("talks")

    def __init__(self) -> None:
        super().__init__()
        self.bench = type(self).make_bench()
        self.possible: dict[str, set[Session]] = {}
        self.latent: dict[str, set[Session]] = {}  # writes that were cut off: they may yet be done
        self.reached: dict[str, tuple[int, dict[int, End]]] = {}
        self.asked, self.happened = 0, {"crash": 0, "time": 0, "leave": 0}
        self.taken_bits, self.counted_at_start = 0, self.bench.counted_bits()

    def teardown(self) -> None:
        self.bench.close()

    @initialize(target=talks, terms=TERMS)
    def first(self, terms: tuple[str, int, float | None, int | None]) -> Sender:
        return self._begin(terms)

    @precondition(lambda self: len(self.possible) < MOST_TALKS)
    @rule(target=talks, terms=TERMS)
    def begin(self, terms: tuple[str, int, float | None, int | None]) -> Sender:
        return self._begin(terms)

    def _begin(self, terms: tuple[str, int, float | None, int | None]) -> Sender:
        system, images, theta, t = terms
        thresholds = read_manifest("resnet18", self.oracle.folder).thresholds
        sender = Sender(
            self.oracle.folder, system, images, theta=thresholds.get(system) if theta is None else theta, t=t
        )
        self.possible[sender.session], self.latent[sender.session] = {Session(sender)}, set()
        return sender

    @rule(talk=talks, replica=st.integers(0, 1), data=st.data())
    def proceed(self, talk: Sender, replica: int, data: st.DataObject) -> None:
        self.happen(talk, [(replica, self.event(talk, "next", data))])

    def proceed_at(self, talk: Sender, data: st.DataObject) -> None:
        """The round after some disturbance: what a replica still holds from it must not count."""
        self.happen(talk, [(data.draw(st.integers(0, 1)), self.event(talk, "next", data))])

    @rule(talk=talks, replica=st.integers(0, 1), kind=KINDS, data=st.data())
    def one_arrives(self, talk: Sender, replica: int, kind: str, data: st.DataObject) -> None:
        self.happen(talk, [(replica, self.event(talk, kind, data))])

    @rule(talk=talks, kinds=st.lists(KINDS, min_size=2, max_size=3), data=st.data())
    def several_arrive(self, talk: Sender, kinds: list[str], data: st.DataObject) -> None:
        self.happen(talk, [(data.draw(st.integers(0, 1)), self.event(talk, kind, data)) for kind in kinds])

    @rule(talk=talks, copies=st.lists(st.tuples(st.integers(0, 1), BERS), min_size=2, max_size=3), data=st.data())
    def copies_arrive(self, talk: Sender, copies: list[tuple[int, float]], data: st.DataObject) -> None:
        """One frame, repeated before it is answered; each copy has met a channel of its own."""
        first = self.event(talk, "next", data)
        if isinstance(first, Arrival):
            head = first.frame.head
            frames = [talk.frame(head.round, head.blocks, ber=ber) for _, ber in copies]
            self.happen(talk, [(replica, Arrival(frame)) for (replica, _), frame in zip(copies, frames, strict=True)])
            self.proceed_at(talk, data)

    @rule(talk=talks, replica=st.integers(0, 1), damage=st.sampled_from(sorted(DAMAGE)), data=st.data())
    def damaged(self, talk: Sender, replica: int, damage: str, data: st.DataObject) -> None:
        event = self.event(talk, "next", data)
        if isinstance(event, Arrival):
            changes, status = DAMAGE[damage]
            self.happen(talk, [(replica, Arrival(event.frame.but(**changes), refused=status))])

    @rule(talk=talks, replica=st.integers(0, 1), cut=st.integers(1, 400), data=st.data())
    def truncated(self, talk: Sender, replica: int, cut: int, data: st.DataObject) -> None:
        event = self.event(talk, "next", data)
        if isinstance(event, Arrival):
            short = replace(event.frame, payload=event.frame.payload[:-cut])
            self.happen(talk, [(replica, Arrival(short, refused=400))])

    @rule(talk=talks, replica=st.integers(0, 1))
    def other_threshold(self, talk: Sender, replica: int) -> None:
        (known, *_) = self.now(talk)
        if known.rounds and talk.theta is not None and known.next_round <= known.last_round:
            frame = talk.frame(known.next_round).but(threshold=talk.theta / 2)
            self.happen(talk, [(replica, Arrival(frame, refused=409))])

    @precondition(lambda self: self.rested("time", 4))
    @rule(seconds=st.sampled_from([LINGER_S + 1, LINGER_S + 1, TTL_S + 1]))
    def time_passes(self, seconds: float) -> None:
        self.happened["time"] = self.asked
        self._pass(seconds)

    @precondition(lambda self: self.rested("crash", 2))
    @rule(replica=st.integers(0, 1))
    def crash(self, replica: int) -> None:
        self.happened["crash"] = self.asked
        self.bench.crash(replica % self.bench.size)
        self.seen["crash"] += 1
        if self.bench.forgetful:
            for session, known in self.possible.items():
                self.possible[session], self.latent[session] = {Session(next(iter(known)).sender)}, set()
            self.reached.clear()

    @precondition(lambda self: self.rested("leave", 6))
    @rule()
    def everyone_leaves(self) -> None:
        """After all have expired, and one session more on each replica, there is nothing left but these."""
        self._pass(TTL_S + PURGED_AFTER_S)
        for replica in range(self.bench.size):
            sender = Sender(self.oracle.folder, theta=AT_ONCE)
            self.possible[sender.session], self.latent[sender.session] = {Session(sender)}, set()
            self.happen(sender, [(replica, Arrival(sender.frame(1)))])
            del self.possible[sender.session], self.latent[sender.session], self.reached[sender.session]
        left_over = self.bench.left_over()
        assert not left_over, left_over
        self.happened["leave"] = self.asked
        self.seen["given back"] += 1

    def rested(self, what: str, steps: int) -> bool:
        """Whether so many frames and requests have come since it last happened: what undoes much is to be rare."""
        return self.asked - self.happened[what] >= steps

    def now(self, talk: Sender) -> list[Session]:
        """What may be known of a session now, the least first."""
        alive = {session.at(self.bench.clock()) for session in self.possible[talk.session]}
        late = {latent for latent in self.latent[talk.session] if any(latent.grew_from(session) for session in alive)}
        alive |= {session.at(self.bench.clock()) for session in late}
        return sorted(alive, key=lambda session: len(session.rounds))

    def event(self, talk: Sender, kind: str, data: st.DataObject) -> Event:
        """An event of a kind, or the next frame where the session leaves no room for one."""
        known, rows = self.now(talk)[0], list(range(talk.images))
        if kind == "close":
            return Closing(talk.session, tuple(data.draw(_some(rows))))
        ber = data.draw(BERS)
        if kind in ("again", "other") and known.rounds:
            earlier = data.draw(st.integers(1, len(known.rounds)))
            frame = talk.frame(earlier, known.rounds[earlier - 1].blocks, ber=ber)
            return Arrival(frame if kind == "again" else frame.but(digest="0" * 64))
        if kind == "early" and known.next_round < known.last_round:
            return Arrival(talk.frame(data.draw(st.integers(known.next_round + 1, known.last_round))))
        blocks = rows if kind == "missed" or not known.rounds else data.draw(_some(known.in_step()))
        return Arrival(talk.frame(min(known.next_round, known.last_round), blocks, ber=ber))

    def happen(self, talk: Sender, calls: list[tuple[int, Event]]) -> None:
        """Let it happen, all at once, and compare."""
        before = self.now(talk)
        replies = self.bench.ask([(replica % self.bench.size, event) for replica, event in calls])
        self.conclude(talk, before, [event for _, event in calls], list(replies))
        taken = {replica for (replica, _), reply in zip(calls, replies, strict=True) if reply.status == 200}
        if len({replica % self.bench.size for replica in taken}) > 1:
            self.seen["at two replicas"] += 1

    def conclude(self, talk: Sender, before: list[Session], events: list[Event], replies: list[Reply | None]) -> None:
        """Some order of the events must explain the replies; None is the reply of one that was cut off."""
        self.asked += 1
        cut_off = [reply is None for reply in replies]
        found = outcomes(before, events, cut_off, self.oracle, self.bench.clock())
        after = {session for session, said in found.items() if tuple(replies) in said}
        assert after, (replies, list(found.values()))
        self.possible[talk.session] = after
        latent = {known for known in self.latent[talk.session] if any(known.grew_from(session) for session in after)}
        self.latent[talk.session] = latent | (after if any(cut_off) else set())
        for event, reply in zip(events, replies, strict=True):
            self.seen[_name(event, reply)] += 1
        if not any(cut_off):
            self._count(before, after)
        self._compare_record(talk)

    def _count(self, before: list[Session], after: set[Session]) -> None:
        """Bits that the cloud must have counted by now."""
        if len(before) == len(after) == 1:
            (old,), (new,) = before, after
            self.taken_bits += sum(taken.bits * len(taken.blocks) for taken in new.rounds[len(old.rounds) :])

    def _pass(self, seconds: float) -> None:
        self.bench.pass_time(seconds)
        for session, known in self.possible.items():
            if not all(each.at(self.bench.clock()).rounds for each in known):
                self.reached.pop(session, None)

    def _compare_record(self, talk: Sender) -> None:
        """The store holds one of the possible sessions; its rounds never decrease, and what was decided stays."""
        record = self.bench.record(talk.session)
        rounds, ends = ((), {}) if record is None else (record.rounds, record.ends)
        held = tuple(
            (each.digest.hex(), each.rows, each.combined, each.crossover, len(each.payload)) for each in rounds
        )
        ended = {row: End(*vars(end).values()) for row, end in ends.items()}
        known = [(_rounds(session), _ends(session)) for session in self.possible[talk.session]]
        assert (held, ended) in known, (held, ended, known)
        least, decided = self.reached.get(talk.session, (0, {}))
        assert len(held) >= least
        assert decided.items() <= ended.items()
        self.reached[talk.session] = (len(held), ended)


def _some(rows: list[int]) -> st.SearchStrategy[list[int]]:
    """Some of the blocks, mostly all."""
    return st.one_of(st.just(rows), st.lists(st.sampled_from(rows), min_size=1, unique=True).map(sorted))


def _rounds(session: Session) -> tuple[object, ...]:
    """Of the bits only what was combined is kept, and nothing once all blocks have ended."""
    kept = 0 if all(session.ends) else 1
    return tuple(
        (
            taken.digest[: 2 * DIGEST_BYTES],
            taken.blocks,
            taken.combined,
            taken.crossover,
            kept * taken.bits * len(taken.combined) // 8,
        )
        for taken in session.rounds
    )


def _ends(session: Session) -> dict[int, End]:
    return {row: end for row, end in enumerate(session.ends) if end}


def _name(event: Event, reply: Reply | None) -> str:
    """What happened, in a word."""
    if reply is None:
        return "cut off"
    if reply.status != 200:
        return str(reply.status)
    if isinstance(event, Closing):
        return f"result {reply.results[0].outcome}"
    kind = "late" if reply.answers[0].late else reply.answers[0].feedback
    return f"{kind} again" if reply.replayed else kind
