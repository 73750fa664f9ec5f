"""Every setting of paypercall, with its default.

Copy this file to `conf.py` in your project's folder and keep the lines that you change. The folder is the
one where Python finds `conf`, or the module that the environment variable PAYPERCALL_CONF names, or else
the current one.

Each setting can be overridden by a line in the file `.env` beside conf.py, and there by an environment
variable: PAYPERCALL_ and the name in capitals, lists and mappings in JSON. For example:

    PAYPERCALL_NETWORK=testnet
    PAYPERCALL_MAX_UNSETTLED_BY_ASSET={"base": 5000000}

The wallet's mnemonic is no setting. It is made on the first run and kept in `keys.json` in data_dir, or
given as PAYPERCALL_MNEMONIC, in the environment or in `.env`. With PAYPERCALL_PASSPHRASE, which may stand in
either place, too, `keys.json` is encrypted. Neither file belongs into version control.

A conf.py may hold things of your own, too. A lower-case name that holds a plain value is taken for a
setting, so that a mistyped one stops the start; give your own values names in CAPITALS or with a leading
underscore.

Amounts are integers: bytes for "base", Obyte's own currency, and units of the asset for another asset,
which is named by the hash of the unit that defined it (44 characters).
"""

# --- The network ------------------------------------------------------------------------------------------

# "livenet" is the real one. "testnet" is public, its bytes are worth nothing. "devnet" is your own: see the
# end.
network = "livenet"

# The Obyte full node to talk to: a websocket address, or a list of them, the preferred one first. The node goes
# on to the next one when a hub is of no use, and asks the others for what it leaves out. None stands for the
# network's public hub.
hub = None  # e.g. "wss://obyte.org/bb"

# How this node introduces itself to the hub.
device_name = "paypercall"

# The highest TPS fee to pay for one unit, in bytes. It rises when the network is busy; a unit that would
# cost more waits. Only what defends money may cost more, up to what is at stake: the proof of a lie and, once
# half of a channel's timeout has passed, an answer to an honest close that gives something back.
max_tps_fee = 20_000

# --- Channels ---------------------------------------------------------------------------------------------

# A side that closes a channel has to wait for the channel's timeout, unless the other confirms. Within it
# the other must come back and contest, if it was lied about. So a short timeout means: whoever is down for
# that long can be robbed. A long one means: if the peer is gone, the money is locked for that long. In
# seconds: from a minute, on public networks, to a year.
min_channel_timeout_in_seconds = 3600  # channels of customers with a shorter one are refused: one hour
max_channel_timeout_in_seconds = 604_800  # channels of customers with a longer one are refused: seven days
default_timeout_in_seconds = 21_600  # of the channels that this node creates: six hours

# The bytes of the wallet to hold back for each open channel and one more, to always close and contest them: two
# units to the agent, each with 10,000 bytes for the agent and about 1,500 of fees, leave over half of it for
# TPS fees when the network is busy. A merchant holds back no more than what a channel owes it is worth, by
# cost_of_sweep_by_asset for other assets, and nothing for one that owes nothing. Below the sum a node warns,
# then accepts no more payments. It is at least 25,000.
reserve = 50_000

# --- What is accepted -------------------------------------------------------------------------------------

# The assets that payments are accepted in. Each needs an entry in all three settings that follow.
accepted_assets = ["base"]

# How much customers may owe for what was accepted; what they signed beyond that goes back to them. From
# four fifths of it on their channels are swept, which makes the payments final, and above it more is
# refused. This is a risk: under agent 1.1, a customer that closes with a lie and proves its own lie gets
# back all that it paid since the last sweep. Low limits mean little risk and many sweeps, at up to 15,000
# bytes each, of which 10,000 come back to the side with the larger balance. A channel that owes no more
# than a sweep costs, as set below, is not swept, and does not count for the limit over all customers; taking
# 12,500 bytes back costs the customer about half of it. A payment that no longer fits has its channel swept at
# once, if that owes ten times the cost already. So the limits must be 20 times that cost at least, and should be
# twice the largest payment: what is larger may have to wait until the customer closes the channel. An
# amount for each asset, None for no limit; base keeps its default unless it is named.
max_unsettled_by_channel = {"base": 1_000_000}  # what one customer may owe
max_unsettled_by_asset = {"base": 10_000_000}  # what all customers together may owe

# What a sweep costs you when the customer is gone: 12,500 bytes, which you pay in bytes, whatever the asset
# of the channel; 10,000 of them go to the customer. Only you know what another asset is worth, so name here as
# many of its units as are worth 12,500 bytes, and some more if its price moves. There is no default: if that
# is too low, customers earn bytes with channels that they hardly use. A channel that owes no more than this
# is not swept by itself, one whose deposits are no more is refused, and a customer who asks you to close must
# owe ten times as much. Your own call of `server.sweep` or `server.close` is done in any case, and a
# customer's lie is contested in any case. An asset that is no longer accepted is swept as long as it is named.
cost_of_sweep_by_asset = {"base": 12_500}

# Payments that are backed by a deposit which the network has not confirmed yet (that takes minutes). The
# first call then needs no waiting, but a customer can spend the deposit twice, and the payments are lost.
# A deposit that is not confirmed within an hour backs nothing more until it is. For each asset, all three:
#
#   max_unconfirmed_by_asset     the most to accept so over all channels; what was lost counts for a while
#   max_unconfirmed_by_channel   the most to accept so in one channel
#   minimum_time_in_seconds      how long this node must have known the deposit; double-spends show soon;
#                                half an hour at most
#
# Without an entry, nothing of an asset counts before it is confirmed. An example:
#
#   {"base": {"max_unconfirmed_by_asset": 1_000_000, "max_unconfirmed_by_channel": 100_000,
#             "minimum_time_in_seconds": 5}}
unconfirmed_amounts_limits_by_asset_or_channel = {}

# --- Where things are kept --------------------------------------------------------------------------------

# The books, as SQLAlchemy spells it. The path of an SQLite file is relative to the project's folder;
# postgresql:// needs the extra paypercall[postgres], and `paypercall migrate` before the first start and after
# an update. It may be your application's: all tables begin with paypercall_. All processes of one wallet share
# one database; two wallets must not. Never restore an old copy while channels are open: the later messages
# that it lacks are what your money hangs on.
database_url = "sqlite:///paypercall.sqlite"

# The folder of keys.json, relative to the project's folder. node.json beside it tells an old copy of the
# books from the newest one, unless it is restored or lost together with them.
data_dir = "."

# --- A network of your own --------------------------------------------------------------------------------

# For network = "devnet" only: what `paypercall devnet` prints. None is right for the public networks, where
# all but order_providers are fixed; these are elected, so the ones that this release knows may be out of
# date one day.
genesis_unit = None  # the hash of the network's first unit; needed on a devnet
order_providers = None  # the list of addresses whose units order the ledger; needed on a devnet
version = None  # the version of its units; "4.0dev" is the only one so far
alt = None  # its currency id, a text; None stands for "3"
