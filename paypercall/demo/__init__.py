"""The demonstration: a local network, a merchant's API in its own process, customers, and a full account at the end.

Nothing in here is a part of the SDK. It uses the same classes as any host, and its merchant speaks HTTP.
"""
