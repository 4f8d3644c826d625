"""The outside contract in numbers and names: what an event may hold (`schemas/zkp2p_payment.v1.json` says it to producers)."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

EVENT: Final = "zkp2p_payment"
VALUE_BYTES_MAX = 1 << 20
DEPTH_MAX = 64
"""Arrays and objects inside each other, the event itself included."""
UINT32_MAX = 4_294_967_295
"""Largest `userId` and `buzzAmount` (UInt32), and the last second of a DateTime (2106-02-07)."""
USD_MAX = 99_999_999.99
"""Largest amount of a Decimal(10, 2)."""
USD_NOISE = 1e-6
"""Dollars; what is closer than this to a whole cent is that cent, written by binary floats."""
SESSION_ID_LENGTH_MAX = 128
ERROR_MESSAGE_LENGTH_MAX = 4096
"""Characters (code points), like every length here; longer messages are cut."""
AGE_MS_MAX = 90 * 86_400_000
"""How far an event's timestamp may lie before its Kafka record's: as long as the table keeps rows."""
AHEAD_MS_MAX = 86_400_000

EventType = Literal["attempt", "success", "error", "abandoned"]
PaymentMethod = Literal["venmo", "cashapp", "paypal", "zelle", "wise", "revolut"]
EVENT_TYPES: tuple[str, ...] = get_args(EventType)
"""In the order of the Enum8: its value is the place in this tuple, counted from 1."""
PAYMENT_METHODS: tuple[str, ...] = get_args(PaymentMethod)

_UserId = Annotated[int, Meta(ge=1, le=UINT32_MAX)]
_Buzz = Annotated[int, Meta(ge=0, le=UINT32_MAX)]
_SessionId = Annotated[str, Meta(min_length=1, max_length=SESSION_ID_LENGTH_MAX)]


class PaymentData(Struct, gc=False, rename="camel"):
    """`data` of a payment; amounts, control characters and cents are checked later, a column at a time."""

    event_type: EventType
    payment_method: PaymentMethod
    usd_amount: float
    buzz_amount: _Buzz
    session_id: _SessionId
    error_message: str | None = None


class Payment(Struct, gc=False, rename="camel"):
    """A payment event as its types can say it. `gc=False`: nothing here can form a cycle, and tracking
    millions of small containers costs the garbage collector more than decoding them."""

    event: Literal["zkp2p_payment"]
    user_id: _UserId
    data: PaymentData
    timestamp: str | None = None


class ClosedData(PaymentData, gc=False, rename="camel", forbid_unknown_fields=True):
    """`data` without a single field we don't know."""


class ClosedPayment(Payment, gc=False, rename="camel", forbid_unknown_fields=True):
    """A payment without a single field we don't know, so that no byte of it goes unchecked: msgspec skips
    the values of unknown fields without looking at their UTF-8 or at how deep they are nested."""

    data: ClosedData


class LooseData(Struct, gc=False, rename="camel"):
    """`data` with whatever is in its fields; UNSET where one is missing."""

    event_type: Any = UNSET
    payment_method: Any = UNSET
    usd_amount: Any = UNSET
    buzz_amount: Any = UNSET
    session_id: Any = UNSET
    error_message: Any = None


class LoosePayment(Struct, gc=False, rename="camel"):
    """An event with whatever is in its fields: what the exact judge reads, without a dictionary for each."""

    event: Any = UNSET
    user_id: Any = UNSET
    timestamp: Any = None
    data: LooseData | UnsetType | None = UNSET


class Envelope(Struct, gc=False):
    """As much of any event as tells whose it is."""

    event: str
