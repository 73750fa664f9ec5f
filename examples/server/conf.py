"""The settings of the example merchant; conf.example.py in the project's root explains each of them."""

network = "testnet"
device_name = "paypercall example server"

min_channel_timeout_in_seconds = 3600
max_channel_timeout_in_seconds = 604_800

# The first call is served before the network has confirmed the customer's deposit, up to these amounts.
unconfirmed_amounts_limits_by_asset_or_channel = {
    "base": {
        "max_unconfirmed_by_asset": 1_000_000,
        "max_unconfirmed_by_channel": 100_000,
        "minimum_time_in_seconds": 5,
    }
}
