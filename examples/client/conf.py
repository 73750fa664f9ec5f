"""The settings of the example customer; conf.example.py in the project's root explains each of them."""

network = "testnet"
device_name = "paypercall example client"

# The timeout of the channels that this node opens, which the merchant must accept: six hours.
default_timeout_in_seconds = 21_600
