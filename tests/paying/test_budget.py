"""No limit of a budget is ever passed, whatever is bought and comes back; and who is not on its lists gets nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paypercall.bought_call import Spending, Spent
from paypercall.paying.budget import (
    DAY,
    HOUR,
    Budget,
    Limits,
    PaymentDeclined,
    Wish,
    WrongBudget,
    origin_of,
    require_allowed,
    require_within,
)
from paypercall.paying.offer import Offer

ORIGINS = ("https://one.example", "https://two.example")
PAYEES = ("YZ4HY66BSTM2FFMEQRPFVSZ2WMHCG3L3", "6P2RBKVNIZI7FWHUX5HKAAQW2S5GGRKI")
OWN, OTHER = PAYEES


@dataclass
class Bought:
    """A call in the model's books."""

    wish: Wish
    made_at: int
    refund: int = 0

    @property
    def net(self) -> int:
        return self.wish.amount - self.refund


@dataclass
class Books:
    """All calls that were ever bought."""

    budget: Budget
    calls: list[Bought] = field(default_factory=list)

    def spent(self, now: int, **whom: str) -> Spent:
        def within(seconds: int) -> int:
            return sum(
                call.net
                for call in self.calls
                if now - seconds < call.made_at <= now
                and all(getattr(call.wish, name) == value for name, value in whom.items())
            )

        return Spent(within(HOUR), within(DAY))

    def buy(self, wish: Wish, now: int) -> None:
        spending = Spending(
            self.spent(now), self.spent(now, origin=wish.origin), self.spent(now, payee=wish.payee)
        )
        try:
            require_within(self.budget, wish, spending)
        except PaymentDeclined:
            return
        self.calls.append(Bought(wish, now))


def limits() -> st.SearchStrategy[Limits]:
    limit = st.none() | st.integers(0, 60)
    return st.builds(Limits, limit, limit, limit)


def budgets() -> st.SearchStrategy[Budget]:
    return st.builds(
        Budget,
        st.integers(0, 30),
        st.integers(0, 60),
        st.integers(0, 120),
        by_origin=st.dictionaries(st.sampled_from(ORIGINS), limits()),
        by_payee=st.dictionaries(st.sampled_from(PAYEES), limits()),
    )


wishes = st.builds(Wish, st.integers(1, 40), st.sampled_from(ORIGINS), st.sampled_from(PAYEES))
refunds = st.tuples(st.integers(0, 30), st.integers(0, 40))
steps = st.lists(
    st.tuples(st.sampled_from([0, 1, 600, HOUR - 1, HOUR, DAY // 2]), wishes | refunds), max_size=40
)


def require_kept(books: Books) -> None:
    """Looks at every hour and every day that ends when something was bought, and at every call."""
    budget = books.budget
    whom: list[tuple[dict[str, str], Limits]] = [({}, budget.limits)]
    whom += [({"origin": origin}, each) for origin, each in budget.by_origin.items()]
    whom += [({"payee": payee}, each) for payee, each in budget.by_payee.items()]
    for names, each in whom:
        for call in books.calls:
            spent = books.spent(call.made_at, **names)
            assert each.per_hour is None or spent.hour <= each.per_hour
            assert each.per_day is None or spent.day <= each.per_day
            if all(getattr(call.wish, name) == value for name, value in names.items()):
                assert each.per_call is None or call.wish.amount <= each.per_call


@given(budgets(), steps)
def test_no_limit_is_ever_passed(budget: Budget, steps: list[tuple[int, Wish | tuple[int, int]]]) -> None:
    books, now = Books(budget), 1_000_000
    for seconds, step in steps:
        now += seconds
        if isinstance(step, Wish):
            books.buy(step, now)
        elif books.calls:
            call = books.calls[step[0] % len(books.calls)]
            call.refund = min(call.wish.amount, call.refund + step[1])
        require_kept(books)


def test_what_is_left_can_be_spent_to_the_last_byte() -> None:
    budget = Budget(50, 100, 1000)
    wish = Wish(50, ORIGINS[0], OWN)
    require_within(budget, wish, Spending(Spent(50, 950), Spent(), Spent()))
    for spent, code in ((Spent(51, 51), "above_per_hour"), (Spent(0, 951), "above_per_day")):
        with pytest.raises(PaymentDeclined) as declined:
            require_within(budget, wish, Spending(spent, Spent(), Spent()))
        assert declined.value.code == code


def test_an_origin_and_a_payee_have_limits_of_their_own() -> None:
    budget = Budget(
        100, 1000, 1000, by_origin={ORIGINS[0]: Limits(per_hour=60)}, by_payee={OTHER: Limits(per_call=10)}
    )
    spending = Spending(Spent(60, 60), Spent(60, 60), Spent(60, 60))
    require_within(budget, Wish(50, ORIGINS[1], OWN), spending)
    for wish, code in (
        (Wish(1, ORIGINS[0], OWN), "above_per_hour"),
        (Wish(11, ORIGINS[1], OTHER), "above_per_call"),
    ):
        with pytest.raises(PaymentDeclined) as declined:
            require_within(budget, wish, spending)
        assert declined.value.code == code


@pytest.mark.parametrize(
    "origin, payee, code",
    [
        ("https://one.example", OWN, None),
        ("http://127.0.0.1:8000", OWN, None),
        ("http://[::1]:8000", OWN, None),
        ("http://one.example", OWN, "origin_not_allowed"),
        ("https://one.example", OTHER, "payee_not_allowed"),
    ],
)
def test_by_default_only_the_own_payee_is_paid_and_not_over_an_open_line(
    origin: str, payee: str, code: str | None
) -> None:
    assert declined_code(Budget(1, 1, 1), origin, payee) == code


def test_a_budget_names_the_origins_and_further_payees_that_may_be_paid() -> None:
    budget = Budget(1, 1, 1, origins=["https://ONE.example:443/", "http://two.example"], payees=[OTHER])
    assert declined_code(budget, "https://one.example", OTHER) is None
    assert declined_code(budget, "http://two.example", OWN) is None
    assert declined_code(budget, "https://two.example", OWN) == "origin_not_allowed"


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8000", "http://[::1]", "http://localhost"])
def test_this_machine_is_paid_through_a_proxy_only_where_the_budget_says_so(origin: str) -> None:
    with pytest.raises(PaymentDeclined, match=r"NO_PROXY=127\.0\.0\.1,localhost"):
        require_allowed(Budget(1, 1, 1), origin, OWN, OWN, is_proxied=True)
    assert declined_code(Budget(1, 1, 1, origins=[origin]), origin, OWN, is_proxied=True) is None
    assert declined_code(Budget(1, 1, 1), "https://one.example", OWN, is_proxied=True) is None


def declined_code(budget: Budget, origin: str, payee: str, *, is_proxied: bool = False) -> str | None:
    try:
        require_allowed(budget, origin, payee, OWN, is_proxied=is_proxied)
    except PaymentDeclined as declined:
        return declined.code
    return None


async def agree(offer: Offer, last: int) -> bool:
    return False


class Agreeing:
    async def __call__(self, offer: Offer, last: int) -> bool:
        return False


@pytest.mark.parametrize(
    "arguments",
    [
        {"approve": "no"},
        {"approve": agree},
        {"approve": partial(agree, last=0)},
        {"approve": Agreeing()},
        {"per_call": -1},
        {"per_hour": True},
        {"per_day": 1.5},
        {"per_call": None},
        {"per_hour": float("nan")},
        {"per_day": "100"},
        {"by_payee": {OTHER: 5}},
        {"origins": "https://one.example"},
        {"origins": ["one.example"]},
        {"origins": ["https://one.example/path"]},
        {"origins": ["https://one.example:99999"]},
        {"origins": ["https://b\u00fccher.example"]},
        {"by_origin": {"ftp://one.example": Limits()}},
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(WrongBudget):
        Budget(**{"per_call": 1, "per_hour": 1, "per_day": 1, **arguments})  # type: ignore[arg-type]


def test_an_origin_has_one_spelling() -> None:
    spellings = [
        "https://Example.com",
        "https://example.com:443/path?query",
        "https://user:secret@example.com/",
    ]
    assert all(one == other for one, other in pairwise(map(origin_of, spellings)))
    assert origin_of("http://[::1]:8000/x") == "http://[::1]:8000"
